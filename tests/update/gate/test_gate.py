"""What the gate says of good models, and of good models that this device cannot afford."""

from __future__ import annotations

import sys
import time

import pytest

from edge_runtime.config import ModelConfig, Rung
from edge_runtime.errors import BadOptionError, RefusedError, UpdateError
from edge_runtime.update.gate import judging as gate
from edge_runtime.update.gate import trial_run
from edge_runtime.update.gate.budget import Budget

from ..swap import wrong
from . import graphs, hostile
from .gates import BOARD, ONNX, TFLITE, judged, refusal, taken_over

BEATS_ONNX = Rung("cpu", file="ecg-beats-int8.onnx")
SHAPES_ONNX = Rung("cpu", file="shapes_int8.onnx")
IN_ORDER = ["manifest", "files", "hash", "hash", "external data", "external data", "contract"]
IN_ORDER += ["tolerance", "load", "finite", "deterministic", "golden", "agreement", "delegate"]
IN_ORDER += ["latency", "memory"]


@pytest.mark.parametrize("rung", [Rung("xnnpack"), BEATS_ONNX], ids=["tflite", "onnx"])
def test_a_good_model_passes_every_check_in_order(tmp_path, rung):
    slot = hostile.slot(tmp_path / "slot", hostile.BEATS)
    report = judged(slot, hostile.BEATS, rung)
    assert report.failure() is None
    assert report.passed
    assert [check.name for check in report.checks] == IN_ORDER
    report.require()


def test_the_report_tells_of_every_wall(tmp_path):
    report = judged(hostile.slot(tmp_path / "slot", hostile.HALF), hostile.HALF, ONNX)
    walls = {"priority", "network", "limits", "no_new_privs", "files", "capabilities", "calls"}
    assert set(report.sandbox) == walls
    assert all(report.sandbox.values())
    assert "768 MB" in report.sandbox["limits"]


def test_a_refusal_says_which_check_what_was_expected_and_what_was_seen(tmp_path):
    slot = hostile.slot(
        tmp_path / "slot", hostile.SHAPES, hostile.text("circle", "ring", "labels.txt")
    )
    report = judged(slot, hostile.SHAPES, Rung("xnnpack"))
    with pytest.raises(RefusedError, match="labels: expected .*circle.*, seen .*ring") as caught:
        report.require()
    assert caught.value.reason == "labels"
    assert caught.value.exit_code == 3


def test_a_candidate_must_take_the_live_models_delegate(tmp_path):
    wrecked = graphs.overflowing_tflite((hostile.HALF / TFLITE.file).read_bytes())
    slot = hostile.slot(tmp_path / "slot", hostile.HALF, hostile.content(TFLITE.file, wrecked))
    failure = refusal(slot, hostile.HALF, TFLITE, ONNX)
    assert failure.name == "delegate"
    assert "xnnpack" in failure.expected
    assert failure.seen.startswith("cpu xnnpack: ")


def test_a_broken_live_model_does_not_keep_out_the_one_that_mends_it(tmp_path):
    live = hostile.slot(tmp_path / "live", hostile.HALF, hostile.content(ONNX.file, b"\0" * 99))
    report = judged(hostile.slot(tmp_path / "slot", hostile.HALF), live, ONNX)
    assert report.passed
    found = next(check for check in report.checks if check.name == "live")
    assert "none: " in found.seen


def test_a_bare_file_may_be_the_live_model(tmp_path):
    slot = hostile.slot(tmp_path / "slot", hostile.HALF)
    config = ModelConfig(
        hostile.HALF / ONNX.file, hostile.HALF / "model.toml", (Rung("cpu"),), threads=1
    )
    report = gate.judge(slot, config.path, config, BOARD, Budget(turns=3, turn_s=0.02))
    assert report.passed


def test_the_board_profile_chooses_where_the_run_file_says_nothing(tmp_path):
    slot = hostile.slot(tmp_path / "slot", hostile.HALF)
    config = ModelConfig(hostile.HALF)
    report = gate.judge(slot, hostile.HALF, config, "", Budget(turns=3, turn_s=0.02))
    assert report.passed
    assert {check.seen for check in report.checks if check.name == "load"} == {"tflite/xnnpack"}


def test_f14_ten_times_slower_is_refused(tmp_path):
    slot = hostile.slot(
        tmp_path / "slot", hostile.HALF, hostile.content(ONNX.file, graphs.slow(256, 4))
    )
    failure = refusal(slot, hostile.HALF, ONNX)
    assert failure.name == "latency"
    assert "the live model takes" in failure.expected
    assert failure.seen.endswith(" ms")


def test_f14_over_its_memory_is_refused(tmp_path):
    slot = hostile.slot(
        tmp_path / "slot", hostile.HALF, hostile.content(ONNX.file, graphs.bomb("Expand", 24))
    )
    failure = refusal(slot, hostile.HALF, ONNX, latency_ratio=1e9, turns=2)
    assert failure.name == "memory"
    assert "the live model" in failure.expected


def test_a_child_that_cannot_start_is_no_fault_of_the_candidates(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UpdateError, match="does not start: exit 1") as caught:
        judged(hostile.slot(tmp_path / "slot", hostile.HALF), hostile.HALF, ONNX)
    assert not isinstance(caught.value, RefusedError)
    assert caught.value.reason == "gate"


LIES = ["", "[]", "{}", "nonsense", "[" * 9000, '{"check": 1}', '{"check": {"passed": true}}']
LIES += ['{"rung": "x"}', '{"rung": -1}', "x" * (1 << 21)]
LIES += ['{"check": {"name": "x", "passed": true, "expected": "x", "seen": [["x"]]}}']
RUNG = '{"rung": 0, "delegate": "cpu", "before": ""}\n'
LIES += ['{"rung": 0}', RUNG, RUNG + '{"turn_ms": NaN}', RUNG + '{"turn_ms": 1e400}']
LIES += [RUNG.replace("0", "1" + "0" * 400)]  # a number that is no float


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_a_child_that_was_taken_over_is_refused_whatever_it_says(tmp_path, monkeypatch, lie):
    taken = taken_over(tmp_path / "taken", f'{{"sandbox": {{}}}}\n{lie}\n')
    monkeypatch.setattr(sys, "executable", taken)
    failure = refusal(tmp_path, hostile.HALF, ONNX, wall_s=20.0)
    assert failure.name == "crash"


def test_a_limit_of_ones_own_stands_beside_the_live_models():
    budget = Budget(latency_ratio=2.0, latency_ms=5.0, memory_mb=0, memory_ratio=2.0)
    assert budget.latency_limit_ms(1.0) == 2.0
    assert budget.latency_limit_ms(4.0) == 5.0
    assert budget.latency_limit_ms(0.0) == 5.0
    assert budget.latency_limit_ms(0.01) == pytest.approx(0.11)
    assert budget.memory_limit_mb(50.0) == 116.0
    assert Budget(memory_mb=20).memory_limit_mb(50.0) == 20.0
    assert Budget().latency_limit_ms(0.0) == Budget().memory_limit_mb(0.0) == float("inf")


def test_a_slow_model_is_run_once_a_turn():
    """Nine turns of a model that takes seconds must fit into the time that there is."""

    class Slow:
        runs = 0

        def run(self, tensors):
            self.runs += 1
            time.sleep(0.02)

    slow = Slow()
    assert trial_run.turn(slow, [[]], 0.01) >= 20
    assert slow.runs == 1


def test_each_thread_of_the_inference_has_its_cpu_time(tmp_path):
    slot = hostile.slot(tmp_path / "slot", hostile.HALF)
    config = ModelConfig(hostile.HALF, delegates=(ONNX,), threads=3)
    report = gate.judge(slot, hostile.HALF, config, BOARD, Budget(cpu_s=50, turns=2, turn_s=0.02))
    assert report.passed
    assert "150 s of CPU" in report.sandbox["limits"]


@pytest.mark.parametrize("key", ["wall_s", "cpu_s", "turns", "latency_ratio"])
def test_a_budget_of_nothing_is_refused(key):
    with pytest.raises(BadOptionError, match=f"{key}: must be above 0"):
        Budget(**{key: 0})


# Valid, and wrong.

PERMUTED = hostile.onnx_file(SHAPES_ONNX.file, wrong.permuted([1, 2, 3, 4, 5, 0]))
NOISED = hostile.onnx_file(SHAPES_ONNX.file, wrong.noised(1))
RECORDED = wrong.rerecorded(SHAPES_ONNX.file)


@pytest.mark.parametrize("weights", [PERMUTED, NOISED], ids=["permuted", "noised"])
def test_wrong_weights_are_told_by_the_golden_vectors(tmp_path, weights):
    slot = hostile.slot(tmp_path / "slot", hostile.SHAPES, weights)
    assert refusal(slot, hostile.SHAPES, SHAPES_ONNX).name == "golden"


@pytest.mark.parametrize("weights", [PERMUTED, NOISED], ids=["permuted", "noised"])
def test_golden_vectors_made_by_wrong_weights_are_told_by_the_live_models(tmp_path, weights):
    slot = hostile.slot(tmp_path / "slot", hostile.SHAPES, weights, RECORDED)
    failure = refusal(slot, hostile.SHAPES, SHAPES_ONNX)
    assert failure.name == "agreement"
    assert failure.seen in ("0% of 8 cases", "12% of 8 cases")


def test_labels_permuted_with_their_weights_are_told_by_the_contract(tmp_path):
    def rotate(slot):
        first, *others = (slot / "labels.txt").read_text().split()
        hostile.content("labels.txt", "\n".join([*others, first, ""]).encode())(slot)

    slot = hostile.slot(tmp_path / "slot", hostile.SHAPES, PERMUTED, RECORDED, rotate)
    assert refusal(slot, hostile.SHAPES, SHAPES_ONNX).name == "labels"
