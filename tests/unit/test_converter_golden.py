"""Golden vectors of a new model: chosen from real data, and reproduced by every file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters.data import read
from edge_runtime.converters.data.recorded import golden_inputs
from edge_runtime.converters.errors import GateError
from edge_runtime.converters.gate import golden
from edge_runtime.converters.gate.golden_cases import choose_real, edge_cases, leads
from edge_runtime.converters.gate.measure import How, ModelFile, measure

from edge_runtime import golden as device_golden
from edge_runtime import manifest, registry
from edge_runtime.errors import ConfigError
from edge_runtime.manifest import InputEntry
from tests.needs import ROOT
from tests.runtimes import need_runtime

RESNET8 = manifest.read(ROOT / "examples/contracts/resnet8.toml")
SSD = manifest.read(ROOT / "examples/contracts/ssd-mobilenet-v1.toml")
BEATS = manifest.read(ROOT / "models/ecg-beats")


def runs(file, contract):
    """The source of golden outputs: here a file that the device's own backends run."""

    def reference(inputs):
        return measure(ModelFile(file, inputs, contract), How(calls=0)).values

    return reference


@pytest.fixture(scope="module")
def resnet8(data):
    """Labelled pictures, the float file's outputs, and both files."""
    need_runtime("tflite")
    cases = read(str(data / "images/cifar10"), RESNET8)
    folder = data / "models/resnet8-cifar10"
    files = [folder / "resnet8_float.tflite", folder / "resnet8_int8.tflite"]
    return cases, measure(ModelFile(files[0], cases.inputs, RESNET8), How(calls=0)).values, files


@pytest.fixture(scope="module")
def made(resnet8, tmp_path_factory):
    cases, values, files = resnet8
    path = tmp_path_factory.mktemp("golden") / "golden.npz"
    source = runs(files[0], RESNET8)
    return path, golden.make(path, RESNET8, cases, values, files, source)


def backend(path, delegate):
    kind = "onnx" if path.suffix == ".onnx" else "tflite"
    return registry.find("backend", kind)(path=path, delegate=delegate)


@pytest.mark.parametrize("delegate", ["cpu", "xnnpack"])
def test_a_device_replays_what_was_written(made, resnet8, delegate):
    path, found = made
    for file in resnet8[2]:
        running = backend(file, delegate)
        running.open()
        report = device_golden.check(running, path, found.entry.tolerance, found.entry.agreement)
        running.close()
        assert report.cases == len(found.real) + len(found.edges)


def test_the_vectors_are_of_every_class_and_right(made, resnet8):
    cases = resnet8[0]
    _, found = made
    assert {name.partition("/")[0] for name in found.real} == set(RESNET8.labels())
    with np.load(made[0]) as file:
        tops = file["output/0"][: len(found.real), 0].argmax(axis=1)
    rows = [cases.names.index(name) for name in found.real]
    assert tops.tolist() == cases.labels[rows].tolist()


def test_the_expected_outputs_are_the_float_sources(made, resnet8):
    cases, values, _ = resnet8
    path, found = made
    rows = [cases.names.index(name) for name in found.real]
    with np.load(path) as file:
        assert np.allclose(file["output/0"][: len(rows), 0], values[0][rows], atol=1e-6)
        assert np.array_equal(file["input/0"][: len(rows), 0], cases.inputs["0"][rows])
        assert file["input/0"].shape[1:] == (1, 32, 32, 3)


def test_the_tolerance_follows_from_the_largest_error(made):
    _, found = made
    steps = 1 / 256  # of the INT8 file's output
    least = golden.MARGIN * found.largest_error + golden.STEPS * steps
    assert least < found.entry.tolerance <= least * 1.1 + 1e-4
    assert found.entry.agreement == 1.0
    errors = [report.max_error for report in found.reports.values()]
    assert max(errors) == pytest.approx(found.largest_error, abs=1e-6)


def test_every_edge_is_a_vector_or_left_out_with_a_reason(made):
    _, found = made
    told = {line.partition(":")[0] for line in found.left_out} | set(found.edges)
    assert {"zeros", "largest", "half-way", "noise"} <= told


def test_a_file_that_computes_something_else_does_not_pass(made, resnet8, tmp_path):
    path, found = made
    files = resnet8[2]
    with np.load(path) as file:
        changed = {name: file[name].copy() for name in file.files}
    changed["output/0"][2] = changed["output/0"][2][:, ::-1]
    np.savez(tmp_path / "golden.npz", **changed)
    with pytest.raises(GateError, match="golden vectors differ"):
        golden._proven(files[0], tmp_path / "golden.npz", found.entry, How())


def test_a_source_that_the_files_never_agree_with_gives_no_vectors(resnet8, tmp_path):
    cases, values, files = resnet8
    with pytest.raises(ConfigError, match="no case is clear enough to be golden"):
        golden.make(
            tmp_path / "golden.npz",
            RESNET8,
            cases,
            values,
            files[:1],
            lambda inputs: [np.full((len(inputs["0"]), 10), 0.1, np.float32)],
        )


def test_tflite_and_onnx_of_one_directory_share_their_vectors(tmp_path):
    need_runtime("tflite")
    need_runtime("onnx")
    cases = golden_inputs(BEATS)
    files = [ROOT / f"models/ecg-beats/ecg-beats-int8.{kind}" for kind in ("tflite", "onnx")]
    values = measure(ModelFile(files[0], cases.inputs, BEATS), How(calls=0)).values
    path = tmp_path / "golden.npz"

    found = golden.make(path, BEATS, cases, values, files, runs(files[0], BEATS))

    assert set(found.reports) == {"ecg-beats-int8.tflite", "ecg-beats-int8.onnx"}
    assert found.entry.tolerance < 0.2
    with np.load(path) as file:
        shapes = {file[f"input/{at}"].shape[1:] for at in range(len(BEATS.input))}
        assert shapes == {entry.shape for entry in BEATS.input}
        real = file["output/0"][: len(found.real), 0]
    assert {0, 2} <= set(real.argmax(axis=1).tolist())  # N and V are surely called


def test_a_detector_with_near_ties_needs_a_little_less_agreement(data, tmp_path):
    need_runtime("tflite")
    (tmp_path / "pictures").mkdir()
    for name in ("cats_and_dogs.jpg", "burger.jpg"):
        (tmp_path / "pictures" / name).symlink_to(data / "images" / name)
    cases = read(str(tmp_path / "pictures"), SSD)
    file = data / "models/ssd-mobilenet-v1-coco/ssd_mobilenet_v1_coco_uint8.tflite"
    source = runs(file, SSD)

    found = golden.make(tmp_path / "golden.npz", SSD, cases, source(cases.inputs), [file], source)

    count = len(found.real) + len(found.edges)
    assert found.real == ("burger.jpg", "cats_and_dogs.jpg")
    assert found.largest_error == 0
    assert found.entry.tolerance < 0.002
    assert found.entry.agreement == pytest.approx((count - 1) / count, abs=0.01)


# The choice


def test_a_real_case_leads_by_the_median_of_its_class_at_least(resnet8):
    cases, values, _ = resnet8
    rows = choose_real(cases, values, 0, RESNET8, seed=3)
    tops, lead = values[0].argmax(axis=1), leads(values[0])

    assert rows == choose_real(cases, values, 0, RESNET8, seed=3)
    assert rows != choose_real(cases, values, 0, RESNET8, seed=4)
    assert len(rows) == 12
    for row in rows:
        assert lead[row] >= np.median(lead[tops == tops[row]])


def test_right_answers_go_before_wrong_ones(resnet8):
    cases, values, _ = resnet8
    tops = values[0].argmax(axis=1)
    # Of each class that is called, one answer in four is called right.
    labels = np.where(np.arange(len(tops)) % 4 == 0, tops, (tops + 1) % 10)
    rows = choose_real(replace(cases, labels=labels), values, 0, RESNET8, seed=0)
    lead = leads(values[0])
    for row in rows:
        of_class = np.flatnonzero(tops == tops[row])
        clear = of_class[lead[of_class] >= np.median(lead[of_class])]
        right = sum(labels[one] == tops[one] for one in clear)
        chosen = [one for one in rows if tops[one] == tops[row]]
        assert sum(labels[one] == tops[one] for one in chosen) == min(right, len(chosen))


def test_a_case_without_numbers_is_not_chosen(resnet8):
    cases, values, _ = resnet8
    spoiled = values[0].copy()
    spoiled[:190] = np.nan
    assert min(choose_real(cases, [spoiled], 0, RESNET8, seed=0)) >= 190


def test_edges_of_a_picture_are_those_of_its_pixels(resnet8):
    entry = replace(RESNET8.input[0], mean=(127.5, 0.0, 255.0), std=(127.5, -1.0, 1.0))
    edges = dict(edge_cases(replace(RESNET8, input=(entry,)), resnet8[0], seed=0))

    assert edges["zeros"]["0"].max() == 0
    assert edges["least"]["0"][0, 0].tolist() == [-1, -255, -255]
    assert edges["largest"]["0"][0, 0].tolist() == [1, 0, 0]
    assert edges["half-way"]["0"][0, 0].tolist() == [0, -127.5, -127.5]
    noise = edges["noise"]["0"]
    assert (noise >= edges["least"]["0"]).all()
    assert (noise <= edges["largest"]["0"]).all()
    assert noise.std() > 10


def test_edges_of_other_inputs_are_those_of_the_data_and_none_comes_twice():
    entries = (
        InputEntry(name="x", kind="feature", feature="x", shape=(1, 2)),
        InputEntry(name="rate", kind="constant", value=(8.0,), shape=(1, 1)),
    )
    contract = replace(RESNET8, input=entries)
    rows = np.array([[0, 1], [3, 2]], np.float32)
    cases = replace(
        read_npz(contract, rows), inputs={"x": rows, "rate": np.full((2, 1), 8, np.float32)}
    )

    edges = dict(edge_cases(contract, cases, seed=0))

    assert "least" not in edges  # it is zeros
    assert edges["largest"]["x"].tolist() == [3, 3]
    assert all(case["rate"].tolist() == [8] for case in edges.values())


def read_npz(contract, rows):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "x.npz"), x=rows)
        return read(f"{folder}/x.npz", contract)


def test_the_lead_by_hand():
    assert leads(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])) == pytest.approx([0.5, 0.0])
    assert leads(np.array([[1.0]])).tolist() == [np.inf]
