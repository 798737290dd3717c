"""Makes each file that is wanted and holds it against the source, until it passes or cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.frame import Array
from edge_runtime.manifest import Format, Manifest

from .data import Cases
from .data.cases import write_arrays
from .errors import ConversionError
from .gate import golden
from .gate.measure import ModelFile, Run, measure
from .gate.verdict import Verdict, failed, judge
from .plan import Act, Target
from .process import Progress
from .workshop import Made, Workshop

_MOST_KEPT = 0.5  # of the nodes: with more left float, the file is not what was asked for
_HALVINGS = 3
_SENSITIVITY_S = 120.0


@dataclass(frozen=True, slots=True)
class Proven:
    """A target and what became of it; `made` and `run` are None when there is no file."""

    target: Target
    verdict: Verdict
    made: Made | None = None
    kept: tuple[str, ...] = ()  # nodes that stay float so that the gate is passed


class Bench:
    """The source's answers on the data, and the files that are measured beside them."""

    def __init__(
        self,
        shop: Workshop,
        manifest: Manifest,
        evaluation: Cases,
        *,
        calibration: Path | None,
        max_drop: float,
        min_agreement: float | None = None,
        tell: Progress,
    ) -> None:
        self._shop, self._manifest, self._cases = shop, manifest, evaluation
        self._calibration, self._tell = calibration, tell
        self._max_drop, self._min_agreement = max_drop, min_agreement
        self._floats: dict[Format, Run] = {}
        tell(0, 0, "running the source")
        self.reference = self._source(evaluation.inputs)
        if not all(np.isfinite(array).all() for array in self.reference):
            raise ConversionError(
                f"{shop.given.title}: gives NaN or infinity itself on {evaluation.spec}: mend it"
            )

    def prove(self, target: Target, calibration: str) -> Proven:
        """Make a target; where INT8 falls behind, leave float what suffers most, bit by bit.

        Twice as much each time, until it passes; then half the way back, a few times.
        """
        first = self._try(target, calibration, ())
        if first.verdict.passed or first.made is None or target.precision != "int8":
            return first
        self._tell(0, 0, f"{target}: looking for what must stay float")
        try:
            ranked, count = self._sensitive(target, calibration)
        except ConversionError as exc:
            return replace(first, verdict=_added(first.verdict, f"sensitivity: {exc}"))
        least, keep, most = 0, 1, min(len(ranked), max(1, round(count * _MOST_KEPT)))
        while least < most:
            again = self._try(target, calibration, tuple(ranked[:keep]))
            if again.verdict.passed:
                return self._less(again, calibration, ranked, least)
            least, keep = keep, min(2 * keep, most)
        return replace(
            first, verdict=_added(first.verdict, "leaving float what suffers most did not help")
        )

    def golden(self, path: Path, files: Sequence[Path], seed: int) -> golden.Golden:
        """Golden vectors that every one of the files reproduces."""
        self._tell(0, 0, "choosing golden vectors")
        return golden.make(
            path, self._manifest, self._cases, self.reference, files, self._source, seed=seed
        )

    def _less(self, passed: Proven, calibration: str, ranked: Sequence[str], least: int) -> Proven:
        """What passes with the fewest nodes in float, between these and `least`, too few."""
        for _ in range(_HALVINGS):
            middle = (least + len(passed.kept)) // 2
            if middle <= least:
                break
            again = self._try(passed.target, calibration, tuple(ranked[:middle]))
            if again.verdict.passed:
                passed = again
            else:
                least = middle
        return passed

    def _try(self, target: Target, calibration: str, keep: tuple[str, ...]) -> Proven:
        left = f", {len(keep)} float" if keep else ""
        self._tell(0, 0, f"{target}{left}: making it")
        try:
            more = {"keep_float": list(keep), **self._ranges(target, calibration)}
            made = self._shop.make(target, self._calibration, **more)
            source = self._float_run(target.format)
            self._tell(0, 0, f"{target}{left}: running it on {len(self._cases)} cases")
            run = measure(
                self._file(made.path), beside=self._beside(target), on_progress=self._tell
            )
        except ConversionError as exc:
            return Proven(target, failed(str(target), str(exc)))
        verdict = judge(
            str(target), self._manifest, self._cases, source, run, max_drop=self._max_drop
        )
        return Proven(target, self._alike(verdict), made, keep)

    def _alike(self, verdict: Verdict) -> Verdict:
        """The verdict, not passed where too few answers are the source's."""
        share = 100 * verdict.agreement.share if verdict.agreement else 0.0
        if self._min_agreement is None or share >= self._min_agreement:
            return verdict
        said = (
            f"{share:.2f} % of answers are the source's, at least {self._min_agreement:g} must be"
        )
        return replace(_added(verdict, said), passed=False)

    def _float_run(self, format_: Format) -> Run:
        """The float32 file's run with the source's own outputs in the place of its own."""
        if format_ not in self._floats:
            run = measure(self._file(self._shop.floats(format_).path), on_progress=self._tell)
            self._floats[format_] = replace(run, values=tuple(self.reference))
        return self._floats[format_]

    def _beside(self, target: Target) -> ModelFile | None:
        if target.precision == "float32":
            return None
        return self._file(self._shop.floats(target.format).path)

    def _file(self, path: Path) -> ModelFile:
        return ModelFile(path, self._cases.inputs, self._manifest)

    def _source(self, inputs: Mapping[str, Array]) -> list[Array]:
        cases = self._shop.folder / "cases.npz"
        write_arrays(cases, inputs)
        with np.load(self._shop.predict(cases), allow_pickle=False) as found:
            return [found[name] for name in found.files]

    def _ranges(self, target: Target, calibration: str) -> dict[str, str]:
        """How ranges are found, and where they are kept for the next job on the same file."""
        kept = self._shop.folder / f"ranges-{target.format}-{calibration}.json"
        return {"calibration": calibration, "ranges": str(kept)}

    def _sensitive(self, target: Target, calibration: str) -> tuple[list[str], int]:
        """Nodes by the error that each brings, the worst first; and how many there are."""
        options: dict[str, Any] = {"io": target.tensors, "seconds": _SENSITIVITY_S}
        options |= self._ranges(target, calibration)
        facts = self._shop.run(
            Act("convert", f"{target.format}.sensitivity", options),
            self._shop.floats(target.format).path,
            self._shop.folder / "sensitivity.json",
            self._calibration or self._shop.sample,
        )
        rows: list[dict[str, Any]] = facts["sensitivity"]
        return [row["node"] for row in rows], len(rows) + len(facts["failed"])


def _added(verdict: Verdict, reason: str) -> Verdict:
    return replace(verdict, reasons=(*verdict.reasons, reason))
