"""The shipped twelve-lead model: all files on the golden vectors, its heads on a real record."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest

from edge_runtime import build, config, golden, manifest, registry
from edge_runtime.config import ModelConfig
from edge_runtime.lines import outcome_text
from edge_runtime.workbench.predict import predict
from tests.needs import ROOT
from tests.runtimes import need_runtime

FOLDER = ROOT / "models/ecg-edge"
CONTRACT = manifest.read(FOLDER)


@pytest.mark.parametrize("entry", CONTRACT.file, ids=lambda entry: entry.path)
def test_every_file_reproduces_the_golden_vectors_and_fits_the_heads(entry):
    need_runtime(entry.format)
    backend = registry.find("backend", entry.format)(path=FOLDER / entry.path, delegate="cpu")
    with closing(backend):
        backend.open()
        report = golden.replay(backend, FOLDER / "golden.npz")
        build.postprocess(CONTRACT, backend.outputs)

    assert report.cases >= 12
    assert not report.failure(CONTRACT.golden.tolerance, CONTRACT.golden.agreement)


def test_the_heads_say_of_a_golden_case_what_its_scores_say():
    need_runtime("tflite")
    with np.load(FOLDER / "golden.npz") as file:
        scores = file["output/0"][:, 0]
    backend = registry.find("backend", "tflite")(
        path=CONTRACT.path(CONTRACT.file[0]), delegate="cpu"
    )
    with closing(backend):
        backend.open()
        read, shape = build.postprocess(CONTRACT, backend.outputs), backend.outputs[0].shape
    for row in scores:
        said = read([row.reshape(shape)], None, None).labels
        wanted = {("rhythm", ("sinus", "af", "other")[int(row[:3].argmax())])}
        findings = zip(("NORM", "MI", "STTC", "CD", "HYP"), row[3:8], strict=True)
        wanted |= {("findings", name) for name, score in findings if score >= 0.5}
        wanted |= {("noise", "noise")} if row[8] >= 0.5 else set()
        assert {(label.head, label.label) for label in said} == wanted


def test_a_record_of_twelve_leads_goes_through_the_shipped_run_file(data):
    need_runtime("tflite")
    run_file = config.load(FOLDER / "run.toml")
    model = build.model(ModelConfig(path=FOLDER))
    record = str(data / "ecg/ptbxl/records100/00000/00001_lr")  # stated: NORM, sinus rhythm
    with closing(model):
        model.open()
        (result,) = predict(record, model, lambda: build.steps(run_file))

    rhythm, findings = outcome_text(result.outcome).split(", ")
    assert rhythm.startswith("rhythm: sinus 0.9")
    assert findings.startswith("findings: NORM 0.")
    assert list(model.heads) == ["rhythm", "findings", "noise"]


def test_int8_loses_no_half_point_in_the_gate_nor_on_the_test_part():
    conversion = json.loads((FOLDER / "conversion.json").read_text())
    scores = json.loads((FOLDER / "scores.json").read_text())
    files = {one["file"]: one for one in conversion["files"]}
    assert set(files) == {entry.path for entry in CONTRACT.file} == set(scores["bytes"])

    for name, size in scores["bytes"].items():
        assert (FOLDER / name).stat().st_size == size < 4_000_000
        lost = {one["head"]: one["points"] for one in files[name]["drops"]}
        assert list(lost) == ["rhythm", "findings", "noise"]
        assert max(lost.values()) <= 0.5
        if "int8" in name:
            against = scores["against_float"][name]
            assert min(change[0] for change in against["macro_f1_change"].values()) >= -0.005
            assert against["same_rhythm"] == 1.0
