from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.capture import Capture
from edge_runtime.errors import FrameError, MissingExtraError, ModelLoadError, SinkError
from edge_runtime.frame import Frame, Quality, Result, SourceState
from edge_runtime.interfaces import TensorSpec
from edge_runtime.lane import Limits
from edge_runtime.manifest import FileEntry, InputEntry, Manifest, OutputEntry, PostprocessEntry
from edge_runtime.model import Candidate, Model
from edge_runtime.outcome import CannotSay, Tensor, Tensors
from edge_runtime.pipeline import Pipeline

from ..scripted import Collected, Doubler, ScriptedSource, frame

LIMITS = Limits(bad_frames_max=3)


def manifest(*, state: bool = False, stateful: bool = False) -> Manifest:
    signal = InputEntry("x", "signal", layout="NTC", units="mV", rate_hz=1.0)
    states = (InputEntry("state", "state", state="state"),) if state else ()
    return Manifest(
        name="doubler",
        version="1.0.0",
        task="tensors",
        file=(FileEntry("none", "onnx", "float32"),),
        input=(signal, *states),
        output=(OutputEntry("y", "other"),),
        postprocess=PostprocessEntry("tensors"),
        stateful=stateful,
    )


class Identity:
    def __init__(self, entry: InputEntry, spec: TensorSpec):
        pass

    def __call__(self, frame):
        if not np.isfinite(frame.data).all():
            raise FrameError("not a number")
        return frame.data.reshape(1, 1, 1), None


def first_output(manifest, outputs):
    return lambda tensors, frame, placement: Tensors((Tensor("y", tensors[0]),))


def model(tmp_path: Path, *backends: Doubler, required: bool = False, **facts: bool) -> Model:
    weights = tmp_path / "weights"
    weights.write_bytes(b"weights")
    return Model(
        manifest=manifest(**facts),
        candidates=[Candidate(backend.delegate, weights, "", backend) for backend in backends],
        prepare=Identity,
        postprocess=first_output,
        required=required,
    )


def pipeline(source, model, sink, steps=()) -> Pipeline:
    capture = Capture([source], LIMITS)
    return Pipeline(
        capture=capture,
        steps={source.name: steps},
        model=model,
        sinks=[sink],
        bad_frames_max=LIMITS.bad_frames_max,
    )


def values(sink: Collected) -> list[float]:
    return [float(result.outcome.tensors[0].data[0, 0]) for result in sink.results]


def test_every_frame_of_a_recording_becomes_one_result(tmp_path: Path):
    sink = Collected()
    source = ScriptedSource(frame(seq) for seq in range(100))
    counters = pipeline(source, model(tmp_path, Doubler()), sink).run()
    assert values(sink) == [2.0 * seq for seq in range(100)]
    assert (counters.frames, counters.results, counters.bad) == (100, 100, 0)
    assert len({result.id for result in sink.results}) == 100


def test_a_frame_that_the_model_refuses_is_counted_and_the_run_goes_on(tmp_path: Path):
    bad = frame(1, data=np.full((1, 1), np.nan, np.float32))
    sink = Collected()
    source = ScriptedSource([frame(0), bad, frame(2)])
    counters = pipeline(source, model(tmp_path, Doubler()), sink).run()
    assert [result.seq for result in sink.results] == [0, 2]
    assert counters.bad == 1


def test_refused_frames_in_a_row_end_the_run_and_lose_nothing_before(tmp_path: Path):
    bad = [frame(seq, data=np.full((1, 1), np.nan, np.float32)) for seq in (1, 2, 3)]
    sink = Collected()
    with pytest.raises(FrameError, match="3 unusable frames in a row"):
        pipeline(ScriptedSource([frame(0), *bad]), model(tmp_path, Doubler()), sink).run()
    assert [result.seq for result in sink.results] == [0]
    assert sink.events == ["open", "close"]


def test_stop_delivers_what_was_captured_and_closes_in_order(tmp_path: Path):
    sink = Collected()
    source = ScriptedSource((frame(seq) for seq in range(10**9)), live=False)
    backend = Doubler()
    running = pipeline(source, model(tmp_path, backend), sink)
    thread = threading.Thread(target=running.run)
    thread.start()
    assert sink.got_one.wait(5)
    running.stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert running.counters.sources["scripted"].read == len(sink.results)
    assert (source.closed, backend.closed, sink.events[-1]) == (1, 1, "close")


def test_a_recording_waits_while_a_sink_has_no_room(tmp_path: Path):
    polls = iter([False] * 5)
    sink = Collected(room=lambda: next(polls, True))
    pipeline(ScriptedSource([frame(0)]), model(tmp_path, Doubler()), sink).run()
    assert next(polls, "used up") == "used up"
    assert len(sink.results) == 1


class Pairs:
    """Gives two frames for each second one that it gets; holds the odd one until the flush."""

    def __init__(self):
        self.held = []

    def __call__(self, one):
        self.held.append(one)
        if len(self.held) == 2:
            yield from self.flush()

    def flush(self):
        held, self.held = self.held, []
        return held


class Noting:
    """Lets everything through; from the third frame on it has a note."""

    note = ""

    def __call__(self, one):
        self.note = "zeros for V1" if one.seq >= 2 else ""
        yield one

    def flush(self):
        return []


def test_what_a_step_notes_is_in_the_info_and_logged_once(tmp_path: Path, caplog):
    sink = Collected()
    source = ScriptedSource(frame(seq) for seq in range(5))
    pipeline(source, model(tmp_path, Doubler()), sink, (Noting(), Pairs())).run()

    told = [info.sources[0].detail for info in sink.infos]
    assert told[0] == ""
    assert told[-1] == "zeros for V1"
    assert [record.getMessage() for record in caplog.records] == ["source scripted: zeros for V1"]


def test_a_step_may_give_none_or_many_and_is_flushed_at_the_end(tmp_path: Path):
    sink = Collected()
    source = ScriptedSource(frame(seq) for seq in range(5))
    pipeline(source, model(tmp_path, Doubler()), sink, (Pairs(), Pairs())).run()
    assert [result.seq for result in sink.results] == [0, 1, 2, 3, 4]


def test_the_first_delegate_that_opens_is_used_and_a_fallback_is_said_on_each_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    broken = Doubler(delegate="npu", fail=ModelLoadError("no such device"))
    sink = Collected()
    pipeline(ScriptedSource([frame(0)]), model(tmp_path, broken, Doubler()), sink).run()
    assert sink.results[0].backend.delegate == "cpu"
    assert sink.results[0].backend.degraded == "npu: no such device"
    assert sink.infos[0].backend.degraded == "npu: no such device"
    assert "falling back from delegate npu: no such device" in caplog.text


def test_a_required_delegate_is_never_replaced(tmp_path: Path):
    broken = Doubler(delegate="npu", fail=ModelLoadError("no such device"))
    with pytest.raises(ModelLoadError, match="no such device"):
        model(tmp_path, broken, Doubler(), required=True).open()
    assert broken.closed == 1


def test_a_fed_back_state_is_kept_per_source_and_cleared_at_a_gap(tmp_path: Path):
    sink = Collected()
    source = ScriptedSource([frame(1), frame(2), frame(4)])
    pipeline(source, model(tmp_path, Doubler(state=True), state=True), sink).run()
    assert values(sink) == [1.0, 3.0, 4.0]


def test_a_run_that_failed_is_a_gap_for_the_state(tmp_path: Path):
    backend = Doubler(state=True)
    running = model(tmp_path, backend, state=True)
    running.open()
    run, refusals = backend.run, iter([True])

    def refuse_once(tensors):
        if next(refusals, False):
            raise FrameError("no")
        return run(tensors)

    backend.run = refuse_once
    with pytest.raises(FrameError):
        running(frame(0))
    outcomes = [running(frame(seq)).outcome.tensors[0].data[0, 0] for seq in (1, 2)]
    assert outcomes == [1.0, 3.0]


def test_a_missing_runtime_is_passed_over_as_a_failing_delegate_is(tmp_path: Path):
    absent = Doubler(delegate="npu", fail=MissingExtraError("backend", "npu", ImportError("no")))
    running = model(tmp_path, absent, Doubler())
    running.open()
    assert running.backend_info.delegate == "cpu"
    with pytest.raises(MissingExtraError):
        model(tmp_path, absent).open()


def test_a_stateful_model_is_reset_at_its_first_frame_and_at_a_gap_only(tmp_path: Path):
    backend = Doubler()
    running = model(tmp_path, backend, stateful=True)
    running.open()
    before = backend.resets
    for seq in (0, 1, 2, 5, 6):
        running(frame(seq))
    assert backend.resets - before == 2


def test_source_states_are_announced_when_they_change(tmp_path: Path):
    sink = Collected()
    pipeline(ScriptedSource([frame(0)]), model(tmp_path, Doubler()), sink).run()
    assert sink.infos[-1].sources[0].state == "ended"


class Undelivered(Collected):
    def close(self) -> None:
        super().close()
        raise SinkError("3 results not delivered")


def test_undelivered_results_end_the_run_with_an_error(tmp_path: Path):
    source = ScriptedSource([frame(0)])
    with pytest.raises(SinkError, match="3 results not delivered"):
        pipeline(source, model(tmp_path, Doubler()), Undelivered()).run()
    assert source.closed == 1


class Remembers:
    """A monitor that says once more what it is told."""

    def frame(self, frame: Frame) -> list[CannotSay]:
        return [CannotSay("frame", str(frame.seq))] if frame.seq == 1 else []

    def result(self, result: Result) -> list[CannotSay]:
        return [CannotSay("result", str(result.seq))]

    def state(self, state: SourceState) -> list[CannotSay]:
        return [CannotSay("state", state.state)]

    def flush(self) -> list[CannotSay]:
        return [CannotSay("end")]


def test_a_monitor_sees_frames_results_states_and_the_end_and_what_it_says_is_published(
    tmp_path: Path,
):
    sink = Collected()
    source = ScriptedSource([frame(0), frame(1)])
    pipeline = Pipeline(
        capture=Capture([source], LIMITS),
        steps={source.name: ()},
        model=model(tmp_path, Doubler()),
        sinks=[sink],
        monitors={source.name: [Remembers()]},
    )
    counters = pipeline.run()
    said = [
        (result.outcome.reason, result.outcome.detail, result.seq)
        if isinstance(result.outcome, CannotSay)
        else result.seq
        for result in sink.results
    ]
    assert said == [
        0,
        ("result", "0", 0),
        ("state", "live", 0),
        ("frame", "1", 1),
        1,
        ("result", "1", 1),
        ("end", "", 1),
        ("state", "ended", 1),
    ]
    assert counters.results == 8
    assert len({result.id for result in sink.results}) == 8


def test_nothing_is_inferred_from_a_frame_of_bad_quality(tmp_path: Path):
    backend, sink = Doubler(), Collected()
    noisy = frame(1)._replace(quality=Quality("bad", 0.1, ("noise", "clipped")), state="gap")
    limited = frame(2)._replace(quality=Quality("limited", 0.6))
    pipeline(ScriptedSource([frame(0), noisy, limited]), model(tmp_path, backend), sink).run()
    first, second, third = sink.results
    assert second.outcome == CannotSay("quality", "noise, clipped")
    assert (second.quality, second.state) == (noisy.quality, "gap")
    assert isinstance(first.outcome, Tensors)
    assert first.quality is None
    assert isinstance(third.outcome, Tensors)
    assert third.quality == limited.quality
    assert backend.runs == 3  # one of them is the warm-up
