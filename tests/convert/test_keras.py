"""Keras models and SavedModels: loaded, refused, converted, and run by LiteRT and ONNX Runtime."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters.child import run
from edge_runtime.converters.errors import ConversionError

from tests.families import python_of

_HERE = Path(__file__).parent
_ONE_CORE = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONWARNINGS": "ignore"}

# name of the network, options: what is converted to TFLite
TFLITE = [
    ("image", {}),
    ("image", {"precision": "float16"}),
    ("image", {"precision": "dynamic"}),
    ("image", {"precision": "int8", "io": "uint8"}),
    ("image", {"precision": "int16x8"}),
    ("two", {"batch": 0}),
    ("two", {"precision": "int8", "io": "int8"}),
    ("bigru", {}),
    ("bigru", {"precision": "float16"}),
    ("bigru", {"precision": "int8", "unroll": True}),
    ("lstm", {"precision": "dynamic"}),
    ("lstm", {"precision": "int8", "unroll": True}),
    ("lstm", {"unroll": True, "batch": 0}),
    ("attention", {}),
    ("attention", {"precision": "int8"}),
    ("attention", {"precision": "int16x8"}),
    ("ids", {"precision": "int8"}),
    ("volume", {"precision": "int8"}),
]
ONNX = [
    ("image", {"opset": 13}),
    ("two", {"metadata": {"name": "both"}}),
    ("bigru", {}),
    ("lstm", {"batch": 1, "unroll": True}),
    ("attention", {}),
]
# Of the largest value of an output. INT8 has 8 bits for the range of every tensor on the way.
_ERRORS = {"float32": 1e-5, "float16": 5e-3, "dynamic": 0.05, "int8": 0.1, "int16x8": 0.02}


def _id(value: object) -> str:
    return value if isinstance(value, str) else "-".join(map(str, value.values())) or "plain"


# file, module, options, what the one line says
REFUSED = [
    ("lambda.keras", "keras.model", {}, ["'twice' (Lambda)", "--trust", "your rights"]),
    ("lambda.h5", "keras.model", {}, ["'twice' (Lambda)", "--trust"]),
    ("custom.keras", "keras.model", {}, ["'Mine'", "SavedModel"]),
    ("only.weights.h5", "keras.model", {}, ["weights but no layers", "model.save"]),
    ("cut.keras", "keras.model", {}, ["not a whole .keras or .h5 file"]),
    ("nan.keras", "keras.model", {}, ["layer 'last': 1 values of its kernel", "NaN"]),
    ("absent.keras", "keras.model", {}, ["no such file"]),
    ("stateful.keras", "keras.model", {}, ["'memory' is stateful"]),
    ("reads", "keras.model", {}, ["(ReadFile)", "--trust"]),
    ("two-saved", "keras.model", {"signature": "x"}, ["no signature 'x'", "serving_default"]),
    ("log.keras", "keras.predict", {}, ["source itself is NaN", "case 0"]),
    ("image.keras", "keras.predict", {}, ["the model takes picture"]),
    ("bigru.keras", "keras.to_tflite", {"precision": "int8"}, ["'both' (GRU)", "--unroll"]),
    ("bigru.keras", "keras.to_tflite", {"batch": 0}, ["'both' (GRU)", "batch 1"]),
    ("bigru-saved", "keras.to_tflite", {"precision": "int8"}, ["loop", "give the .keras file"]),
    ("bigru-saved", "keras.to_tflite", {"unroll": True}, ["has no layers"]),
    ("open.keras", "keras.to_tflite", {"unroll": True}, ["'wave'", "shape in the contract"]),
    ("open.keras", "keras.to_tflite", {}, ["'wave'", "shape in the contract"]),
    ("image.keras", "keras.to_tflite", {"precision": "int4"}, ["'int4': one of"]),
    ("image.keras", "keras.to_tflite", {"io": "int8"}, ["needs precision int8"]),
    ("erfinv.keras", "keras.to_tflite", {}, ["no operation Erfinv", "ONNX"]),
    ("erfinv.keras", "keras.to_onnx", {}, ["no operation Erfinv", "TFLite"]),
    ("image.keras", "keras.to_onnx", {"opset": 99}, ["opset 99"]),
]
_CASES = {"log.keras": "x", "image.keras": "two", "bigru.keras": "bigru", "bigru-saved": "bigru"}
ACCEPTED = [
    ("lambda.keras", "keras.model", {"trust": True}),
    ("open.keras", "keras.to_tflite", {"inputs": [{"name": "0", "shape": [8, 3]}]}),
    ("two-saved", "keras.to_tflite", {}),
    ("two-saved", "keras.predict", {}),
    ("two.h5", "keras.predict", {}),
    ("two.keras", "keras.export", {"metadata": {"name": "both"}}),
]


@pytest.fixture(scope="module")
def python():
    return python_of("keras")


@pytest.fixture(scope="module")
def nets(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    _python(python, _HERE / "keras_nets.py", folder)
    return folder


@pytest.fixture(scope="module")
def done(python, nets):
    """Every job of the lists above, by its place in them: (what it answered, its file)."""
    asked = {
        **{("tflite", at): _job(nets, "keras.to_tflite", *each) for at, each in enumerate(TFLITE)},
        **{("onnx", at): _job(nets, "keras.to_onnx", *each) for at, each in enumerate(ONNX)},
        **{("refused", at): _file(nets, *each[:3]) for at, each in enumerate(REFUSED)},
        **{("accepted", at): _file(nets, *each) for at, each in enumerate(ACCEPTED)},
    }
    for number, (_, job) in enumerate(asked.values()):
        job["out"] = str(nets / f"out-{number}")
    said = _python(python, _HERE / "many_jobs.py", given=json.dumps(list(asked.values())))
    files = [Path(job["out"]) for _, job in asked.values()]
    return dict(zip(asked, zip(json.loads(said), files, strict=True), strict=True))


@pytest.mark.parametrize(("name", "options"), TFLITE, ids=_id)
def test_tflite_answers_as_keras_does(done, nets, name, options):
    answer, file = done["tflite", TFLITE.index((name, options))]

    assert "facts" in answer, answer
    precision = options.get("precision", "float32")
    wanted = _read(nets / f"{name}-answers.npz")
    given = _litert(file, _read(nets / f"{name}-cases.npz"), options.get("batch", 1))
    assert list(given) == list(wanted)
    for output, values in wanted.items():
        error = np.max(np.abs(given[output] - values))
        assert error <= _ERRORS[precision] * np.max(np.abs(values)), output


def test_inputs_and_outputs_have_the_names_and_the_order_of_the_source(done):
    facts = done["tflite", TFLITE.index(("two", {"batch": 0}))][0]["facts"]
    assert [each["name"] for each in facts["inputs"]] == ["wave", "age"]
    assert [each["name"] for each in facts["outputs"]] == ["rhythm", "beat"]
    assert facts["inputs"][0]["shape"] == [-1, 64, 3]
    facts = done["onnx", 1][0]["facts"]
    assert [each["name"] for each in facts["inputs"]] == ["wave", "age"]
    assert [each["name"] for each in facts["outputs"]] == ["rhythm", "beat"]


@pytest.mark.parametrize("at", [at for at, each in enumerate(TFLITE) if "int" in str(each[1])])
def test_an_integer_model_is_integer_throughout_or_says_what_is_not(done, at):
    facts = done["tflite", at][0]["facts"]
    name, options = TFLITE[at]
    if name == "volume":
        assert facts["notes"] == ["layer 'deep' stays float: CONV_3D"]
        return
    if options.get("unroll"):  # the quantiser may leave one SPLIT float, by chance
        assert all(note.endswith("stays float: SPLIT") for note in facts["notes"])
        assert facts["float_tensors"] < 0.1 * facts["ops"]["FULLY_CONNECTED"] + 8
        return
    ends = sum(each["dtype"] == "float32" for each in (*facts["inputs"], *facts["outputs"]))
    assert facts["notes"] == []
    assert facts["float_tensors"] == ends
    assert facts["inputs"][0]["dtype"] == (
        "int32" if name == "ids" else options.get("io", "float32")
    )


def test_each_precision_is_as_small_as_it_should_be(done):
    sizes = {
        options.get("precision", "float32"): done["tflite", at][0]["facts"]["constant_bytes"]
        for at, (name, options) in enumerate(TFLITE)
        if name == "image"
    }
    assert sizes["float16"] < 0.6 * sizes["float32"]
    assert sizes["dynamic"] < 0.5 * sizes["float32"]
    assert sizes["int8"] < 0.35 * sizes["float32"]


def test_a_loop_stays_a_loop_unless_it_is_unrolled(done):
    plain = done["tflite", TFLITE.index(("bigru", {}))][0]["facts"]
    unrolled = done["tflite", TFLITE.index(("bigru", {"precision": "int8", "unroll": True}))]
    assert plain["ops"]["WHILE"] == 2
    assert plain["recurrent"] == ["both"]
    assert "WHILE" not in unrolled[0]["facts"]["ops"]
    assert unrolled[0]["facts"]["unrolled"] == ["both"]


@pytest.mark.parametrize(("name", "options"), ONNX, ids=_id)
def test_onnx_answers_as_keras_does(done, nets, name, options):
    import onnxruntime

    answer, file = done["onnx", ONNX.index((name, options))]

    assert "facts" in answer, answer
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    cases = _read(nets / f"{name}-cases.npz")
    fixed = options.get("batch") == 1
    fed = {key: (array[:1] if fixed else array).astype("f") for key, array in cases.items()}
    for output, values in _read(nets / f"{name}-answers.npz").items():
        given = session.run([output], fed)[0]
        np.testing.assert_allclose(given, values[: len(given)], atol=1e-5)
    assert answer["facts"]["ir_version"] <= 10
    assert answer["facts"]["opset"] == options.get("opset", 17)
    assert session.get_modelmeta().custom_metadata_map == options.get("metadata", {})


@pytest.mark.parametrize("at", range(len(REFUSED)), ids=lambda at: "-".join(REFUSED[at][:2]))
def test_what_cannot_be_is_refused_in_one_line(done, at):
    answer, out = done["refused", at]

    assert "error" in answer, answer
    assert "\n" not in answer["error"]
    for part in REFUSED[at][3]:
        assert part in answer["error"]
    assert not list(out.parent.glob(f"*{out.name}*"))


def test_code_in_a_model_is_run_only_when_it_is_trusted_and_then_noted(done):
    facts = done["accepted", 0][0]["facts"]
    assert facts["notes"] == ["code of layer 'twice' (Lambda) was run, since the file is trusted"]


def test_an_open_dimension_is_fixed_by_the_option(done):
    assert done["accepted", 1][0]["facts"]["inputs"][0]["shape"] == [1, 8, 3]


def test_a_saved_model_converts_too(done, nets):
    given = _litert(done["accepted", 2][1], _read(nets / "two-cases.npz"), 1)
    for values, name in zip(given.values(), ("rhythm", "beat"), strict=True):
        np.testing.assert_allclose(values, _read(nets / "two-answers.npz")[name], atol=1e-5)


@pytest.mark.parametrize("at", [3, 4])
def test_the_source_is_asked_for_its_own_answers(done, nets, at):
    answer, file = done["accepted", at]

    assert "facts" in answer, answer
    for values, wanted in zip(
        _read(file).values(), _read(nets / "two-answers.npz").values(), strict=True
    ):
        np.testing.assert_allclose(values, wanted, atol=1e-6)


def test_a_server_gets_a_folder_with_metadata(done):
    answer, folder = done["accepted", 5]

    assert "facts" in answer, answer
    assert max(answer["facts"]["max_error"].values()) < 1e-5
    assert (folder / "saved_model.pb").is_file()
    metadata = (folder / "assets.extra" / "metadata.json").read_text(encoding="utf-8")
    assert json.loads(metadata) == {"name": "both"}


def test_a_child_converts_and_tells_its_progress(python, nets, tmp_path):
    told = []
    job = {
        "source": nets / "two.keras",
        "out": tmp_path / "two.tflite",
        "cases": nets / "two-cases.npz",
        "options": {"precision": "int8"},
    }

    facts = run(
        python, "keras.to_tflite", job, timeout_s=200, on_progress=lambda *step: told.append(step)
    )

    assert facts["inputs"][0]["name"] == "wave"
    assert (24, 24, "calibrate") in told
    assert told[-1] == (3, 3, "done")
    assert [path.name for path in tmp_path.iterdir()] == ["two.tflite"]


def test_a_child_s_refusal_is_an_error_of_the_conversion(python, nets, tmp_path):
    job = {"source": nets / "lambda.keras", "out": tmp_path / "x", "cases": None}
    with pytest.raises(ConversionError, match=r"layer 'twice' \(Lambda\) holds Python code"):
        run(python, "keras.model", job, timeout_s=200)


def _job(nets, module, name, options):
    cases = str(nets / f"{name}-cases.npz")
    return [module, {"source": str(nets / f"{name}.keras"), "cases": cases, "options": options}]


def _file(nets, name, module, options):
    cases = _CASES.get(name, "two" if module == "keras.predict" else "")
    file = str(nets / f"{cases}-cases.npz") if cases and module != "keras.model" else None
    return [module, {"source": str(nets / name), "cases": file, "options": options}]


def _python(python, script, *arguments, given=""):
    done = subprocess.run(
        [python, script, *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_ONE_CORE, **_QUIET},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _read(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _litert(path, cases, batch):
    """The answers of a .tflite file, as real values, by output name."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    total = len(next(iter(cases.values())))
    size = batch or total
    for detail in interpreter.get_input_details():
        shape = (size, *detail["shape"][1:])
        interpreter.resize_tensor_input(detail["index"], shape, strict=True)
    interpreter.allocate_tensors()
    answers = {detail["name"]: [] for detail in interpreter.get_output_details()}
    for start in range(0, total, size):
        for detail in interpreter.get_input_details():
            value = cases[detail["name"]][start : start + size]
            scale, zero = detail["quantization"]
            if scale:
                limits = np.iinfo(detail["dtype"])
                value = np.clip(np.round(value / scale) + zero, limits.min, limits.max)
            interpreter.set_tensor(detail["index"], value.astype(detail["dtype"]))
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            value = interpreter.get_tensor(detail["index"])
            scale, zero = detail["quantization"]
            answers[detail["name"]].append((value - float(zero)) * scale if scale else value)
    return {name: np.concatenate(parts) for name, parts in answers.items()}
