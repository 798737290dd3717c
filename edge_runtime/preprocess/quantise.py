"""Real values to what a tensor stores, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array
from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.manifest import InputEntry
from edge_runtime.readout import QuantisationEntry


def quantise(real: Array, spec: TensorSpec) -> Array:
    """Real values as `spec` stores them: round(real / scale) + zero point, saturated.

    Rounds half to even in float32, as ONNX QuantizeLinear does. An integer tensor without a
    quantisation holds whole real numbers. NaN has no stored form: the caller rules it out.
    """
    dtype = np.dtype(spec.dtype)
    if not np.issubdtype(dtype, np.integer):
        return np.asarray(real).astype(dtype)
    if spec.quantisation is None:
        steps = np.rint(np.asarray(real, dtype=np.float64))
    else:
        scale, zero_point = _pairs(spec.quantisation, np.ndim(real))
        steps = np.rint(np.asarray(real, dtype=np.float32) / scale).astype(np.float64) + zero_point
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(steps, limits.min, limits.max), dtype)  # one of no axes included


def dequantise(stored: Array, spec: TensorSpec) -> Array:
    """Stored values as real ones, float32, in an array of their own; one scale per channel too.

    The zero point is subtracted in 64 bits: in the tensor's own type it would wrap around.
    """
    if spec.quantisation is None:
        return stored.astype(np.float32)
    scale, zero_point = _pairs(spec.quantisation, stored.ndim)
    real: Array = (stored.astype(np.int64) - zero_point) * scale
    return real.astype(np.float32)


def _pairs(quantisation: Quantisation, ndim: int) -> tuple[Array, Array]:
    """Scale and zero point, shaped to meet an array of `ndim` dimensions."""
    scale = np.array(quantisation.scale, dtype=np.float32)
    zero_point = np.array(quantisation.zero_point, dtype=np.int64)
    if scale.size == 1:
        return scale.reshape(()), zero_point.reshape(-1)[:1].reshape(())
    shape = [1] * ndim
    shape[quantisation.axis] = scale.size
    return scale.reshape(shape), np.broadcast_to(zero_point, scale.shape).reshape(shape)


def with_quantisation(spec: TensorSpec, entry: QuantisationEntry | None, where: str) -> TensorSpec:
    """`spec` with the quantisation that the manifest gives, where the file has none.

    Raises ConfigError when the two contradict each other; `where` names the manifest's table.
    """
    if entry is None:
        return spec
    given = entry.value()
    if spec.quantisation is None:
        return replace(spec, quantisation=given)
    agree = np.allclose(spec.quantisation.scale, given.scale, rtol=1e-5, atol=0.0)
    if not agree or set(spec.quantisation.zero_point) != set(given.zero_point):
        raise ConfigError(
            f"{where}: quantisation: the file says scale {spec.quantisation.scale}, zero point "
            f"{spec.quantisation.zero_point}; leave the key out or correct it"
        )
    return spec


def input_spec(entry: InputEntry, spec: TensorSpec) -> TensorSpec:
    """What the file and the manifest say together of one input: every dimension is known.

    Raises ConfigError naming the key of the manifest that is missing or that contradicts the file.
    """
    where = f"input '{entry.name}'"
    given: tuple[int | None, ...] = entry.shape or (
        spec.shape and (spec.shape[0] or 1, *spec.shape[1:])
    )
    if len(given) != len(spec.shape) or any(
        own not in (None, size) for own, size in zip(spec.shape, given, strict=True)
    ):
        raise ConfigError(f"{where}: shape: {list(given)} is not the file's {list(spec.shape)}")
    if None in given:
        raise ConfigError(f"{where}: shape: is missing, the file leaves {list(spec.shape)} open")
    if given and given[0] != 1:
        raise ConfigError(f"{where}: shape: a batch of {given[0]}; frames are run one by one")
    return with_quantisation(replace(spec, shape=given), entry.quantisation, where)


def blank(spec: TensorSpec) -> Array:
    """A tensor of zeros; a dimension that is still open has size 0."""
    return np.zeros([size or 0 for size in spec.shape], dtype=spec.dtype)
