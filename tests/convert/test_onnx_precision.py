"""ONNX models checked, cleaned and quantised, and run by the device's own backend."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters import child
from edge_runtime.converters.errors import ConversionError

from edge_runtime.backends.onnx import Onnx
from tests.families import python_of

SHAPES = {
    "images": ("image", (3, 8, 8)),
    "images11": ("image", (3, 8, 8)),
    "lifted": ("x", (6,)),
    "gru": ("x", (5, 3)),
    "lstm": ("x", (5, 3)),
    "overflowing": ("x", (4,)),
    "fixed": ("x", (2, 3)),
    "fixed_inside": ("x", (2, 3)),
    "mixing": ("x", (3,)),
}


@pytest.fixture(scope="module")
def python():
    return python_of("convert")


@pytest.fixture(scope="module")
def nets(python, tmp_path_factory):
    """The models of onnx_nets.py, with 32 cases beside each."""
    folder = tmp_path_factory.mktemp("nets")
    script = Path(__file__).parent / "onnx_nets.py"
    subprocess.run([python, script, folder], check=True)
    random = np.random.default_rng(1)
    for net, (name, shape) in SHAPES.items():
        np.savez(folder / f"{net}.npz", **{name: random.standard_normal((32, *shape)).astype("f")})
    return folder


@pytest.fixture
def convert(python, nets, tmp_path):
    """Run a job on one of the models; gives the facts and the file."""

    def run(module, net, cases=True, **options):
        source = net if isinstance(net, Path) else nets / f"{net}.onnx"
        job = {
            "source": source,
            "out": tmp_path / "out.onnx",
            "options": options,
            "cases": source.with_suffix(".npz") if cases else None,
        }
        return child.run(python, module, job, timeout_s=120), tmp_path / "out.onnx"

    return run


def answers(path, net, nets, batch=1):
    """The first output for the cases of a net, on the device's backend."""
    cases = next(iter(np.load(nets / f"{net}.npz").values()))
    backend = Onnx(path=path)
    backend.open()
    parts = [backend.run([cases[k : k + batch]])[0] for k in range(0, len(cases), batch)]
    backend.close()
    return np.concatenate(parts)


def error(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_cleaning_drops_dead_nodes_and_folds_constants_and_changes_no_output(convert, nets):
    facts, out = convert("onnx.model", "images", metadata={"author": "a test"})

    assert facts["nodes_before"] == 8
    assert facts["nodes_after"] == 6
    assert facts["ir_version"] <= 10
    assert facts["inputs"] == [{"name": "image", "shape": [-1, 3, 8, 8], "dtype": "float32"}]
    assert error(answers(out, "images", nets), answers(nets / "images.onnx", "images", nets)) < 1e-5
    assert b"a test" in out.read_bytes()


def test_the_opset_is_brought_up_and_the_batch_fixed(convert, nets):
    facts, out = convert("onnx.model", "images11", opset=17, batch=1)

    assert (facts["opset"], facts["inputs"][0]["shape"]) == (17, [1, 3, 8, 8])
    assert facts["outputs"][0]["shape"] == [1, 4]
    want = answers(nets / "images11.onnx", "images11", nets)
    assert error(answers(out, "images11", nets), want) < 1e-5


@pytest.mark.parametrize("net", ["fixed", "fixed_inside"])
def test_a_batch_that_a_reshape_fixes_is_opened(convert, nets, net):
    facts, out = convert("onnx.model", net, batch=0)

    assert facts["inputs"][0]["shape"] == [-1, 2, 3]
    want = answers(nets / f"{net}.onnx", net, nets)
    assert error(answers(out, net, nets, batch=8), want) < 1e-6


def test_a_model_that_mixes_the_cases_of_a_batch_keeps_it_fixed(convert):
    with pytest.raises(ConversionError, match="mixes the cases of a batch"):
        convert("onnx.model", "mixing", batch=0)


def test_a_file_of_a_newer_format_is_written_so_that_old_runtimes_read_it(convert, nets):
    facts, _ = convert("onnx.model", nets / "newest.onnx", cases=False)
    assert facts["ir_version"] == 10


def test_weights_that_are_no_numbers_are_refused_by_the_name_of_their_node(convert, nets):
    with pytest.raises(ConversionError, match=r"second \(Conv\).*k2 hold NaN"):
        convert("onnx.model", nets / "sick.onnx", cases=False)


def test_weights_beside_the_file_are_taken_in_or_missed_by_name(convert, nets, tmp_path):
    facts, out = convert("onnx.model", nets / "outside.onnx", cases=False)
    assert facts["nodes_after"] == 6
    assert out.stat().st_size > (nets / "outside.bin").stat().st_size

    alone = tmp_path / "outside.onnx"
    alone.write_bytes((nets / "outside.onnx").read_bytes())
    with pytest.raises(ConversionError, match=r"outside\.bin, which is not beside it"):
        convert("onnx.model", alone, cases=False)


def test_half_a_file_is_refused_and_leaves_nothing(convert, nets, tmp_path):
    half = tmp_path / "half.onnx"
    half.write_bytes((nets / "images.onnx").read_bytes()[:1500])
    with pytest.raises(ConversionError, match="not an ONNX file, or cut short"):
        convert("onnx.model", half, cases=False)
    assert [path.name for path in tmp_path.iterdir()] == ["half.onnx"]


def test_float16_takes_and_gives_float32_at_half_the_size(convert, nets):
    facts, out = convert("onnx.precision", "images", precision="float16")

    assert {i["dtype"] for i in (*facts["inputs"], *facts["outputs"])} == {"float32"}
    want = answers(nets / "images.onnx", "images", nets)
    assert 1e-7 < error(answers(out, "images", nets), want) < 5e-3


def test_a_value_that_float16_has_not_is_named_and_the_node_can_stay_float(convert, nets):
    with pytest.raises(
        ConversionError, match=r"node amplify \(Mul\) gives .* which float16 has not"
    ):
        convert("onnx.precision", "overflowing", precision="float16")

    facts, out = convert(
        "onnx.precision", "overflowing", precision="float16", keep_float=["amplify", "attenuate"]
    )
    assert {kept["node"]: kept["why"] for kept in facts["kept_float"]} == {
        "amplify": "asked for",
        "attenuate": "asked for",
    }
    want = answers(nets / "overflowing.onnx", "overflowing", nets)
    assert error(answers(out, "overflowing", nets), want) < 5e-3


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy"])
def test_int8_is_near_its_source_with_each_calibration(convert, nets, calibration):
    facts, out = convert("onnx.precision", "images", precision="int8", calibration=calibration)

    assert facts["ops"]["QuantizeLinear"] >= 3
    assert [part["node"] for part in facts["kept_float"]] == ["dead"]  # no integer kernel of Tanh
    want = answers(nets / "images.onnx", "images", nets)
    assert 1e-4 < error(answers(out, "images", nets), want) < 0.1
    assert facts["compared"]["max_error"] == pytest.approx(
        float(np.abs(answers(out, "images", nets) - want).max()), rel=1e-3
    )


def test_int8_of_an_old_opset_is_brought_up_for_weights_per_channel(convert, nets):
    facts, out = convert("onnx.precision", "images11", precision="int8")

    assert facts["opset"] >= 13
    want = answers(nets / "images11.onnx", "images11", nets)
    assert error(answers(out, "images11", nets), want) < 0.1


def test_sensitivity_finds_the_node_that_int8_ruins_and_keeping_it_float_cures(
    convert, nets, tmp_path
):
    want = answers(nets / "lifted.onnx", "lifted", nets)
    _, out = convert("onnx.precision", "lifted", precision="int8")
    assert error(answers(out, "lifted", nets), want) > 0.5

    facts, table = convert("onnx.sensitivity", "lifted")
    worst = [part["node"] for part in facts["sensitivity"]]
    assert worst[0] == "enter/MatMulAddFusion"  # ONNX Runtime makes one node of enter and lift
    assert json.loads(table.read_text())["sensitivity"] == facts["sensitivity"]

    facts, out = convert("onnx.precision", "lifted", precision="int8", keep_float=worst[:1])
    assert {"node": worst[0], "op": "Gemm", "why": "asked for"} in facts["kept_float"]
    assert error(answers(out, "lifted", nets), want) < 0.05


@pytest.mark.parametrize("net", ["gru", "lstm"])
def test_a_recurrent_layer_stays_float_under_static_int8_and_the_facts_say_so(convert, nets, net):
    facts, out = convert("onnx.precision", net, precision="int8")

    kept = {part["node"]: part["why"] for part in facts["kept_float"]}
    assert "no int8 kernel" in kept["memory"]
    want = answers(nets / f"{net}.onnx", net, nets)
    assert error(answers(out, net, nets), want) < 0.1


def test_dynamic_takes_an_lstm_and_leaves_a_gru(convert, nets):
    facts, out = convert("onnx.precision", "lstm", precision="dynamic")
    assert facts["ops"]["DynamicQuantizeLSTM"] == 1
    assert error(answers(out, "lstm", nets), answers(nets / "lstm.onnx", "lstm", nets)) < 0.1

    facts, _ = convert("onnx.precision", "gru", precision="dynamic")
    assert facts["ops"]["GRU"] == facts["ops"]["MatMulInteger"] == 1
    assert [part["op"] for part in facts["kept_float"]] == ["GRU"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"precision": "int4"}, "'int4' is not one of float16, int8, dynamic"),
        ({"precision": "int8", "keep_float": ["nowhere"]}, "has no node nowhere"),
        ({"precision": "int8", "calibration": "best"}, "'best' is not one of minmax"),
    ],
)
def test_wrong_options_are_named(convert, options, why):
    with pytest.raises(ConversionError, match=why):
        convert("onnx.precision", "images", **options)


def test_int8_needs_cases_and_a_float_source(convert, tmp_path):
    with pytest.raises(ConversionError, match="needs cases"):
        convert("onnx.precision", "images", cases=False, precision="int8")
    _, out = convert("onnx.precision", "images", precision="int8")
    with pytest.raises(ConversionError, match="is quantised already"):
        convert("onnx.precision", out, cases=False, precision="float16")


def test_a_calibration_case_that_is_not_finite_is_named(convert, nets, tmp_path):
    source = tmp_path / "images.onnx"
    source.write_bytes((nets / "images.onnx").read_bytes())
    cases = np.load(nets / "images.npz")["image"]
    cases[3, 0, 0, 0] = np.inf
    np.savez(source.with_suffix(".npz"), image=cases)
    with pytest.raises(ConversionError, match="not finite in calibration case 3"):
        convert("onnx.precision", source, precision="int8")


def test_reference_runs_are_those_of_the_device(python, nets, tmp_path):
    job = {"source": nets / "gru.onnx", "out": tmp_path / "o.npz", "cases": nets / "gru.npz"}
    facts = child.run(python, "onnx.predict", job, timeout_s=60)

    assert facts["cases"] == 32
    found = np.load(tmp_path / "o.npz")["scores"]
    assert found.shape == (32, 4)
    assert error(found, answers(nets / "gru.onnx", "gru", nets)) < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["o.npz"]
