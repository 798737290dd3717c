"""What is to be made, of what, and how it is judged: options, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError

from . import contract as contracts
from . import data, plan, presets, source
from .contract import Contract
from .plan import Target
from .source import Given


@dataclass(frozen=True, slots=True)
class Wish:
    """One conversion. `options` are those that every job is told."""

    given: Given
    contract: Contract
    targets: tuple[Target, ...]
    out: Path
    calibrate: str
    evaluate: str
    steps: Path | None
    calibration_cases: int
    evaluation_cases: int | None
    seed: int
    max_drop: float
    options: Mapping[str, Any]
    calibration: str
    after: tuple[str, ...]
    overwrite: bool
    timeout_s: float
    command: str  # as it was given, for the card
    min_agreement: float | None = None  # percent of the cases


def wish(
    *,
    model: str,
    out: Path | None,
    contract: Path | None,
    targets: Sequence[str],
    purpose: str | None,
    calibrate: str | None,
    evaluate: str | None,
    steps: Path | None,
    calibration_cases: int,
    evaluation_cases: int | None,
    seed: int,
    calibration: str,
    max_drop: float,
    weights: Path | None,
    dynamic_batch: bool,
    unroll: bool,
    signature: str | None,
    trust: bool,
    overwrite: bool,
    timeout_s: float,
    min_agreement: float | None = None,
) -> Wish:
    """Options as they were given -> what is wanted. Raises ConfigError for what cannot be."""
    given = source.find(model, weights, trust=trust)
    preset = presets.find(purpose) if purpose else None
    if weights is not None and not weights.is_file():
        raise ConfigError(f"{weights}: there is no such file of weights")
    wanted = tuple(dict.fromkeys(plan.target(text) for text in targets))
    wanted += tuple(t for t in (presets.targets(preset) if preset else ()) if t not in wanted)
    if not wanted:
        raise ConfigError("what shall be made? give --to, for example tflite:int8, or --for BOARD")
    if out is None:
        raise ConfigError("where shall it go? give -o DIR")
    read = _contract(given, contract)
    if calibrate is None and any(target.calibrated for target in wanted):
        raise ConfigError("INT8 needs real inputs: give --calibrate DATA")
    if evaluate is None and calibrate is None:
        raise ConfigError("nothing is believed unproven: give --evaluate DATA")
    data.refuse_leak(read.path, evaluate or calibrate or "")
    options = {
        **job_options(given, read, weights, batch=0 if dynamic_batch else 1, trust=trust),
        "unroll": unroll,
        **({"signature": signature} if signature else {}),
    }
    return Wish(
        given=given,
        contract=read,
        targets=wanted,
        out=out,
        calibrate=calibrate or "",
        evaluate=evaluate or calibrate or "",
        steps=steps,
        calibration_cases=calibration_cases,
        evaluation_cases=evaluation_cases,
        seed=seed,
        max_drop=max_drop,
        options=options,
        calibration=calibration,
        after=preset.after if preset else (),
        overwrite=overwrite,
        timeout_s=timeout_s,
        command=_command(model, wanted, calibrate, evaluate),
        min_agreement=min_agreement,
    )


def _command(
    model: str, wanted: Sequence[Target], calibrate: str | None, evaluate: str | None
) -> str:
    """The command that does it again; a folder is told by its name alone."""
    words = ["edge-convert", Path(model).name]
    words += [word for target in wanted for word in ("--to", str(target))]
    for option, given in (("--calibrate", calibrate), ("--evaluate", evaluate)):
        words += [option, Path(given).name] if given else []
    return " ".join(words)


def job_options(
    given: Given, read: Contract, weights: Path | None, *, batch: int, trust: bool
) -> dict[str, Any]:
    """What every job on a model is told; `batch` is 1, or 0 for an open axis."""
    return {
        "batch": batch,
        "trust": trust,
        "factory": given.factory,
        "weights": str(weights) if weights else "",
        "path": str(Path.cwd()),
        "inputs": contracts.inputs(read),
        "name": read.manifest.name,
        "version": read.manifest.version,
    }


def preview(wanted: Wish) -> list[str]:
    """What `convert` would do, a line each."""
    lines = [f"{wanted.given.title}: {wanted.given.kind}"]
    for target in wanted.targets:
        direct = plan.direct(wanted.given.kind, target)
        acts = direct or (
            *plan.to_float(wanted.given.kind, target.format),
            *plan.to_precision(target),
        )
        way = " -> ".join(act.module for act in acts) or "as it is"
        lines.append(f"{target}: {way} -> {target.filename(wanted.contract.manifest.name)}")
    if any(target.calibrated for target in wanted.targets):
        lines.append(f"calibrated with {wanted.calibration_cases} cases of {wanted.calibrate}")
    lines.append(f"judged on {wanted.evaluate}: at most {wanted.max_drop:g} points may be lost")
    return [*lines, f"{wanted.out}: model.toml, golden.npz, README.md, conversion.json"]


def _contract(given: Given, path: Path | None) -> Contract:
    if path is not None:
        return contracts.read(path)
    if given.manifest is not None:
        return contracts.read(given.manifest.directory)
    raise ConfigError(
        f"{given.title}: does not say what its numbers mean: give --contract, a model.toml without "
        "weights ('edge-run models show FILE' prints a start)"
    )
