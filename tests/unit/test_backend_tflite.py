"""TensorFlow Lite: delegates, state, damaged files, and what a runtime's refusal is turned into."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends import DELEGATES
from edge_runtime.backends.flatbuffer import read_outline
from edge_runtime.backends.interpreter import import_runtime
from edge_runtime.backends.tflite import TFLite
from edge_runtime.errors import (
    BadOptionError,
    DelegateError,
    FrameError,
    MissingExtraError,
    ModelLoadError,
)
from edge_runtime.interfaces import Quantisation
from tests.needs import missing
from tests.runtimes import need_runtime, wake_word_frames

FLOAT = "models/resnet8-cifar10/resnet8_float.tflite"
INT8 = "models/resnet8-cifar10/resnet8_int8.tflite"
WAKE_WORD = "models/wakeword-okay-nabu/okay_nabu.tflite"
LEGACY = "tflite-runtime"


@pytest.fixture(autouse=True)
def _runtime():
    need_runtime("tflite")


def opened(path: Path, **options) -> TFLite:
    options.setdefault("delegate", "cpu")
    backend = TFLite(path=path, **options)
    backend.open()
    return backend


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> str:
    """A real external delegate, compiled here."""
    compiler = shutil.which("cc")
    if compiler is None:
        missing("a C compiler", "apt-get install gcc")
    built = tmp_path_factory.mktemp("delegate") / "libconstant.so"
    source = Path(__file__).with_name("backend_delegate.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", built, source], check=True)
    return str(built)


def test_an_external_delegate_computes_with_its_options(data, library):
    backend = opened(data / FLOAT, delegate="external", library=library, options={"value": "2.5"})
    output = backend.run([np.zeros((1, 32, 32, 3), np.float32)])[0]
    assert np.array_equal(output, np.full((1, 10), 2.5, np.float32))


def test_a_library_may_go_by_any_name(data, library):
    backend = opened(data / FLOAT, delegate="mynpu", library=library, options={"value": "1"})
    assert backend.delegate == "mynpu"


def test_a_delegate_that_takes_no_operation_is_refused(data, library):
    with pytest.raises(DelegateError, match="takes none of the 16 operations"):
        opened(data / FLOAT, delegate="external", library=library, options={"take": "none"})


def test_a_delegate_that_does_not_start_says_why(data, library):
    with pytest.raises(DelegateError, match="no such device"):
        opened(data / FLOAT, delegate="external", library=library, options={"start": "never"})


def test_a_damaged_model_is_not_blamed_on_the_delegate(data, library):
    with pytest.raises(ModelLoadError) as caught:
        opened(
            data / "models/broken/person_detect_int8.tflite", delegate="external", library=library
        )
    assert not isinstance(caught.value, DelegateError)


@pytest.mark.parametrize("name", ["edgetpu", "armnn"])
def test_a_library_that_is_not_here_is_named_with_the_remedy(data, name, capfd):
    with pytest.raises(DelegateError, match=rf"delegate {name}: lib\w+\.so.*install the vendor"):
        opened(data / FLOAT, delegate=name)
    assert capfd.readouterr().err == ""


def test_a_library_that_is_no_delegate_is_refused_quietly(data, capfd):
    with pytest.raises(DelegateError, match="tflite_plugin_create_delegate"):
        opened(data / FLOAT, delegate="external", library="libc.so.6")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["gpu", "external", "mynpu"])
def test_a_delegate_without_a_known_library_asks_for_one(name):
    with pytest.raises(BadOptionError, match="library"):
        TFLite(path=Path("model.tflite"), delegate=name)


def test_options_for_a_built_in_delegate_are_refused():
    with pytest.raises(BadOptionError, match="built in"):
        TFLite(path=Path("model.tflite"), delegate="xnnpack", options={"value": "1"})


@pytest.mark.parametrize("name", DELEGATES["tflite"])
def test_every_listed_delegate_can_be_asked_for(name):
    library = None if name in ("xnnpack", "cpu") else "libany.so"
    assert TFLite(path=Path("model.tflite"), delegate=name, library=library).delegate == name


def test_xnnpack_and_the_plain_kernels_agree(data):
    tensor = np.random.default_rng(3).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    fast, plain = opened(data / FLOAT, delegate="xnnpack"), opened(data / FLOAT)
    assert np.allclose(fast.run([tensor])[0], plain.run([tensor])[0], atol=1e-4)


def test_xnnpack_that_knows_no_quantised_operation_says_so(data):
    """tflite-runtime 2.14 was built without XNNPACK's quantised kernels; LiteRT has them."""
    if not import_runtime().title.startswith(LEGACY):
        assert opened(data / INT8, delegate="xnnpack").delegate == "xnnpack"
        return
    with pytest.raises(DelegateError, match="takes none of the 16 operations"):
        opened(data / INT8, delegate="xnnpack")


def test_quantisation_is_read_from_the_file(data):
    backend = opened(data / INT8)
    assert backend.inputs[0].dtype == "int8"
    assert backend.inputs[0].quantisation == Quantisation((1.0,), (-128,))
    assert backend.outputs[0].quantisation == Quantisation((1 / 256,), (-128,))
    assert opened(data / FLOAT).inputs[0].quantisation is None


def test_input_and_output_may_differ_in_type(data):
    backend = opened(data / WAKE_WORD)
    assert (backend.inputs[0].dtype, backend.outputs[0].dtype) == ("int8", "uint8")
    assert backend.run([np.zeros((1, 3, 40), np.int8)])[0].dtype == np.uint8


@pytest.mark.parametrize("delegate", ["cpu", "xnnpack"])
def test_a_stateful_model_remembers_until_reset(data, delegate):
    if delegate == "xnnpack" and import_runtime().title.startswith(LEGACY):
        delegate = "cpu"  # its XNNPACK takes no quantised operation
    backend = opened(data / WAKE_WORD, delegate=delegate)

    def scores() -> list[int]:
        return [int(backend.run([frame])[0][0, 0]) for frame in wake_word_frames()]

    fresh = scores()
    assert max(fresh) > 20, "the stimulus must move the score"
    assert scores() != fresh, "the model must hold state"
    backend.reset()
    assert scores() == fresh


def test_reset_of_a_stateless_model_keeps_its_answers(data):
    backend = opened(data / FLOAT)
    tensor = np.ones((2, 32, 32, 3), np.float32)
    expected = backend.run([tensor])[0]
    backend.reset()
    assert np.array_equal(backend.run([tensor])[0], expected)


def test_an_unknown_operation_is_named(data):
    with pytest.raises(ModelLoadError, match="does not know its operation fake-op-double"):
        opened(data / "models/broken/model_invoking_error.tflite", delegate="xnnpack")


def test_a_model_that_only_smaller_runtimes_take_is_refused_with_their_reason(data):
    with pytest.raises(ModelLoadError, match="quantized_dimension must be in range"):
        opened(data / "models/broken/person_detect_int8.tflite")


def test_full_tensorflow_operations_are_refused_before_loading(data, tmp_path):
    content = (data / "models/broken/model_invoking_error.tflite").read_bytes()
    (tmp_path / "flex.tflite").write_bytes(content.replace(b"fake-op-double", b"FlexErfcDouble"))
    with pytest.raises(ModelLoadError, match=r"TensorFlow itself for FlexErfcDouble.*BUILTINS"):
        opened(tmp_path / "flex.tflite")


def test_an_onnx_file_is_refused(data):
    with pytest.raises(ModelLoadError, match="not a TensorFlow Lite file"):
        opened(data / "models/silero-vad/silero_vad_16k_op15.onnx")


def test_a_refused_size_leaves_the_model_usable(data):
    backend = opened(data / "models/ssd-mobilenet-v1-coco/ssd_mobilenet_v1_coco_uint8.tflite")
    with pytest.raises(FrameError, match=r"shape \(1, 300, 300, 3\), not \(1, 320, 320, 3\)"):
        backend.run([np.zeros((1, 320, 320, 3), np.uint8)])
    assert backend.run([np.zeros((1, 300, 300, 3), np.uint8)])[3].shape == (1,)


@pytest.mark.parametrize("count", [0, 80_000, 2**22, 2**40])
def test_a_size_that_the_runtime_cannot_lay_out_leaves_the_model_usable(data, count):
    if count == 80_000 and import_runtime().title.startswith(LEGACY):
        pytest.skip("tflite-runtime 2.14 tries, and takes the memory for it")
    backend = opened(data / FLOAT)
    expected = backend.run([np.ones((1, 32, 32, 3), np.float32)])[0]
    with pytest.raises(FrameError, match="cannot run at"):
        backend.run([np.broadcast_to(np.float32(0), (count, 32, 32, 3))])
    assert np.array_equal(backend.run([np.ones((1, 32, 32, 3), np.float32)])[0], expected)


def test_a_file_with_a_zip_behind_it_is_whole(data):
    """TFLite metadata (label maps) is a zip archive appended to the model."""
    path = data / "models/ssd-mobilenet-v1-coco/ssd_mobilenet_v1_coco_uint8.tflite"
    assert read_outline(path).custom_ops == ("TFLite_Detection_PostProcess",)


def test_only_models_with_resource_variables_are_said_to_have_them(data):
    assert read_outline(data / WAKE_WORD).has_variables
    assert not read_outline(data / FLOAT).has_variables


def test_no_damage_to_the_outline_gets_past_the_reader(data, tmp_path):
    """Every offset of the header, pointed elsewhere: read whole or refused, never followed out."""
    content = (data / "models/broken/model_invoking_error.tflite").read_bytes()
    target = tmp_path / "model.tflite"
    refused = 0
    for position in (*range(4), *range(8, len(content))):
        for value in (0, 0x7F, 0xFF):
            damaged = bytearray(content)
            damaged[position] = value
            target.write_bytes(damaged)
            try:
                read_outline(target)
            except ValueError:
                refused += 1
    assert refused > 50


def test_a_missing_last_byte_is_noticed(data, tmp_path):
    """tflite-runtime 2.14 loads such a file without a word."""
    content = (data / "models/kws-dscnn/kws_int8.tflite").read_bytes()
    end = max(
        position
        for position in range(len(content) - 64, len(content))
        if _outline_of(content[:position], tmp_path) is None
    )
    assert end > len(content) - 16


def _outline_of(content: bytes, tmp_path: Path) -> object | None:
    (tmp_path / "cut.tflite").write_bytes(content)
    try:
        return read_outline(tmp_path / "cut.tflite")
    except ValueError:
        return None


def test_without_any_runtime_the_extra_is_named(data, monkeypatch):
    for package in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.delitem(sys.modules, f"{package}.interpreter", raising=False)
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edge-runtime\[tflite\]'") as caught:
        opened(data / FLOAT)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_importing_the_backend_loads_no_runtime():
    code = (
        "import sys, edge_runtime.backends.tflite, edge_runtime.backends.onnx\n"
        "loaded = {'ai_edge_litert', 'tflite_runtime', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(str(loaded) if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
