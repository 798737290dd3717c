"""The shipped beat model: both files, the golden vectors, test patients, and the generator."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import golden, manifest, registry
from edge_runtime.build import postprocess, prepare
from edge_runtime.ecg.matching import AAMI, match_beats
from edge_runtime.errors import EndOfStream
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Backend, Step
from edge_runtime.model import Candidate, Model
from edge_runtime.outcome import Beat
from edge_runtime.preprocess.bandpass import Bandpass
from edge_runtime.preprocess.beats import Beats
from edge_runtime.preprocess.resample import Resample
from edge_runtime.sources.generators.ecgsyn import EcgSyn
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_record import open_record

FOLDER = Path(__file__).parents[2] / "models" / "ecg-beats"


def backend(kind: str) -> Backend:
    entry = next(one for one in manifest.read(FOLDER).file if one.format == kind)
    make = registry.find("backend", kind)
    return make(
        path=FOLDER / entry.path, delegate="cpu", threads=1, library=None, options={}, shapes={}
    )


@pytest.fixture(params=["tflite", "onnx"])
def model(request: pytest.FixtureRequest) -> Iterable[Model]:
    contract = manifest.read(FOLDER)
    entry = next(one for one in contract.file if one.format == request.param)
    candidate = Candidate("cpu", contract.path(entry), entry.sha256, backend(request.param))
    made = Model(
        manifest=contract, candidates=[candidate], prepare=prepare, postprocess=postprocess
    )
    made.open()
    yield made
    made.close()


def steps() -> tuple[Step, ...]:
    return Resample(rate_hz=250), Bandpass(low_hz=0.5, high_hz=40), Beats()


def called(model: Model, frames: Iterable[Frame]) -> list[Beat]:
    for step in steps():
        frames = [made for frame in frames for made in step(frame)] + list(step.flush())
    return [beat for frame in frames for beat in model(frame).outcome.beats]


def counts(truth: list[tuple[int, str]], beats: list[Beat], within_ns: int) -> dict[str, tuple]:
    """By class: right, in the reference, called."""
    pairs = match_beats([at for at, _ in truth], [b.timestamp_ns for b in beats], within_ns)
    right = [truth[i][1] for i, j in pairs if truth[i][1] == beats[j].label]
    labels, found = [label for _, label in truth], [b.label for b in beats]
    return {k: (right.count(k), labels.count(k), found.count(k)) for k in "NSV"}


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_a_file_reproduces_the_golden_vectors(kind: str) -> None:
    contract = manifest.read(FOLDER)
    opened = backend(kind)
    opened.open()
    report = golden.replay(opened, FOLDER / contract.golden.file)
    opened.close()
    assert report.cases >= 30
    assert report.agreement == 1.0
    assert report.max_error <= contract.golden.tolerance


def test_the_golden_vectors_are_near_the_float_network_and_hold_every_class() -> None:
    with np.load(FOLDER / "golden.npz") as file:
        int8, real = file["output/0"], file["float/0"]
    assert np.abs(int8 - real).max() < 0.1
    assert set(int8.argmax(axis=-1).ravel()) == {0, 1, 2}


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_no_beat_is_called_s_where_the_rhythm_looks_like_fibrillation(kind: str) -> None:
    with np.load(FOLDER / "golden.npz") as file:
        early = np.flatnonzero(file["output/0"][:, 0].argmax(axis=-1) == 1)
        context, beats = file["input/0"], file["input/2"]
    opened = backend(kind)
    opened.open()

    def called(score: float) -> list[int]:
        likeness = np.full((1, 1), score, np.float32)
        inputs = ([context[row], likeness, beats[row]] for row in early)
        return [int(opened.run(tensors)[0].argmax()) for tensors in inputs]

    calls = {score: called(score) for score in (0.0, 0.5, 0.95)}

    opened.close()
    assert len(early) >= 10
    assert calls[0.0] == calls[0.5] == [1] * len(early)
    assert 1 not in calls[0.95]


def test_no_patient_is_on_both_sides_of_the_split() -> None:
    records = runpy.run_path(str(FOLDER / "records.py"))
    train, test, folds = records["DS1"], records["DS2"], records["FOLDS"]
    assert len(train) == len(set(train)) == len(test) == len(set(test)) == 22
    assert not set(train) & set(test)
    assert not {"102", "104", "107", "217"} & {*train, *test}  # paced
    assert sorted(name for fold in folds for name in fold) == sorted(train)


def test_the_card_and_the_manifest_state_the_measured_figures() -> None:
    run = json.loads((FOLDER / "scores.json").read_text(encoding="utf-8"))["runs"][0]["DS2"]
    accuracy, card = manifest.read(FOLDER).accuracy, (FOLDER / "README.md").read_text("utf-8")
    for kind in ("float", "tflite", "onnx"):
        figures = run[kind]["all"]
        assert accuracy[f"{kind}_macro_f1"] == pytest.approx(figures["macro F1"], abs=1e-3)
        cell = f"{figures['V Se']:.1f} / {figures['V +P']:.1f} / {figures['V F1']:.3f}"
        assert cell in card


def test_the_directory_is_small_and_its_labels_are_the_classes() -> None:
    contract = manifest.read(FOLDER)
    assert contract.labels() == ("N", "S", "V")
    assert sum((FOLDER / one.path).stat().st_size for one in contract.file) < 200_000


def test_the_manifest_states_what_the_beats_step_gives() -> None:
    signal = next(one for one in manifest.read(FOLDER).input if one.kind == "signal")
    source = EcgSyn(name="a", seconds=10, pace="flat", chunk_s=10)
    source.open()
    frames = [source.read(1)]
    for step in steps():
        frames = [made for frame in frames for made in step(frame)]
    assert frames[0].data.shape == signal.shape[1:]
    assert frames[0].leads == signal.leads
    assert frames[0].rate_hz == signal.rate_hz


@pytest.mark.parametrize("seed", [0, 11])
def test_beats_of_the_generator_are_called_right(model: Model, seed: int) -> None:
    source = EcgSyn(name="demo", seconds=300, seed=seed, pace="flat", chunk_s=1)
    source.open()
    frames: list[Frame] = []
    while True:
        try:
            frames.append(source.read(1))
        except EndOfStream:
            break

    beats = called(model, frames)

    start_ns = frames[0].timestamp_ns
    truth = [(at, k) for at, k in source.truth_ns(start_ns) if at < start_ns + 299 * 10**9]
    score = counts(truth, beats, 20_000_000)
    assert score["N"][0] / score["N"][1] > 0.98
    assert score["V"][0] / score["V"][1] > 0.95
    assert score["V"][0] / score["V"][2] > 0.95
    assert score["S"][0] / score["S"][1] > 0.8
    assert score["S"][0] / score["S"][2] > 0.8


@pytest.mark.parametrize(
    ("name", "least_v", "least_n"), [("100", 0, 0.98), ("221", 0.9, 0.97), ("233", 0.9, 0.95)]
)
def test_beats_of_test_patients_are_called_right(
    model: Model, data: Path, name: str, least_v: float, least_n: float
) -> None:
    seconds = 600
    record = open_record(data / "ecg" / "mitdb" / name, ["MLII"])
    frames = []
    for seq, block in enumerate(record.blocks(0, seconds * 360)):
        at_ns = round(block.first * 1e9 / 360)
        frames.append(Frame(block.mv, at_ns, at_ns, seq, name, 360.0, ("MLII",)))
    marks = read_annotations(data / "ecg" / "mitdb" / f"{name}.atr")
    truth = [
        (round(at * 1e9 / 360), AAMI[symbol])
        for at, symbol in zip(marks.samples.tolist(), marks.symbols, strict=True)
        if symbol in AAMI and 360 < at < (seconds - 1) * 360
    ]

    score = counts(truth, called(model, frames), 150_000_000)

    assert score["N"][0] >= least_n * score["N"][1]
    assert score["V"][0] >= least_v * score["V"][1]
