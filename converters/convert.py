"""A model and data in, a proven model directory out: the whole of `edge-convert MODEL`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from . import card, data, directory
from .data import Cases
from .errors import ConversionError, GateError
from .process import Progress
from .proving import Bench, Proven
from .report import Report, accuracy_of, facts_of
from .staging import staged
from .wish import Wish
from .workshop import Workshop, all_there

SAMPLE = 8  # cases on which a job checks what it made


def convert(wanted: Wish, tell: Progress) -> Report:
    """Make, prove and write. After an error nothing is left.

    Raises ConfigError, ConversionError, or GateError when a file is not good enough.
    """
    all_there(wanted.given, wanted.targets)
    manifest = wanted.contract.manifest
    with (
        tempfile.TemporaryDirectory(prefix="edge-convert-") as folder,
        staged(wanted.out, overwrite=wanted.overwrite) as out,
    ):
        work = Path(folder)
        calibration, evaluation = _data(wanted, tell)
        sample = work / "sample.npz"
        evaluation.part(range(min(SAMPLE, len(evaluation)))).write(sample)
        if calibration is not None:
            calibration.write(work / "calibration.npz")
        shop = Workshop(wanted.given, work, sample, wanted.options, wanted.timeout_s, tell)
        bench = Bench(
            shop,
            manifest,
            evaluation,
            calibration=work / "calibration.npz" if calibration else None,
            max_drop=wanted.max_drop,
            min_agreement=wanted.min_agreement,
            tell=tell,
        )
        proven = [bench.prove(target, wanted.calibration) for target in wanted.targets]
        _hold(proven)
        weights = [directory.Weights(one.target, one.made.path) for one in proven if one.made]
        vectors = bench.golden(out / directory.GOLDEN, [one.path for one in weights], wanted.seed)
        data_facts = (calibration.facts() if calibration else None, evaluation.facts())
        facts = facts_of(wanted, proven, data_facts, vectors)
        accuracy = accuracy_of(proven, evaluation)
        made = directory.write(
            out, wanted.contract, weights, vectors.entry, accuracy=accuracy, facts=facts
        )
        (out / directory.CARD).write_text(card.text(made, facts), encoding="utf-8")
    return Report(wanted.out, tuple(one.verdict for one in proven), facts)


def _data(wanted: Wish, tell: Progress) -> tuple[Cases | None, Cases]:
    """Cases to calibrate with, where a target needs them, and cases to judge on."""
    read = partial(
        data.read,
        manifest=wanted.contract.manifest,
        seed=wanted.seed,
        steps=wanted.steps,
        on_progress=tell,
    )
    calibration = None
    if any(target.calibrated for target in wanted.targets):
        calibration = read(wanted.calibrate, limit=wanted.calibration_cases, balanced=True)
    return calibration, read(wanted.evaluate, limit=wanted.evaluation_cases)


def _hold(proven: Sequence[Proven]) -> None:
    """Raises ConversionError for what could not be made, GateError for what is too poor."""
    for one in proven:
        if one.made is None:
            raise ConversionError(f"{one.target}: {one.verdict.reasons[0]}")
    poor = [one for one in proven if not one.verdict.passed]
    if poor:
        said = "; ".join(f"{one.target} {', '.join(one.verdict.reasons)}" for one in poor)
        raise GateError(f"{said}; nothing was written")
