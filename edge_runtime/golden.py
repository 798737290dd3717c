"""Golden vectors: recorded inputs and outputs that a backend must reproduce on this device."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import ConfigError, DelegateError, FrameError
from .frame import Array
from .interfaces import Backend, TensorSpec
from .preprocess.quantise import dequantise, quantise


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """What the replay found. `max_error` is in real (dequantised) units."""

    cases: int
    max_error: float
    agreement: float  # share of cases with the largest value of each output at the same place

    def failure(self, tolerance: float, agreement: float) -> str:
        """Why this is not what the workstation computed; empty when it is."""
        if self.max_error <= tolerance and self.agreement >= agreement:  # a NaN is neither
            return ""
        return (
            f"golden vectors differ: largest error {self.max_error:.4g} (allowed {tolerance:g}), "
            f"agreement {self.agreement:.1%} (needed {agreement:.1%}) over {self.cases} cases: "
            "this delegate does not compute what the workstation computed"
        )


def replay(backend: Backend, path: Path) -> GoldenReport:
    """Run the cases of an .npz through an open backend.

    The file holds `input/<tensor>` and `output/<tensor>` arrays with a leading case axis. Inputs
    of the tensor's own dtype go in as they are, real ones are quantised; outputs are real values.

    Raises:
        ConfigError: the file is damaged or does not fit the model.
    """
    inputs, outputs = _read(backend, path)
    cases = min(len(array) for array in (*inputs, *outputs))
    if cases == 0:
        raise ConfigError(f"{path}: holds no golden case")
    worst, agreed = 0.0, 0
    for case in range(cases):
        backend.reset()
        stored = [
            _stored(array[case], spec) for array, spec in zip(inputs, backend.inputs, strict=True)
        ]
        try:
            found = backend.run(stored)
        except FrameError as exc:
            raise ConfigError(f"{path}: case {case} does not fit the model: {exc}") from exc
        error, same = _compare(found, [array[case] for array in outputs], backend.outputs)
        worst, agreed = float(np.maximum(worst, error)), agreed + same  # keeps a NaN
    backend.reset()
    return GoldenReport(cases, worst, agreed / cases)


def check(backend: Backend, path: Path, tolerance: float, agreement: float) -> GoldenReport:
    """Replay, and raise DelegateError when the outputs are not those of the workstation."""
    report = replay(backend, path)
    if failure := report.failure(tolerance, agreement):
        raise DelegateError(f"{backend.kind}/{backend.delegate}: {failure}")
    return report


def _read(backend: Backend, path: Path) -> tuple[list[Array], list[Array]]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as exc:
        raise ConfigError(f"{path}: not readable as golden vectors: {exc}") from exc
    return (
        _ordered(arrays, "input", backend.inputs, path),
        _ordered(arrays, "output", backend.outputs, path),
    )


def _ordered(
    arrays: dict[str, Array], side: str, specs: Sequence[TensorSpec], path: Path
) -> list[Array]:
    found = []
    for position, spec in enumerate(specs):
        array = arrays.get(f"{side}/{spec.name}", arrays.get(f"{side}/{position}"))
        if array is None:
            raise ConfigError(f"{path}: holds no array '{side}/{spec.name}' (or {side}/{position})")
        found.append(array)
    return found


def _stored(array: Array, spec: TensorSpec) -> Array:
    if str(array.dtype) == spec.dtype:
        return array
    return quantise(array, spec)


def _compare(
    found: Sequence[Array], expected: Sequence[Array], specs: Sequence[TensorSpec]
) -> tuple[float, bool]:
    worst, same = 0.0, True
    for raw, wanted, spec in zip(found, expected, specs, strict=True):
        real = dequantise(raw, spec).astype(np.float64)
        target = np.asarray(wanted, dtype=np.float64)
        if real.shape != target.shape:
            return float("nan"), False
        # A NaN anywhere makes the error NaN, which no tolerance admits.
        worst = float(np.maximum(worst, np.max(np.abs(real - target), initial=0.0)))
        same = same and int(np.argmax(real)) == int(np.argmax(target))
    return worst, same
