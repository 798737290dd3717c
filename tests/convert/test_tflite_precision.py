"""Real .tflite files quantised, and run by the device's own backend."""

from __future__ import annotations

import json

import numpy as np
import pytest
from edge_runtime.converters import child
from edge_runtime.converters.errors import ConversionError
from edge_runtime.converters.jobs.tflite import file as tflite_file

from edge_runtime.backends.tflite import TFLite
from edge_runtime.preprocess.quantise import dequantise, quantise
from tests.families import python_of


@pytest.fixture(scope="module")
def python():
    return python_of("convert")


@pytest.fixture(scope="module")
def source(data):
    return data / "models" / "resnet8-cifar10" / "resnet8_float.tflite"


@pytest.fixture(scope="module")
def cases(data, tmp_path_factory):
    """40 pictures of CIFAR-10, 4 of each class, under the position of the input."""
    cv2 = pytest.importorskip("cv2")
    paths = sorted((data / "images" / "cifar10").glob("*/000[0-3].jpg"))
    pictures = [cv2.imread(str(path))[..., ::-1] for path in paths]
    file = tmp_path_factory.mktemp("cases") / "cases.npz"
    np.savez(file, **{"0": np.stack(pictures).astype(np.float32)})
    return file


@pytest.fixture
def convert(python, source, cases, tmp_path):
    """Run a job on the float model; gives the facts and the file."""

    def run(module, model=source, given=cases, **options):
        out = tmp_path / "out.tflite"
        job = {"source": model, "out": out, "options": options, "cases": given}
        return child.run(python, module, job, timeout_s=120), out

    return run


def answers(path, cases, delegate="xnnpack"):
    """The scores as real values, on the device's backend."""
    backend = TFLite(path=path, delegate=delegate)
    backend.open()
    (given,), (gives,) = backend.inputs, backend.outputs
    found = []
    for case in np.load(cases)["0"][:, np.newaxis]:
        stored = case if given.dtype == "float32" else quantise(case, given)
        found.append(dequantise(backend.run([stored])[0], gives)[0])
    backend.close()
    return np.stack(found)


@pytest.mark.parametrize(
    ("precision", "limits"),
    [
        ("float16", (0.6, 0.02)),
        ("dynamic", (0.35, 0.4)),
        ("int8", (0.35, 0.4)),
        ("int16x8", (0.35, 0.3)),
    ],
)
def test_each_precision_shrinks_the_file_and_keeps_the_labels(
    convert, source, cases, precision, limits
):
    ratio, worst = limits
    facts, out = convert("tflite.precision", precision=precision)

    delegate = "cpu" if precision == "int16x8" else "xnnpack"  # XNNPACK has no 16-bit kernels
    want, found = answers(source, cases), answers(out, cases, delegate)
    assert out.stat().st_size < ratio * source.stat().st_size
    assert 1e-6 < np.abs(found - want).max() < worst
    assert (found.argmax(1) == want.argmax(1)).mean() >= 0.95
    assert [spec["name"] for spec in facts["inputs"]] == ["input_1"]
    assert facts["outputs"][0]["dtype"] == "float32"
    assert facts["kept_float"] == []
    if precision in ("int8", "int16x8"):
        assert facts["float_tensors"] == 2  # the input and the output
    assert [path.name for path in out.parent.iterdir()] == ["out.tflite"]


def test_dynamic_dense_layers_say_what_runtime_they_need_or_have_one_scale(convert):
    versions = []
    for legacy in (False, True):
        _, out = convert("tflite.precision", precision="dynamic", legacy=legacy)
        model = tflite_file.read(out)
        dense = next(o for name, _, o in tflite_file.operators(model) if name == "FULLY_CONNECTED")
        versions.append(model.operatorCodes[dense.opcodeIndex].version)
    assert versions[0] == 12  # tflite-runtime 2.14 knows 9, and would take the first scale for all
    assert versions[1] < 10


@pytest.mark.parametrize("io", ["int8", "uint8"])
def test_inputs_and_outputs_can_be_integers(convert, source, cases, io):
    facts, out = convert("tflite.precision", precision="int8", io=io)

    assert facts["float_tensors"] == 0
    assert {facts["inputs"][0]["dtype"], facts["outputs"][0]["dtype"]} == {io}
    assert facts["inputs"][0]["scale"] == pytest.approx(1.0, rel=0.05)  # pixels of 0 to 255
    found, want = answers(out, cases), answers(source, cases)
    assert (found.argmax(1) == want.argmax(1)).mean() >= 0.95


def test_calibrations_differ_and_all_hold_the_labels(convert, source, cases):
    want, found = answers(source, cases), {}
    for method in ("minmax", "percentile", "entropy"):
        _, out = convert("tflite.precision", precision="int8", calibration=method)
        found[method] = answers(out, cases)
        assert (found[method].argmax(1) == want.argmax(1)).mean() >= 0.95
    assert not np.array_equal(found["minmax"], found["percentile"])


def test_what_is_asked_to_stay_float_does_and_the_facts_say_so(convert):
    facts, _ = convert("tflite.precision", precision="int8", keep_float=["SOFTMAX", "re:^Identity"])
    assert [(part["op"], part["why"]) for part in facts["kept_float"]] == [("SOFTMAX", "asked for")]

    with pytest.raises(ConversionError, match="has no operation nowhere"):
        convert("tflite.precision", precision="int8", keep_float=["nowhere"])


def test_sensitivity_ranks_every_operation_and_what_it_names_can_be_kept(convert):
    facts, out = convert("tflite.sensitivity", max_cases=8)

    errors = [part["relative_error"] for part in facts["sensitivity"]]
    assert errors == sorted(errors, reverse=True)
    assert json.loads(out.read_text())["sensitivity"] == facts["sensitivity"]
    assert (facts["failed"], facts["not_tried"]) == ([], 0)

    worst = [part["node"] for part in facts["sensitivity"][:4]]
    plain, _ = convert("tflite.precision", precision="int8")
    better, _ = convert("tflite.precision", precision="int8", keep_float=worst)
    assert {part["node"] for part in better["kept_float"]} == set(worst)
    assert better["compared"]["relative_error"] < 0.8 * plain["compared"]["relative_error"]


def test_sensitivity_ends_in_time_and_counts_what_it_did_not_try(convert):
    facts, _ = convert("tflite.sensitivity", max_cases=2, seconds=0)
    assert len(facts["sensitivity"]) == 1
    assert facts["not_tried"] == 15


def test_a_quantised_source_is_refused_by_the_layer_that_is(convert, data):
    quantised = data / "models" / "resnet8-cifar10" / "resnet8_int8.tflite"
    with pytest.raises(ConversionError, match=r"is quantised already \(CONV_2D .* is int8\)"):
        convert("tflite.precision", quantised, precision="float16")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"precision": "int4"}, "'int4' is not one of float16"),
        ({"precision": "float16", "io": "int8"}, "io 'int8' with float16: one of float32"),
        ({"precision": "int8", "given": None}, "needs cases"),
    ],
)
def test_wrong_options_are_named(convert, options, why):
    with pytest.raises(ConversionError, match=why):
        convert("tflite.precision", **options)


def test_an_operation_without_a_kernel_and_half_a_file_are_named(convert, data, source, tmp_path):
    with pytest.raises(ConversionError, match="fake-op-double"):
        convert("tflite.predict", data / "models" / "broken" / "model_invoking_error.tflite")
    half = tmp_path / "half.tflite"
    half.write_bytes(source.read_bytes()[:40000])
    with pytest.raises(ConversionError, match="cut short"):
        convert("tflite.precision", half, precision="float16")


def test_reference_runs_are_those_of_the_device(convert, source, cases):
    facts, out = convert("tflite.predict")

    assert facts["cases"] == 40
    with np.load(out) as file:
        found = file["Identity"]
    np.testing.assert_allclose(found, answers(source, cases), atol=1e-5)
