"""F19: thousands of damaged models; `python -m tests.update.gate.mutants` runs more of them."""

from __future__ import annotations

from . import hostile, mutants
from .gates import ONNX, TFLITE, judged

COUNT = 2000


def test_f19_damaged_models_are_refused_or_harmless(tmp_path):
    tally = mutants.Hunt(tmp_path / "mutants").run(0, COUNT)
    assert tally.total() == COUNT
    assert tally["load"] > COUNT / 2
    assert tally["harmless"]  # some damage is to names and padding
    assert tally["golden"] + tally["finite"]  # some loads, and computes something else
    unhealthy = {name for name in tally if name.startswith("died") or name == "time-out"}
    assert sum(tally[name] for name in unhealthy) < COUNT / 100


def test_f19_the_same_seed_makes_the_same_mutant():
    data = bytes(range(256)) * 4
    assert [mutants.mutant(data, seed) for seed in range(50)] == [
        mutants.mutant(data, seed) for seed in range(50)
    ]
    assert sum(mutants.mutant(data, seed) != data for seed in range(50)) > 45


def test_f19_the_parent_judges_mutants_and_lives(tmp_path):
    for seed in range(4):
        rung = (ONNX, TFLITE)[seed % 2]
        data = mutants.mutant((hostile.HALF / rung.file).read_bytes(), seed)
        slot = hostile.slot(tmp_path / str(seed), hostile.HALF, hostile.content(rung.file, data))
        report = judged(slot, hostile.HALF, rung)
        assert report.passed or report.failure() is not None
