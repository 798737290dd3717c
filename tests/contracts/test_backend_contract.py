"""What every backend promises; both runtimes are held to the same claims."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backends.onnx import Onnx
from edge_runtime.backends.tflite import TFLite
from edge_runtime.errors import BadOptionError, FrameError, ModelLoadError
from tests.runtimes import need_runtime

Backends = type[TFLite] | type[Onnx]


@dataclass(frozen=True)
class Case:
    """A backend, a model with an open first dimension, and what it takes and gives."""

    backend: Backends
    delegate: str
    file: str

    def make(self, data: Path, **options) -> TFLite | Onnx:
        need_runtime(self.backend.kind)
        given = {"delegate": self.delegate, **options}
        return self.backend(path=data / self.file, **given)


CASES = [
    Case(TFLite, "xnnpack", "models/resnet8-cifar10/resnet8_float.tflite"),
    Case(TFLite, "cpu", "models/resnet8-cifar10/resnet8_int8.tflite"),
    Case(Onnx, "cpu", "ecg/models_thirdparty/uno_q_beat5/model_int8.onnx"),
]


def filled(backend: TFLite | Onnx, batch: int = 1, seed: int = 0) -> list[np.ndarray]:
    """Random tensors that fit the inputs; every open dimension is `batch`."""
    rng = np.random.default_rng(seed)
    tensors = []
    for spec in backend.inputs:
        shape = [size or batch for size in spec.shape]
        if np.dtype(spec.dtype).kind == "f":
            tensors.append(rng.normal(size=shape).astype(spec.dtype))
        else:
            tensors.append(rng.integers(-100, 100, shape).astype(spec.dtype))
    return tensors


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.backend.kind}-{case.delegate}")
class TestBackend:
    @pytest.fixture
    def backend(self, case: Case, data: Path) -> Iterator[TFLite | Onnx]:
        backend = case.make(data)
        backend.open()
        yield backend
        backend.close()

    def test_says_what_runs_it(self, backend, case):
        assert (backend.kind, backend.delegate) == (case.backend.kind, case.delegate)
        assert any(digit in backend.runtime for digit in "0123456789")

    def test_outputs_are_what_the_specs_say(self, backend):
        outputs = backend.run(filled(backend))
        assert len(outputs) == len(backend.outputs)
        for output, spec in zip(outputs, backend.outputs, strict=True):
            assert output.dtype.name == spec.dtype
            assert len(output.shape) == len(spec.shape)

    def test_the_same_tensors_give_the_same_outputs(self, backend):
        first, second = backend.run(filled(backend)), backend.run(filled(backend))
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))

    def test_outputs_are_the_callers_own(self, backend):
        kept = backend.run(filled(backend, seed=1))
        before = [output.copy() for output in kept]
        backend.run(filled(backend, seed=2))
        assert all(np.array_equal(a, b) for a, b in zip(kept, before, strict=True))

    def test_the_callers_tensors_may_be_views(self, backend):
        tensors = filled(backend)
        strided = [np.stack([tensor, tensor], axis=-1)[..., 0] for tensor in tensors]
        assert not any(tensor.flags.c_contiguous for tensor in strided)
        for plain, viewed in zip(backend.run(tensors), backend.run(strided), strict=True):
            assert np.array_equal(plain, viewed)

    def test_an_open_dimension_takes_any_size(self, backend):
        one, two = filled(backend, seed=1), filled(backend, seed=2)
        both = [np.concatenate(pair) for pair in zip(one, two, strict=True)]
        expected = np.concatenate([backend.run(one)[0], backend.run(two)[0]]).astype(float)
        assert backend.inputs[0].shape[0] is None
        assert np.allclose(backend.run(both)[0].astype(float), expected, atol=1e-4)
        assert backend.run(one)[0].shape[0] == 1

    def test_a_fixed_dimension_takes_no_other_size(self, case, data):
        backend = case.make(data)
        backend.open()
        shapes = {spec.name: (2, *spec.shape[1:]) for spec in backend.inputs}
        fixed = case.make(data, shapes=shapes)
        fixed.open()
        assert fixed.inputs[0].shape[0] == 2
        assert fixed.run(filled(fixed))[0].shape[0] == 2
        with pytest.raises(FrameError, match="shape"):
            fixed.run(filled(backend))

    def test_a_shape_for_an_unknown_input_is_refused(self, case, data):
        with pytest.raises(ModelLoadError, match="no input 'other'"):
            case.make(data, shapes={"other": (1,)}).open()

    def test_a_shape_against_the_file_is_refused(self, backend, case, data):
        spec = backend.inputs[0]
        with pytest.raises(ModelLoadError):
            case.make(data, shapes={spec.name: (1, *(7 for _ in spec.shape[1:]))}).open()

    def test_a_wrong_dtype_is_a_bad_frame(self, backend):
        tensors = [tensor.astype(np.float64) for tensor in filled(backend)]
        with pytest.raises(FrameError):
            backend.run(tensors)

    def test_a_wrong_shape_is_a_bad_frame_and_the_next_one_runs(self, backend):
        good = filled(backend)
        expected = backend.run(good)
        with pytest.raises(FrameError):
            backend.run([tensor[..., :-1] for tensor in good])
        assert np.array_equal(backend.run(good)[0], expected[0])

    @pytest.mark.parametrize("count", [0, 9])
    def test_a_wrong_number_of_tensors_is_a_bad_frame(self, backend, count):
        with pytest.raises(FrameError):
            backend.run(filled(backend)[:1] * count)

    def test_it_opens_again_after_close(self, backend):
        expected = backend.run(filled(backend))
        backend.close()
        backend.close()
        assert backend.inputs == ()
        backend.open()
        assert np.array_equal(backend.run(filled(backend))[0], expected[0])

    def test_close_and_reset_before_open_do_nothing(self, case, data):
        backend = case.make(data)
        backend.reset()
        backend.close()

    def test_the_constructor_touches_no_file(self, case):
        backend = case.make(Path("/nowhere"))
        with pytest.raises(ModelLoadError, match="No such file"):
            backend.open()

    def test_threads_do_not_change_the_answer(self, backend, case, data):
        threaded = case.make(data, threads=2)
        threaded.open()
        one, two = backend.run(filled(backend))[0], threaded.run(filled(backend))[0]
        assert np.allclose(one.astype(float), two.astype(float), atol=1e-4)

    @pytest.mark.parametrize(
        ("option", "value"), [("threads", 0), ("delegate", "warp"), ("library", "x.so")]
    )
    def test_a_wrong_option_is_named(self, case, data, option, value):
        with pytest.raises(BadOptionError) as caught:
            case.make(data, **{option: value})
        assert caught.value.key == option

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "empty"),
            (b"hello, this is no model at all\n", "begins with"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ],
        ids=["empty", "text", "pointer"],
    )
    def test_a_file_that_is_no_model_is_refused_with_the_reason(
        self, case, tmp_path, content, reason
    ):
        suffix = Path(case.file).suffix
        (tmp_path / f"model{suffix}").write_bytes(content)
        with pytest.raises(ModelLoadError, match=reason):
            Case(case.backend, case.delegate, f"model{suffix}").make(tmp_path).open()

    @pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
    def test_a_file_cut_short_is_refused(self, case, data, tmp_path, share):
        whole = (data / case.file).read_bytes()
        (tmp_path / "cut").write_bytes(whole[: max(16, int(len(whole) * share))])
        with pytest.raises(ModelLoadError):
            Case(case.backend, case.delegate, "cut").make(tmp_path).open()

    def test_every_refusal_is_one_line(self, case, data, tmp_path):
        whole = (data / case.file).read_bytes()
        (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelLoadError) as caught:
            Case(case.backend, case.delegate, "cut").make(tmp_path).open()
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
