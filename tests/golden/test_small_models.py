"""The small models of models/: what their files say, on every runtime that is here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import build, config, golden, manifest, registry, shipped
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Backend
from tests.needs import ROOT
from tests.runtimes import need_runtime

MODELS = ROOT / "models"
HALF, CIFAR = MODELS / "half-plus-two", MODELS / "cifar10-resnet8"


def opened(folder: Path, kind: str) -> Backend:
    need_runtime(kind)
    entry = next(one for one in manifest.read(folder).file if one.format == kind)
    backend = registry.find("backend", kind)(path=folder / entry.path, delegate="cpu")
    backend.open()
    return backend


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
@pytest.mark.parametrize("folder", [HALF, CIFAR], ids=lambda folder: folder.name)
def test_a_file_reproduces_the_golden_vectors(folder, kind):
    contract = manifest.read(folder)
    backend = opened(folder, kind)

    report = golden.replay(backend, folder / contract.golden.file)

    backend.close()
    assert report.cases >= 8
    assert not report.failure(contract.golden.tolerance, contract.golden.agreement)


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_half_plus_two_answers_as_tensorflow_serving_does(kind):
    backend = opened(HALF, kind)

    found = [backend.run([np.full((1, 1), x, np.float32)])[0].item() for x in (1, 2, 5)]

    assert found == [2.5, 3.0, 4.5]
    assert [spec.name for spec in (*backend.inputs, *backend.outputs)] == ["x", "y"]
    backend.close()


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_half_plus_two_takes_any_number_of_numbers_at_once(kind):
    need_runtime(kind)
    entry = next(one for one in manifest.read(HALF).file if one.format == kind)
    backend = registry.find("backend", kind)(
        path=HALF / entry.path, delegate="cpu", shapes={"x": (3, 1)}
    )
    backend.open()

    (found,) = backend.run([np.array([[1], [2], [5]], np.float32)])

    backend.close()
    assert found.tolist() == [[2.5], [3.0], [4.5]]


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_cifar10_calls_the_test_pictures_as_its_scores_say(kind, data):
    cv2 = pytest.importorskip("cv2")
    need_runtime(kind)
    scores = json.loads((CIFAR / "scores.json").read_text(encoding="utf-8"))["test"][kind]
    entry = next(one for one in manifest.read(CIFAR).file if one.format == kind)
    model = build.model(
        config.ModelConfig(
            path=CIFAR, delegates=(config.Rung("cpu", file=entry.path),), required=True
        )
    )
    files = sorted((data / "images/cifar10").glob("*/*.jpg"))

    model.open()  # replays the golden vectors
    right = sum(
        model(Frame(cv2.imread(str(path)), 1, 1, seq, "cifar10")).outcome.labels[0].label
        == path.parent.name
        for seq, path in enumerate(files)
    )
    model.close()

    assert len(files) == scores["pictures"] == 200
    assert right / len(files) == pytest.approx(scores["accuracy"], abs=0.015)


def test_the_card_and_the_manifest_of_cifar10_state_the_measured_figures():
    scores = json.loads((CIFAR / "scores.json").read_text(encoding="utf-8"))
    accuracy, card = manifest.read(CIFAR).accuracy, (CIFAR / "README.md").read_text("utf-8")
    for side in ("held out", "test"):
        for kind, figures in scores[side].items():
            assert accuracy[f"{side.replace(' ', '_')}_{kind}"] == figures["accuracy"]
            low, high = (100 * share for share in figures["95 %"])
            assert f"{100 * figures['accuracy']:.2f} % ({low:.1f} to {high:.1f})" in card


def test_every_model_has_a_row_in_the_table_of_models():
    table = (MODELS / "README.md").read_text(encoding="utf-8")
    names = shipped.model_directories(MODELS)

    assert len(names) >= 4
    assert [name for name in names if f"[{name}]({name}/README.md)" not in table] == []
