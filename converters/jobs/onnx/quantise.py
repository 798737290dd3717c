"""Static int8 quantisation of an ONNX model, in steps that its sensitivity needs one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import ranges
from ..job import Array, Job, JobError
from . import file as onnx_file
from . import session as onnx_session
from .model import to_opset

_OPSET_MIN = 13  # from here DequantizeLinear has an axis, which per-channel weights need
_OPSET_TO = 17
CHUNK = 256  # tensors that are watched in one run; all at once would fill the memory

# What ONNX Runtime's quantiser has no integer kernel for, though it holds weights.
RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A float model ready to be quantised, and the ranges of its tensors."""

    model: Any
    ranges: ranges.Ranges
    symmetric: bool  # zero points of 0, as TensorRT wants them

    def nodes(self) -> list[str]:
        """The names of the nodes that static quantisation takes, in order."""
        kinds = quantisable()
        return [node.name for node in self.model.graph.node if node.op_type in kinds]


def prepare(job: Job) -> Prepared:
    """Read, infer shapes, fold, calibrate on the cases.

    Options: `calibration` (minmax, percentile, entropy), `percentile`, `symmetric`.
    """
    if job.cases is None:
        raise JobError("int8 needs cases to calibrate with")
    model = _preprocess(onnx_file.read(job.source))
    found = ranges.once(job, lambda: _calibrate(model, job))
    return Prepared(model, found, bool(job.options.get("symmetric", False)))


def quantise(prepared: Prepared, nodes: Sequence[str]) -> Any:
    """The model with these nodes in int8 (QDQ, S8S8, weights per channel), the rest in float."""
    import onnx
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        out, cache = Path(folder) / "model.onnx", Path(folder) / "ranges.json"
        quantization.calibrate.save_tensors_data(_as_runtime(prepared.ranges), cache)
        quantization.quantize_static(
            prepared.model,
            out,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_quantize=list(nodes),
            calibration_cache_path=cache,
            extra_options={
                "ActivationSymmetric": prepared.symmetric,
                "WeightSymmetric": True,
                "QuantizeBias": not prepared.symmetric,
            },
        )
        return onnx.load(out)


def quantisable() -> frozenset[str]:
    """The operations that ONNX Runtime's static quantiser takes."""
    from onnxruntime.quantization import registry

    return frozenset(registry.QLinearOpsRegistry) | frozenset(registry.QDQRegistry)


def _preprocess(model: Any) -> Any:
    """Shapes inferred and constants folded; per-channel weights need opset 13."""
    import onnx
    from onnxruntime.quantization import quant_pre_process

    if onnx_file.opset(model) < _OPSET_MIN:
        model = to_opset(model, _OPSET_TO)
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "given.onnx", Path(folder) / "model.onnx"
        onnx.save(model, given)
        quant_pre_process(given, out, skip_symbolic_shape=True)  # types suffice here
        return onnx_file.read(out)


def _calibrate(model: Any, job: Job) -> ranges.Ranges:
    """The ranges of all float tensors, some tensors at a time."""
    opened = onnx_session.session(model)
    feeds = onnx_session.feeds(opened, job.cases)
    method = str(job.options.get("calibration", "minmax"))
    percentile = float(job.options.get("percentile", 99.99))
    watched = onnx_file.float_tensors(model)
    found: ranges.Ranges = {}
    passes = 1 if method == "minmax" else 2
    total = -(-len(watched) // CHUNK) * len(feeds) * passes
    done = 0

    def runs() -> Iterator[Mapping[str, Array]]:
        nonlocal done
        for feed in feeds:
            yield watch(feed)
            done += 1
            job.progress(done, total, "calibration")

    for start in range(0, len(watched), CHUNK):
        watch = Watch(model, watched[start : start + CHUNK])
        found.update(ranges.measure(runs, method, percentile))
    return found


class Watch:
    """A model run for some of its inner tensors; the float inputs are among them."""

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        import onnx

        copy = type(model)()
        copy.CopyFrom(model)
        del copy.graph.output[:]
        copy.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
        self._names = list(names)
        self._session = onnx_session.session(copy)

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        found = {name: array for name, array in feed.items() if array.dtype == np.float32}
        found.update(zip(self._names, onnx_session.run(self._session, feed), strict=True))
        return found


def _as_runtime(found: ranges.Ranges) -> Any:
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorsData

    data = {
        name: (np.array(low, np.float32), np.array(high, np.float32))
        for name, (low, high) in found.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)
