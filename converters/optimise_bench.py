"""The data of an optimisation as files, its jobs, and the files that are made of a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ConfigError

from . import contract as contracts
from . import data, source, teacher
from .data import Cases
from .data.cases import write_arrays
from .gains import Side
from .optimise_wish import Wish
from .plan import Act
from .process import Facts, Progress
from .source import Given
from .workshop import Workshop

_JOBS = {"prune": "prune", "distil": "fit", "tune": "tune"}
_SAMPLE = 8


class Bench:
    """The data as files, the jobs that train on them, and the files that are made of a network."""

    def __init__(self, wanted: Wish, folder: Path, tell: Progress) -> None:
        self._wanted, self._folder, self._tell = wanted, folder, tell
        self.checkpoints: list[Path] = []
        self._alone: Facts | None = None
        manifest, seed = wanted.contract.manifest, int(wanted.training["seed"])

        def read(spec: str, **more: Any) -> Cases:
            return data.read(
                spec, manifest, seed=seed, steps=wanted.steps, on_progress=tell, **more
            )

        self.training = read(wanted.train, limit=wanted.train_cases, balanced=True, least=2)
        self.evaluation = read(wanted.evaluate)
        for cases in (self.training, self.evaluation):
            if cases.labels is None:
                raise ConfigError(f"{cases.spec}: has no labels: training and its proof need them")
        self.training.write(folder / "train.npz")
        self.evaluation.write(folder / "evaluate.npz")
        self.evaluation.part(range(min(_SAMPLE, len(self.evaluation)))).write(folder / "sample.npz")
        self._answers = self._write_answers()
        self._calibration: Path | None = None
        if wanted.target.calibrated:
            self._calibration = folder / "calibration.npz"
            read(wanted.calibrate or wanted.train, limit=200, balanced=True).write(
                self._calibration
            )

    def train(self, name: str, special: Mapping[str, Any]) -> Facts:
        """Run the verb's job; what it makes is `trained(name)`."""
        wanted = self._wanted
        suffix = "" if name == "after" else f".{name}"
        checkpoint = wanted.out.with_name(f"{wanted.out.name}{suffix}.checkpoint")
        self.checkpoints.append(checkpoint)
        options = {
            **wanted.training,
            **special,
            "form": wanted.out.suffix.removeprefix("."),
            "train": str(self._folder / "train.npz"),
            "answers": str(self._answers),
            "evaluate": str(self._folder / "evaluate.npz"),
            "untuned": str(self._folder / "untuned.npz") if wanted.verb == "prune" else "",
            "checkpoint": str(checkpoint.absolute()),
            "key": self._key(special),
        }
        act = Act(wanted.family, f"{wanted.family}.{_JOBS[wanted.verb]}")
        shop = self._shop(wanted.given, name)
        sample = self._folder / "sample.npz"
        return shop.run(act, wanted.given.path, self.trained(name), sample, **options)

    def trained(self, name: str) -> Path:
        return self._folder / f"{name}{self._wanted.out.suffix}"

    def side(self, name: str) -> Side:
        """The file that is measured, of the network before or after."""
        wanted = self._wanted
        if name == "before" and wanted.verb == "distil":
            self._alone = self.train("alone", {**wanted.special, "weight": 0.0})
            return self._made("alone", self._given(self.trained("alone")))
        if name == "before":
            return self._made(name, wanted.given)
        return self._made(name, self._given(self.trained(name)))

    def untuned(self) -> Path | None:
        path = self._folder / "untuned.npz"
        return path if path.exists() else None

    def told(self, facts: Facts) -> Facts:
        """What the jobs said, and on what they worked."""
        kept = ("parameters", "zeros", "layers", "training", "notes", "versions", "tuned")
        found: Facts = {key: facts[key] for key in kept if key in facts}
        if self._alone is not None:
            found["alone"] = self._alone["training"]
        if self._wanted.teacher is not None:
            found["teacher"] = self._wanted.teacher.title
        sets = {"train": self.training, "evaluate": self.evaluation}
        for name, cases in sets.items():
            found[name] = {key: value for key, value in cases.facts().items() if key != "names"}
        found["evaluated_on_training_cases"] = overlap(self.training, self.evaluation)
        return {**found, "options": {**self._wanted.training, **self._wanted.special}}

    def _made(self, name: str, given: Given) -> Side:
        shop, target = self._shop(given, name), self._wanted.target
        self._tell(0, 0, f"making {target} of the network {name}")
        made = shop.make(target, self._calibration)
        return Side(made.path, shop.predict(self._folder / "evaluate.npz"))

    def _shop(self, given: Given, name: str) -> Workshop:
        wanted = self._wanted
        manifest = wanted.contract.manifest
        options = {
            "batch": 1,
            "trust": wanted.trust,
            "factory": given.factory,
            "weights": str(given.path) if given.factory else "",
            "path": str(Path.cwd()),
            "inputs": contracts.inputs(wanted.contract),
            "name": manifest.name,
            "version": manifest.version,
        }
        folder = self._folder / f"{name}-files"
        folder.mkdir(exist_ok=True)
        sample = self._folder / "sample.npz"
        return Workshop(given, folder, sample, options, wanted.timeout_s, self._tell)

    def _given(self, path: Path) -> Given:
        """A trained file: weights of the same factory, or a file that says all itself."""
        if path.suffix == ".pt":
            return replace(self._wanted.given, path=path)
        return source.find(str(path))

    def _write_answers(self) -> Path:
        wanted, path = self._wanted, self._folder / "answers.npz"
        arrays = {"labels": self.training.labels}
        if wanted.teacher is not None:
            self._tell(0, 0, f"asking the teacher {wanted.teacher.title}")
            arrays["teacher"] = teacher.ask(wanted.teacher, self.training, wanted.steps, self._tell)
        write_arrays(path, arrays)
        return path

    def _key(self, special: Mapping[str, Any]) -> dict[str, str]:
        """What a checkpoint is of, by name."""
        wanted = self._wanted
        held = hashlib.sha256()
        for name, array in sorted(self.training.inputs.items()):
            held.update(name.encode())
            held.update(np.ascontiguousarray(array).tobytes())
        held.update(np.asarray(self.training.labels).tobytes())
        options = json.dumps({**wanted.training, **special}, sort_keys=True, default=str)
        return {
            "model": _digest(wanted.given.path) + wanted.given.factory,
            "data": held.hexdigest(),
            "options": options,
            "teacher": wanted.teacher.digest if wanted.teacher else "",
        }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def overlap(first: Cases, second: Cases) -> int:
    """How many cases of the second are in the first too, value for value."""
    known = set(_prints(first))
    return sum(one in known for one in _prints(second))


def _prints(cases: Cases) -> list[bytes]:
    arrays = [np.ascontiguousarray(array) for _, array in sorted(cases.inputs.items())]
    return [
        hashlib.sha256(b"".join(array[row].tobytes() for array in arrays)).digest()
        for row in range(len(cases))
    ]
