"""Options of prune, distil and tune as they were given -> what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError

from . import contract as contracts
from . import data, environment, plan, source, teacher
from .contract import Contract
from .plan import Target
from .source import Given

_FAMILY = {"torch": "torch", "exported-program": "torch", "keras": "keras"}
_FORMS = {"torch": ("pt2", "pt"), "keras": ("keras",)}
_MEASURED = {"keras": "tflite:float32"}
_MEASURED_INT8 = {"keras": "tflite:int8"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be trained, on what, and how. `special` are the options of the verb's job."""

    verb: str
    given: Given
    contract: Contract
    out: Path
    train: str
    evaluate: str
    calibrate: str
    target: Target
    steps: Path | None
    train_cases: int | None
    training: Mapping[str, Any]  # epochs, batch_size, rate, seed, threads
    special: Mapping[str, Any]
    teacher: teacher.Teacher | None
    trust: bool
    max_drop: float | None
    timeout_s: float

    @property
    def family(self) -> str:
        return _FAMILY[self.given.kind]

    @property
    def checkpoint(self) -> Path:
        """Where a run that is broken off can be gone on with."""
        return self.out.with_name(f"{self.out.name}.checkpoint")


def wish(
    verb: str,
    special: dict[str, Any],
    *,
    model: str,
    out: Path,
    contract: Path,
    weights: Path | None,
    train: str,
    evaluate: str,
    train_cases: int | None,
    steps: Path | None,
    epochs: int,
    batch_size: int,
    rate: float,
    seed: int,
    threads: int,
    target: str | None,
    max_drop: float | None,
    trust: bool,
    timeout_s: float,
    calibrate: str | None = None,
    taught: tuple[str, Path | None, Path | None] | None = None,
) -> Wish:
    """Raises ConfigError for what cannot be."""
    given, untrained = _given(verb, model, weights)
    read = contracts.read(contract)
    data.refuse_leak(read.path, evaluate)
    default = _MEASURED_INT8 if verb == "tune" else _MEASURED
    fallback = "onnx:int8" if verb == "tune" else "onnx:float32"
    return Wish(
        verb=verb,
        given=given,
        contract=read,
        out=out,
        train=train,
        evaluate=evaluate,
        calibrate=calibrate or "",
        target=plan.target(target or default.get(given.kind, fallback)),
        steps=steps,
        train_cases=train_cases,
        training={
            "epochs": epochs,
            "batch_size": batch_size,
            "rate": rate,
            "seed": seed,
            "threads": threads,
        },
        special={**special, "untrained": untrained} if verb == "distil" else special,
        teacher=_teacher(taught, read, trust=trust, timeout_s=timeout_s) if taught else None,
        trust=trust,
        max_drop=max_drop,
        timeout_s=timeout_s,
    )


def _given(verb: str, model: str, weights: Path | None) -> tuple[Given, bool]:
    """The network, and whether it has no weights yet: a student may start as it is built."""
    if verb == "distil" and weights is None and source.is_callable(model):
        return Given("torch", Path(model), model), True
    return source.find(model, weights), False


def _teacher(
    taught: tuple[str, Path | None, Path | None], own: Contract, *, trust: bool, timeout_s: float
) -> teacher.Teacher:
    model, weights, contract = taught
    if contract is not None and not contract.exists():
        raise ConfigError(f"{contract}: there is no such contract")
    said = contracts.read(contract) if contract else own
    return teacher.find(model, weights, said, trust=trust, timeout_s=timeout_s)


def check(wanted: Wish) -> None:
    """Raises ConfigError for what cannot be, before anything is read."""
    kind = wanted.given.kind
    if kind not in _FAMILY:
        raise ConfigError(
            f"{wanted.given.title}: {kind} has no layers that can be trained: give the .keras file"
            " or the PyTorch module (module:callable with --weights) that it was made from"
        )
    form = wanted.out.suffix.removeprefix(".")
    forms = _FORMS[wanted.family]
    if form not in forms:
        listed = " or ".join(f".{one}" for one in forms)
        raise ConfigError(f"{wanted.out}: what is trained here is written as {listed}")
    if form == "pt" and (wanted.special.get("structured") or kind != "torch"):
        raise ConfigError(
            f"{wanted.out}: weights alone would not say what network they are of: write a .pt2"
        )
    rules = wanted.contract.manifest.postprocess
    if rules.kind not in ("classification", "beats") or rules.activation == "sigmoid":
        raise ConfigError(
            f"{wanted.contract.manifest.name}: only networks that tell one class of several can be"
            " trained here: train this one with your own code, and convert what it gives"
        )
    if not wanted.out.parent.is_dir():
        raise ConfigError(f"{wanted.out.parent}: there is no such folder")
    environment.need(wanted.family, f"{wanted.verb} of {kind}")
    for act in (*plan.to_float(kind, wanted.target.format), *plan.to_precision(wanted.target)):
        environment.need(act.family, f"{kind} to {wanted.target}")
