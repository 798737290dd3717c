"""FP16 models say what the network says in single precision."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime import registry
from tests.needs import ROOT
from tests.runtimes import need_runtime

MODELS = ROOT / "tests/models"


@pytest.mark.parametrize(("kind", "dtype"), [("tflite", "float32"), ("onnx", "float16")])
def test_an_fp16_model_runs_with_the_dtype_that_its_file_states(kind, dtype):
    need_runtime(kind)
    known = np.load(MODELS / "tiny_fp16.npz")
    backend = registry.find("backend", kind)(path=MODELS / f"tiny_fp16.{kind}", delegate="cpu")
    backend.open()
    assert [spec.dtype for spec in (*backend.inputs, *backend.outputs)] == [dtype, dtype]
    for given, expected in zip(known["inputs"], known["outputs"], strict=True):
        (found,) = backend.run([given.astype(dtype)])
        np.testing.assert_allclose(found.astype(np.float32), expected, atol=2e-3)
    backend.close()
