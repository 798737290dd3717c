"""Golden vectors of a new model: what its source gives, and how far a device may stray from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array
from edge_runtime.golden import GoldenReport
from edge_runtime.manifest import GoldenEntry, Manifest
from edge_runtime.postprocess.outputs import find

from ..data.cases import Cases, write_arrays
from ..errors import GateError
from .agreement import same_top
from .golden_cases import choose_real, edge_cases, leads
from .measure import How, ModelFile, Run, measure, replay
from .run_file import ordered

Arrays = Mapping[str, Array]
Runner = Callable[[Arrays], Sequence[Array]]  # real inputs to real outputs, (cases, *shape) each

MARGIN = 2.0  # times the largest error here: other kernels round at other places
STEPS = 2.0  # and so many steps of a quantised output
LEAST = 1e-5  # and so much of the largest output: floats are added up in another order elsewhere
_CLEAR = 3.0  # times a case's own error: by so much the best value leads
_STRAY = 3.0  # times the largest error on the data: an edge case with more would hide others


@dataclass(frozen=True, slots=True)
class Golden:
    """What was written. `entry` goes into the manifest, `reports` prove each file against it."""

    entry: GoldenEntry
    real: tuple[str, ...]  # names of the cases from the data
    edges: tuple[str, ...]
    left_out: tuple[str, ...]  # candidates that are none, each with the reason
    largest_error: float
    reports: Mapping[str, GoldenReport]  # by file name

    def facts(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "real": list(self.real),
            "edges": list(self.edges),
            "left_out": list(self.left_out),
            "largest_error": self.largest_error,
            "tolerance": self.entry.tolerance,
            "agreement": self.entry.agreement,
            "rule": (
                f"tolerance = {MARGIN:g} x the largest error here + {STEPS:g} steps of a quantised "
                f"output + {LEAST:g} of the largest output, of 1 at least"
            ),
        }


@dataclass(frozen=True, slots=True)
class _Offered:
    """Inputs that may become golden vectors, the first `real` of them from the data, with what
    the source gives for them.
    """

    inputs: Arrays
    names: tuple[str, ...]
    real: int
    outputs: tuple[Array, ...]


@dataclass(frozen=True, slots=True)
class _Judged:
    """Rows that stay, why others do not, and the largest error of any file over those."""

    rows: list[int]
    left_out: tuple[str, ...]
    error: float
    clear: bool  # in every output of every row that stays


def make(  # noqa: PLR0917 - in the order in which they are used
    path: Path,
    manifest: Manifest,
    cases: Cases,
    values: Sequence[Array],
    files: Sequence[Path],
    reference: Runner,
    *,
    how: How | None = None,
    seed: int = 0,
) -> Golden:
    """Write golden vectors for the files of a model directory, and replay them on each.

    Cases of the data are of every class that the source gives; edge cases are added. A case whose
    best score leads by no more than three times a file's own error there is left out, and so is
    an edge case on which a file strays three times as far as on the data. The tolerance is made
    from what is left: see `Golden.facts`. All answers must agree, or, where some output has near
    ties (boxes have), all but as many as differ here and one more.

    Args:
        path: the .npz to write.
        manifest: the contract.
        cases: the data.
        values: what the source gives for them, (cases, ...) for each output.
        files: the weights that are to reproduce the vectors; their outputs stand in the order of
            the source's.
        reference: runs the source on other inputs.
        how: the way the files are run.
        seed: of the choice and the noise.

    Raises:
        GateError: a file does not reproduce the vectors, though the tolerance was made for it.
        ConfigError: no case of the data is clear, or the manifest does not describe the outputs.
        ConversionError: a file does not run.
    """
    how = replace(how or How(), calls=0)
    scores = _scores(manifest, cases, files[0], how)
    offered = _offer(manifest, cases, choose_real(cases, values, scores, manifest, seed), seed)
    offered = replace(
        offered, outputs=tuple(np.asarray(one, np.float32) for one in reference(offered.inputs))
    )
    runs = [measure(ModelFile(file, offered.inputs, manifest), how) for file in files]
    judged = _judge(offered, runs, scores)
    if not any(row < offered.real for row in judged.rows):
        why = "; ".join(judged.left_out[:3])
        raise ConfigError(f"{cases.spec}: no case is clear enough to be golden: {why}")
    _write(path, offered, judged.rows, runs[0])
    entry = GoldenEntry(
        path.name, _tolerance(offered, judged, runs), _needed(offered, judged, runs)
    )
    reports = {file.name: _proven(file, path, entry, how) for file in files}
    return Golden(
        entry,
        real=tuple(offered.names[row] for row in judged.rows if row < offered.real),
        edges=tuple(offered.names[row] for row in judged.rows if row >= offered.real),
        left_out=judged.left_out,
        largest_error=judged.error,
        reports=reports,
    )


def _scores(manifest: Manifest, cases: Cases, file: Path, how: How) -> int | None:
    """Where the scores stand among the outputs; None for a task without classes."""
    if manifest.postprocess.kind not in ("classification", "beats"):
        return None
    run = measure(ModelFile(file, cases.part([0]).inputs, manifest), how)
    return find(manifest, run.outputs, "scores").position


def _offer(manifest: Manifest, cases: Cases, rows: list[int], seed: int) -> _Offered:
    if not rows:
        raise ConfigError(f"{cases.spec}: the source gives no number for any case")
    edges = list(edge_cases(manifest, cases, seed))
    inputs = {
        name: np.concatenate([array[rows], *(case[name][None] for _, case in edges)])
        for name, array in cases.inputs.items()
    }
    names = [cases.names[row] for row in rows] + [name for name, _ in edges]
    return _Offered(inputs, tuple(names), len(rows), ())


def _write(path: Path, offered: _Offered, rows: list[int], run: Run) -> None:
    """Arrays by position, in the shapes that the file itself has: the batch axis back."""
    inputs = ordered(offered.inputs, run.inputs, str(path))
    arrays = {
        f"input/{at}": _as_run(array[rows], spec.shape)
        for at, (array, spec) in enumerate(zip(inputs, run.inputs, strict=True))
    }
    outputs = run.tensors([array[rows] for array in offered.outputs])
    write_arrays(path, arrays | {f"output/{at}": array for at, array in enumerate(outputs)})


def _judge(offered: _Offered, runs: Sequence[Run], scores: int | None) -> _Judged:
    errors = np.stack([_errors(offered.outputs, run) for run in runs]).max(axis=0)
    clear = np.stack(
        [leads(array) > _CLEAR * row for array, row in zip(offered.outputs, errors, strict=True)]
    )
    each = errors.max(axis=0)  # (cases,), as clear and errors are (outputs, cases)
    known = np.isfinite(each)
    must = known if scores is None else clear[scores]
    data = np.arange(len(each)) < offered.real
    usual = float(each[data & known & must].max(initial=0.0))
    most = _STRAY * max(usual, LEAST * _largest(offered.outputs))
    stay, left_out = [], []
    for row, name in enumerate(offered.names):
        if not known[row]:
            left_out.append(f"{name}: gives NaN or infinity")
        elif not must[row]:
            left_out.append(f"{name}: a near tie")
        elif not data[row] and each[row] > most:
            left_out.append(f"{name}: strays by {each[row]:.2g}, on the data by {usual:.2g}")
        else:
            stay.append(row)
    error = float(each[stay].max(initial=0.0))
    return _Judged(stay, tuple(left_out), error, bool(clear[:, stay].all()))


def _errors(outputs: Sequence[Array], run: Run) -> Array:
    """The largest error of each output and case, (outputs, cases)."""
    pairs = list(zip(outputs, run.values, strict=True))
    if any(one.shape != other.shape for one, other in pairs):
        raise GateError(f"{run.path.name}: its outputs have not the shapes of the source's")
    return np.stack(
        [np.abs(one - other).reshape(len(one), -1).max(axis=1, initial=0.0) for one, other in pairs]
    )


def _largest(outputs: Sequence[Array]) -> float:
    return max(float(np.abs(one[np.isfinite(one)]).max(initial=0.0)) for one in outputs)


def _tolerance(offered: _Offered, judged: _Judged, runs: Sequence[Run]) -> float:
    """Two significant digits, rounded up."""
    steps = [
        max(spec.quantisation.scale) for run in runs for spec in run.outputs if spec.quantisation
    ]
    least = LEAST * max(1.0, _largest([array[judged.rows] for array in offered.outputs]))
    raw = MARGIN * judged.error + STEPS * max(steps, default=0.0) + least
    digit = 10.0 ** (math.floor(math.log10(raw)) - 1)
    return float(f"{math.ceil(raw / digit) * digit:.2g}")


def _needed(offered: _Offered, judged: _Judged, runs: Sequence[Run]) -> float:
    """The share of cases whose largest values must stand where the source's do."""
    if judged.clear:
        return 1.0
    rows = judged.rows
    wanted = [array[rows] for array in offered.outputs]
    worst = min(int(same_top(wanted, [array[rows] for array in run.values]).sum()) for run in runs)
    return max(0, math.floor(100 * (worst - 1) / len(rows))) / 100


def _proven(file: Path, path: Path, entry: GoldenEntry, how: How) -> GoldenReport:
    report = replay(file, path, how)
    if failure := report.failure(entry.tolerance, entry.agreement):
        raise GateError(f"{file.name}: {failure}")
    return report


def _as_run(array: Array, shape: Sequence[int | None]) -> Array:
    """Cases in the tensor's own shape, the batch axis back."""
    if None not in shape:
        return array.reshape(len(array), *(size or 0 for size in shape))
    return array[:, None] if len(shape) == array.ndim else array
