"""What goes wrong around a swap: disks that fill, threads that die, calls that never end."""

from __future__ import annotations

import errno
import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

from edge_runtime.errors import UpdateError
from edge_runtime.outcome import Tensor, Tensors
from edge_runtime.swap import course, shadow
from edge_runtime.swap.comparison import agreement
from edge_runtime.swap.desk import Wish
from edge_runtime.swap.loaded import Loaded

from . import switch_kit
from .switch_kit import RULES, Bench, until, validated, write_model

LONG = replace(RULES, probation_s=60.0, probation_results=10_000)


@pytest.fixture
def bench(tmp_path):
    made: list[Bench] = []

    def make(fault: str = "", rules=RULES, **words: object) -> Bench:
        running = Bench(tmp_path, rules=rules, count=10**6, **words)
        made.append(running)
        new = write_model(tmp_path / "new", fault, version="2.0.0", shift=0.001)
        validated(running.store, new)
        return running

    yield make
    for running in made:
        running.stop()


def full(*_):
    raise UpdateError("the disk is full", reason="no-space")


def test_p13_a_candidate_is_watched_until_its_commit_is_on_the_disk(bench, monkeypatch):
    running = bench("nan")
    monkeypatch.setattr(running.store, "commit", full)
    running.start()
    until(lambda: "2.0.0" in running.spoke())
    monkeypatch.setattr("edge_runtime.swap.jury.TICK_S", 0.02)
    until(lambda: running.switch._course.progress(0)[0] > RULES.probation_results + 60)
    assert running.store.journal.state == "trial"
    running.stream.spoil.set()
    until(lambda: running.state == "rolled_back")
    assert running.store.open().quarantine[-1].reason.startswith("not-finite")
    assert running.spoke() == ["1.0.0", "2.0.0", "1.0.0"]


def test_p13_a_commit_waits_for_the_disk_and_comes(bench, monkeypatch):
    running = bench()
    with monkeypatch.context() as patch:
        patch.setattr(running.store, "commit", full)
        running.start()
        until(lambda: running.switch._course.progress(0)[0] > RULES.probation_results + 60)
    until(lambda: running.state == "committed")


def test_somebody_who_rolls_back_at_the_very_end_of_a_trial_is_obeyed(bench, monkeypatch, caplog):
    caplog.set_level("INFO")
    running = bench()
    commit = running.store.commit

    def overtaken():
        running.store.roll_back("by-hand")
        return commit()

    monkeypatch.setattr(running.store, "commit", overtaken)
    running.start()
    until(lambda: running.state == "rolled_back")
    until(lambda: running.sink.results[-1].model.version == "1.0.0")
    assert "stays" not in caplog.text


def test_p13_a_slow_model_is_no_reason_to_end_the_process_however_full_the_disk(bench, monkeypatch):
    ended, tries = threading.Event(), []
    running = bench("slow", LONG, hung=ended.set, rate=200.0)
    monkeypatch.setattr("edge_runtime.swap.desk.RETRY_S", 0.1)
    roll_back = running.store.roll_back

    def often_full(reason):
        tries.append(reason)
        if len(tries) < 10:
            raise OSError(errno.ENOSPC, "full")
        return roll_back(reason)

    monkeypatch.setattr(running.store, "roll_back", often_full)
    running.start()
    until(lambda: "2.0.0" in running.spoke())
    running.stream.spoil.set()
    until(lambda: running.state == "rolled_back")
    assert tries[0].startswith("slow")
    assert len(tries) == 10
    assert not ended.is_set()


def test_the_old_model_is_let_go_of_after_a_commit_and_no_thread_of_the_trial_stays(bench):
    running = bench()
    old = weakref.ref(running.switch._course.now.speaker)
    running.start()
    until(lambda: running.state == "committed")
    until(lambda: running.spoke()[-1] == "2.0.0")
    until(lambda: gc.collect() is not None and old() is None)
    assert not [one for one in threading.enumerate() if one.name == "beside"]


@pytest.mark.parametrize("state", ["shadow", "trial"])
def test_a_stop_closes_every_model(bench, monkeypatch, state):
    built = []
    plain = switch_kit.model

    def recorded(path):
        built.append(plain(path))
        return built[-1]

    monkeypatch.setattr(switch_kit, "model", recorded)
    running = bench(rules=replace(LONG, shadow_s=60.0 if state == "shadow" else 0.2))
    running.start()
    until(lambda: running.state == state and len(running.sink.results) > 30)
    running.stop()
    assert len(built) == 2
    assert [one._backend for one in built] == [None, None]


def test_an_active_model_that_cannot_be_loaded_leaves_nothing_behind_however_often(
    bench, tmp_path, monkeypatch
):
    broken = write_model(tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no model")
    running = bench()
    tries = []

    def load(digest):
        tries.append(digest)
        return switch_kit.model(broken)

    monkeypatch.setattr(course, "RETRY_S", 0.01)
    monkeypatch.setattr(running.desk, "load", load)
    monkeypatch.setattr(running.desk, "look", lambda: Wish("follow", "another"))
    running.start()
    until(lambda: len(tries) > 3)
    until(lambda: not running.switch.trying)
    assert len(running.switch._course._models._open) <= 2


def test_a_fault_of_the_thread_that_watches_ends_the_run(bench, monkeypatch):
    running = bench(rules=LONG)
    ended = []

    def run():
        try:
            running.pipeline.run()
        except ZeroDivisionError as exc:
            ended.append(exc)

    running._thread = threading.Thread(target=run)
    running.start()
    until(lambda: "2.0.0" in running.spoke())
    monkeypatch.setattr("edge_runtime.swap.jury.judge", lambda *_: 1 / 0)
    until(lambda: ended)


def test_a_fault_of_the_shadows_thread_refuses_the_candidate(bench, monkeypatch):
    monkeypatch.setattr(shadow, "agreement", lambda *_: 1 / 0)
    running = bench(rules=replace(LONG, shadow_s=60.0)).start()
    until(lambda: running.state == "rejected")
    assert running.sink.infos[-1].update.reason.startswith("shadow: division by zero")


def test_outputs_without_a_value_are_compared():
    nothing, some = (Tensors((Tensor("y", np.ones(count)),)) for count in (0, 2))
    assert agreement(nothing, nothing) == 1.0
    assert agreement(nothing, some) == 0.0


def test_a_candidate_that_never_returns_from_its_last_shadow_call_is_refused(bench, monkeypatch):
    monkeypatch.setattr(shadow.Shadow, "stop", lambda self, timeout_s=2.0: False)
    running = bench(rules=replace(RULES, hang_s=0.5)).start()
    until(lambda: running.state == "rejected")
    assert running.store.open().quarantine[-1].reason.startswith("hang")
    assert running.switch.stuck
    assert running.spoke() == ["1.0.0"]


def test_a_candidate_whose_last_canary_call_never_ends_is_refused_and_the_process_begun_anew(
    bench, monkeypatch
):
    asked = threading.Event()
    rules = replace(RULES, canary_percent=50, hang_s=0.5)
    running = bench("hang", rules, hung=asked.set)

    def canary(trial, *_):
        until(lambda: trial.evidence.results)
        running.stream.spoil.set()
        until(lambda: trial.evidence.busy_s)
        return course.Finding("good")
        yield

    monkeypatch.setattr("edge_runtime.swap.jury.canary", canary)
    running.start()
    assert asked.wait(10)
    assert running.store.open().quarantine[-1].reason.startswith("hang")


def test_a_load_that_never_ends_leaves_the_next_candidate_its_chance(tmp_path, monkeypatch):
    class Endless:
        manifest = switch_kit.model(write_model(tmp_path / "any")).manifest
        closed = 0

        def open(self):
            threading.Event().wait(20)

        def close(self):
            self.closed += 1

    monkeypatch.setattr("edge_runtime.swap.loaded.LOAD_S", 0.0)
    live, candidate = Endless(), Endless()
    models = Loaded(live, lambda _: candidate)
    for _ in models.load("digest"):
        pass
    assert models.stuck
    assert models.shadow is None
    models.close()
    assert (live.closed, candidate.closed) == (1, 0)
