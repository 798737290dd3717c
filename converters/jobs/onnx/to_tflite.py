"""An ONNX model as a float32 .tflite file, by onnx2tf (its direct backend; Python 3.12).

Option `layout`: "source" (the default) keeps the layout of every input, "channels-last" gives
image and signal inputs as TFLite computes them, which saves a transposition. Outputs are always
as the source's. Open dimensions are fixed at the sizes of the cases, the batch axis at 1. The
result is compared with the source; the tool's own word is not taken.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..difference import Outputs, require_same
from ..job import Array, Facts, Job, JobError
from ..tflite import file as tflite_file
from ..tflite import turn as tflite_turn
from ..tflite.session import Session
from . import batch as onnx_batch
from . import file as onnx_file
from . import session as onnx_session

_LIMIT = 1e-2  # of the relative error: other kernels, other order of sums


def run(job: Job) -> Facts:
    """Fix the shapes, convert, put names and order back, compare."""
    source = onnx_file.read(job.source)
    opened = onnx_session.session(source)
    cases = onnx_session.feeds(opened, job.cases)
    expected = onnx_session.predict(opened, cases)
    _fix(source, cases[0])
    layout = str(job.options.get("layout", "source"))
    if layout not in ("source", "channels-last"):
        raise JobError(f"layout {layout!r} is neither 'source' nor 'channels-last'")
    model = _convert(source, keep=layout == "source")
    names = [value.name for value in source.graph.input]
    tflite_file.arrange(model, _same(names), _same(list(expected)))
    found, layouts = _predict(Session(tflite_file.pack(model)), cases)
    turned = tflite_turn.give_back(model, found, expected)
    found, layouts = _predict(Session(tflite_file.pack(model)), cases)
    compared = require_same(expected, found, job.source.name, _LIMIT)
    tflite_file.write(model, job.out)
    return {
        "inputs": tflite_file.inputs(model),
        "outputs": tflite_file.outputs(model),
        "ops": tflite_file.ops(model),
        "float_tensors": tflite_file.float_tensors(model),
        "versions": {name: importlib.metadata.version(name) for name in ("onnx2tf", "onnx")},
        "layout": layouts,
        "compared": compared,
        "notes": [f"output {name} is transposed back at the end" for name in turned],
    }


def _fix(model: Any, case: dict[str, Array]) -> None:
    """Every input at the size that the case has."""
    onnx_batch.fix(model)
    for value in model.graph.input:
        for dimension, size in zip(
            value.type.tensor_type.shape.dim, case[value.name].shape, strict=True
        ):
            dimension.dim_value = size
    onnx_batch.infer_anew(model)


def _convert(model: Any, *, keep: bool) -> tflite_file.Model:
    """What onnx2tf makes of it. Raises JobError with its reason."""
    import onnx
    from onnx2tf import convert

    names = [value.name for value in model.graph.input if len(value.type.tensor_type.shape.dim) > 2]
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "model.onnx"
        onnx.save(model, given)
        try:
            convert(
                input_onnx_file_path=str(given),
                output_folder_path=folder,
                non_verbose=True,
                keep_shape_absolutely_input_names=names if keep and names else None,
            )
        except (SystemExit, ValueError, RuntimeError, NotImplementedError, KeyError) as exc:
            reason = " ".join(str(exc).split()) or type(exc).__name__
            raise JobError(
                f"onnx2tf cannot convert the model: {reason}; convert from the framework that it "
                "was exported from"
            ) from exc
        made = Path(folder) / "model_float32.tflite"
        if not made.is_file():
            raise JobError("onnx2tf ended without a word and without a file")
        return tflite_file.read(made)


def _same(names: Sequence[str]) -> dict[str, str]:
    return {name: name for name in names}


def _predict(session: Session, cases: Sequence[dict[str, Array]]) -> tuple[Outputs, dict[str, str]]:
    """The outputs, with inputs turned to channels last where the file takes them so."""
    layouts, feeds = {}, []
    for case in cases:
        feed = []
        for detail in session.inputs:
            array, shape = case[detail["name"]], tuple(detail["shape"])
            turned = array.ndim > 2 and array.shape != shape
            layouts[detail["name"]] = "channels-last" if turned else "source"
            feed.append(np.moveaxis(array, 1, -1) if turned else array.reshape(shape))
        feeds.append(feed)
    return session.predict(feeds), layouts
