"""A valid model that is wrong, given straight to the switch; its own golden vectors fit it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_runtime import build
from edge_runtime.config import ModelConfig, Rung
from edge_runtime.sources.generators.shapes import Shapes

from ..gate import hostile
from ..gate.hostile import SHAPES
from . import switch_kit, wrong
from .switch_kit import RULES, Bench, until, validated

FILE = "shapes_int8.onnx"
PERMUTED = hostile.onnx_file(FILE, wrong.permuted([1, 2, 3, 4, 5, 0]))
NEVER = replace(RULES, shadow_s=60.0, probation_s=60.0, probation_results=10_000)


def onnx(path):
    return build.model(ModelConfig(path, delegates=(Rung("cpu", file=FILE),), threads=1))


@pytest.mark.parametrize(
    "weights",
    [*(hostile.onnx_file(FILE, wrong.noised(seed)) for seed in (1, 2, 3)), PERMUTED],
    ids=["noised-1", "noised-2", "noised-3", "permuted"],
)
def test_weights_that_are_wrong_never_speak_for_the_shadow_hears_them(
    tmp_path, monkeypatch, weights
):
    monkeypatch.setattr(switch_kit, "model", onnx)
    pictures = Shapes(name="shapes", count=10**6, pace="real", rate_hz=50.0)
    running = Bench(tmp_path, rules=NEVER, live=SHAPES, stream=pictures)
    newer = hostile.text(f'version = "{onnx(SHAPES).manifest.version}"', 'version = "9.0.0"')
    bad = hostile.slot(tmp_path / "bad", SHAPES, weights, wrong.rerecorded(FILE), newer)
    validated(running.store, bad, version="9.0.0")
    running.start()
    until(lambda: running.state == "rejected")
    running.stop()
    said = running.sink.infos[-1].update
    assert said.reason.startswith("disagreement")
    assert said.shadow.agreement < 0.5
    assert said.shadow.samples[0].live != said.shadow.samples[0].candidate
    assert running.spoke() == [onnx(SHAPES).manifest.version]
    assert running.lost() == []
