"""A model that changes under a live stream: real files, a real store, real faults."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.errors import FrameError
from edge_runtime.swap.evidence import Baseline
from edge_runtime.swap.probation import Rules
from edge_runtime.swap.stages import Trial
from edge_runtime.update.store.journal import FACTORY

from ...scripted import Doubler, frame
from ...unit.test_pipeline import model as scripted_model
from .switch_kit import LABELS, RULES, Bench, until, validated, write_model

LONG = replace(RULES, probation_s=60.0, probation_results=10_000)


@pytest.fixture(autouse=True)
def interval():
    """As `edge-run start` has it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def bench(tmp_path, request):
    """A pipeline that has run for a moment, with a candidate of the asked kind."""
    made: list[Bench] = []

    def make(fault: str = "", rules: Rules = RULES, offered: bool = True, **words: object) -> Bench:
        running = Bench(tmp_path, rules=rules, count=10**6, **words)
        made.append(running)
        if offered:
            offer(tmp_path, running, fault)
        return running.start()

    yield make
    for running in made:
        running.stop()


def offer(tmp_path, running, fault="", **words):
    new = write_model(tmp_path / "new", fault, version="2.0.0", **{"shift": 0.001, **words})
    return validated(running.store, new)


def went(running: Bench) -> list[str]:
    """States that no race can leave out."""
    return [word for word in running.states if word not in ("loading", "validated", "idle")]


def test_s14_the_pointer_flips_between_two_frames_and_no_result_is_lost(bench):
    running = bench()
    until(lambda: running.state == "committed")
    until(lambda: running.sink.results[-1].model.version == "2.0.0")
    running.stop()
    assert went(running) == ["shadow", "trial", "committed"]
    assert (running.spoke()[0], running.spoke()[-1]) == ("1.0.0", "2.0.0")
    counters = running.pipeline.counters
    assert counters.results == counters.frames == len(running.sink.results)
    by_model = {(result.model.version, result.model.sha256) for result in running.sink.results}
    assert len(by_model) == 2
    assert running.store.open().active.version == "2.0.0"
    assert running.sink.infos[-1].model.version == "2.0.0"


def test_the_shadow_reports_and_says_nothing_itself(bench):
    running = bench(rules=replace(RULES, shadow_s=60.0))
    until(lambda: any(info.update.shadow for info in running.sink.infos))
    assert {result.model.version for result in running.sink.results} == {"1.0.0"}
    report = next(info.update.shadow for info in running.sink.infos if info.update.shadow)
    assert report.frames > 0
    assert report.agreement == 1.0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("nan", "not-finite"), ("constant", "constant"), ("error", "errors"), ("slow", "slow")],
)
def test_a_fault_on_trial_brings_the_old_model_back_within_ten_seconds(bench, fault, reason):
    running = bench(fault, LONG)
    until(lambda: "2.0.0" in running.spoke())
    running.stream.spoil.set()
    assert until(lambda: running.state == "rolled_back") < 10
    count = len(running.sink.results)
    until(lambda: len(running.sink.results) > count + 20)
    running.stop()
    assert {result.model.version for result in running.sink.results[-15:]} == {"1.0.0"}
    assert running.pipeline.counters.bad == 0
    assert running.pipeline.counters.results == running.pipeline.counters.frames
    journal = running.store.open()
    assert journal.active == FACTORY
    assert journal.quarantine[-1].reason.startswith(reason)
    assert [info.update.news for info in running.sink.infos if info.update.news]


@pytest.mark.parametrize(("fault", "reason"), [("nan", "not-finite"), ("error", "errors")])
def test_a_fault_in_the_shadow_is_never_heard(bench, fault, reason):
    running = bench(fault, replace(LONG, shadow_s=60.0))
    running.stream.spoil.set()
    until(lambda: running.state == "rejected")
    running.stop()
    assert {result.model.version for result in running.sink.results} == {"1.0.0"}
    assert running.store.open().quarantine[-1].reason.startswith(reason)


def test_permuted_labels_are_seen_by_the_shadow_and_shown(bench, tmp_path):
    running = bench(offered=False)
    offer(tmp_path, running, labels=(*LABELS[1:], LABELS[0]))
    until(lambda: running.state == "rejected")
    assert running.sink.infos[-1].update.reason.startswith("disagreement")
    sample = running.sink.infos[-1].update.shadow.samples[0]
    assert sample.live.split()[0] != sample.candidate.split()[0]


def test_a_candidate_that_hangs_beside_the_live_model_is_refused_and_stops_nothing(bench):
    running = bench("hang", replace(LONG, shadow_s=60.0, hang_s=0.5))
    until(lambda: running.state == "shadow")
    running.stream.spoil.set()
    until(lambda: running.state == "rejected")
    count = len(running.sink.results)
    until(lambda: len(running.sink.results) > count + 10)
    running.stop()
    assert running.spoke() == ["1.0.0"]
    assert running.store.open().quarantine[-1].reason.startswith("hang")


def test_a_hang_on_trial_is_rolled_back_before_the_process_is_begun_anew(bench, tmp_path):
    asked = threading.Event()
    running = bench("hang", replace(LONG, hang_s=0.5), hung=asked.set)
    until(lambda: "2.0.0" in running.spoke())
    running.stream.spoil.set()
    assert asked.wait(10)
    assert json.loads((tmp_path / "update/journal.json").read_text())["state"] == "rolled_back"


def test_a_candidate_that_cannot_be_loaded_is_refused(bench, tmp_path):
    running = bench(offered=False)
    new = write_model(tmp_path / "new", version="2.0.0")
    (new / "model.onnx").write_bytes(b"no model")
    validated(running.store, new)
    until(lambda: running.state == "rejected")
    assert running.store.open().quarantine[-1].reason.startswith("load")


def test_a_canary_answers_its_share_and_each_result_is_of_one_model(bench):
    running = bench(rules=replace(LONG, shadow_s=1.0, canary_percent=20))
    until(lambda: running.state == "trial")
    infos = running.sink.infos
    assert [info.model.version for info in infos if info.update.state == "canary"] == ["1.0.0"]
    results = running.sink.results
    first = next(n for n, result in enumerate(results) if result.model.version == "2.0.0")
    share = [result.model.version for result in results[first : first + 60]].count("2.0.0") / 60
    assert 0.1 <= share <= 0.3


def test_approval_is_waited_for(bench):
    running = bench(require_approval=True)
    until(lambda: len(running.sink.results) > 50)
    assert running.states == ["validated"]
    running.store.approve()
    until(lambda: running.state == "committed")


def test_a_clean_stop_keeps_the_trial_and_counts_for_nothing(bench, tmp_path):
    running = bench(rules=LONG)
    until(lambda: "2.0.0" in running.spoke())
    running.stop()
    for _ in range(4):
        again = Bench(tmp_path, rules=LONG, count=10**6).start()
        until(lambda: again.sink.results)  # noqa: B023
        again.stop()
        assert again.sink.results[0].model.version == "2.0.0"
    journal = again.store.open()
    assert (journal.state, journal.starts) == ("trial", 0)


def test_a_trial_goes_on_after_a_stop_and_its_time_counts(bench, tmp_path):
    running = bench(rules=replace(RULES, probation_s=2.0))
    until(lambda: "2.0.0" in running.spoke())
    running.stop()
    note = json.loads((tmp_path / "update/running.json").read_text())
    assert note["results"] > 0
    again = Bench(tmp_path, rules=RULES, count=10**6).start()
    until(lambda: again.state == "committed")
    again.stop()


def test_after_a_start_in_the_middle_of_a_trial_the_old_model_is_still_there(bench, tmp_path):
    running = bench("nan", LONG)
    until(lambda: "2.0.0" in running.spoke())
    running.stop()
    again = Bench(tmp_path, rules=LONG, count=10**6).start()
    until(lambda: len(again.sink.results) > 20)
    again.stream.spoil.set()
    until(lambda: again.state == "rolled_back")
    until(lambda: again.sink.results[-1].model.version == "1.0.0")
    again.stop()
    assert again.pipeline.counters.results == again.pipeline.counters.frames


@pytest.mark.parametrize("state", ["validated", "trial"])
def test_p08_the_third_crash_with_a_candidate_refuses_it(tmp_path, state):
    running = Bench(tmp_path, count=1)
    release = offer(tmp_path, running)
    running.desk.look()
    running.desk.enter(release.digest)
    if state == "trial":
        running.desk.begin(Baseline())
    seen = []
    for _ in range(4):  # nobody says goodbye
        seen.append(Bench(tmp_path, count=1).store.journal.state)
    over = "rolled_back" if state == "trial" else "rejected"
    assert seen == [state, state, over, over]
    assert Bench(tmp_path, count=1).desk.state().news


def test_somebody_who_rolls_back_by_hand_is_obeyed_between_two_frames(bench):
    running = bench()
    until(lambda: running.state == "committed")
    running.store.roll_back("by-hand")
    until(lambda: running.state == "rolled_back")
    until(lambda: running.sink.results[-1].model.version == "1.0.0")


def test_somebody_who_ends_a_trial_by_hand_is_obeyed(bench):
    running = bench(rules=LONG)
    until(lambda: "2.0.0" in running.spoke())
    running.store.roll_back("by-hand")
    until(lambda: running.state == "rolled_back")
    until(lambda: running.sink.results[-1].model.version == "1.0.0")


def test_the_news_of_a_verdict_is_told_once(bench, tmp_path):
    running = bench("nan", LONG)
    until(lambda: "2.0.0" in running.spoke())
    running.stream.spoil.set()
    until(lambda: running.state == "rolled_back" and not running.sink.infos[-1].update.news)
    running.stop()
    again = Bench(tmp_path, count=20).start()
    again._thread.join(10)
    assert {info.update.news for info in again.sink.infos} == {False}
    assert again.sink.infos[0].update.state == "rolled_back"


def test_a_model_that_forgets_starts_afresh_in_the_middle_of_a_stream(tmp_path):
    stateful = scripted_model(tmp_path, Doubler(state=True), state=True)
    stateful.open()
    said = [float(stateful(frame(seq)).outcome.tensors[0].data[0, 0]) for seq in (1, 2)]
    stateful.forget()
    said.append(float(stateful(frame(3)).outcome.tensors[0].data[0, 0]))
    assert said == [1.0, 3.0, 3.0]


class NotFinite(Doubler):
    def run(self, tensors):
        return [np.full_like(output, np.nan) for output in super().run(tensors)]


def test_outputs_that_are_not_finite_are_answered_by_the_old_model(tmp_path):
    candidate, old = (scripted_model(tmp_path, made) for made in (NotFinite(), Doubler()))
    candidate.open()
    old.open()
    trial = Trial(candidate, old)
    assert float(trial(frame(4)).outcome.tensors[0].data[0, 0]) == 8.0
    assert (trial.evidence.not_finite, trial.evidence.results) == (1, 0)


def test_outputs_that_are_not_finite_are_never_a_result_where_no_old_model_is_loaded(tmp_path):
    candidate = scripted_model(tmp_path, NotFinite())
    candidate.open()
    trial = Trial(candidate, None)
    with pytest.raises(FrameError, match="NaN or infinity"):
        trial(frame(4))
    assert (trial.evidence.not_finite, trial.evidence.results) == (1, 0)


def test_a_frame_that_no_model_can_use_is_no_evidence(tmp_path):
    candidate, old = (scripted_model(tmp_path, Doubler()) for _ in range(2))
    candidate.open()
    old.open()
    trial = Trial(candidate, old)
    with pytest.raises(FrameError):
        trial(frame(4, data=np.full((1, 1), np.nan, np.float32)))
    assert (trial.evidence.errors, trial.evidence.calls) == (0, 0)
