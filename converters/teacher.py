"""The teacher of a distillation: any model that predicts here, or an .npz of what it said."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array

from . import contract as contracts
from . import data, environment, plan, source
from .contract import Contract
from .data import Cases
from .process import Progress
from .source import Given
from .workshop import Workshop

_LEAST = 1e-7  # of a probability, before its logarithm
_OFF = 0.05  # probabilities of an INT8 file add up to 1 only about
_KEYS = ("logits", "probabilities")


@dataclass(frozen=True, slots=True)
class Teacher:
    """`given` is None for an .npz, which holds an array of `logits` or `probabilities`.

    `contract` says what the teacher takes; it may be another than the student's.
    """

    path: Path
    given: Given | None
    contract: Contract | None
    trust: bool = False
    timeout_s: float = 1800.0

    @property
    def title(self) -> str:
        return self.given.title if self.given else self.path.name

    @property
    def digest(self) -> str:
        """Of the file, so that a run is gone on with under the same teacher only."""
        where = self.given.path if self.given else self.path
        files = [where] if where.is_file() else sorted(one for one in where.rglob("*.*"))
        held = hashlib.sha256()
        for one in files:
            if one.is_file():
                held.update(one.read_bytes())
        return held.hexdigest()


def find(
    model: str, weights: Path | None, contract: Contract | None, *, trust: bool, timeout_s: float
) -> Teacher:
    """Raises ConfigError for what is no model and no .npz."""
    path = Path(model)
    if path.suffix == ".npz":
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file")
        return Teacher(path, None, None)
    given = source.find(model, weights)
    if given.manifest is not None:
        contract = contracts.read(given.manifest.directory)
    if contract is None:
        raise ConfigError(f"{given.title}: give --teacher-contract, which says what it takes")
    environment.need(plan.predict(given.kind).family, f"running the teacher {given.title}")
    return Teacher(given.path, given, contract, trust, timeout_s)


def ask(one: Teacher, cases: Cases, steps: Path | None, tell: Progress) -> Array:
    """The logarithm of the teacher's probabilities for the cases, (cases, classes).

    Softened by a temperature they are what its logits would be, for a softmax knows no constant
    that is added to all. Raises ConfigError where the teacher does not fit the cases.
    """
    if one.given is None:
        found = _of_file(one.path)
    else:
        found = _of_model(one, one.given, cases, steps, tell)
    if found.ndim != 2 or len(found) != len(cases):
        raise ConfigError(
            f"{one.title}: says {found.shape} for {len(cases)} cases: a row of scores for each,"
            " in the order of the training data, is needed"
        )
    if not np.isfinite(found).all():
        raise ConfigError(f"{one.title}: gives NaN or infinity")
    return log_probabilities(found)


def log_probabilities(scores: Array) -> Array:
    """Of probabilities their logarithm; of logits too, which are told by not adding up to 1."""
    real = scores.astype(np.float64)
    if np.all(real >= 0) and np.all(np.abs(real.sum(axis=1) - 1) < _OFF):
        real = np.log(np.maximum(real, _LEAST))
    real -= real.max(axis=1, keepdims=True)
    real -= np.log(np.exp(real).sum(axis=1, keepdims=True))
    return real.astype(np.float32)


def _of_file(path: Path) -> Array:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            keys = [key for key in _KEYS if key in file.files]
            if len(keys) != 1:
                raise ConfigError(f"{path}: holds no array 'logits' or 'probabilities'")
            found: Array = file[keys[0]]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as exc:
        raise ConfigError(f"{path}: not readable as an .npz of numbers: {exc}") from exc
    return found


def _of_model(
    one: Teacher, given: Given, cases: Cases, steps: Path | None, tell: Progress
) -> Array:
    contract = one.contract
    if contract is None:
        raise ConfigError(f"{one.title}: nothing says what it takes")
    limit = None if len(cases) == cases.total else len(cases)
    own = data.read(
        cases.spec,
        contract.manifest,
        limit=limit,
        seed=cases.seed,
        steps=steps,
        balanced=cases.balanced,
        on_progress=tell,
    )
    if own.names != cases.names:
        raise ConfigError(f"{one.title}: its contract takes other cases of {cases.spec}")
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as folder:
        asked = Path(folder, "teacher.npz")
        own.write(asked)
        options = {
            "trust": one.trust,
            "factory": given.factory,
            "weights": str(given.path) if given.factory else "",
            "path": str(Path.cwd()),
            "inputs": contracts.inputs(contract),
        }
        shop = Workshop(given, Path(folder), asked, options, one.timeout_s, tell)
        with np.load(shop.predict(asked), allow_pickle=False) as said:
            found: Array = said[said.files[0]]
    return found
