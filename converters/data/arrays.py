"""Ready arrays: an .npz file, or a generator of the user's."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Frame

from . import heads
from .cases import Sample
from .classes import Classes
from .intake import Intake

LABELS = "labels"
LABEL = "label"
GROUPS = "groups"


def from_npz(path: Path, intake: Intake, classes: Classes) -> Iterator[Sample]:
    """The rows of an .npz: an array for each input, by its name, and perhaps what is known of it.

    That is `labels`, or `labels/<head>` for each head of a network of several, and `groups`: the
    patient that a case is of. Values are real, as the manifest defines them. Raises ConfigError.
    """
    arrays = _read(path)
    known = heads.take(arrays, classes.heads, path)
    free = set(arrays) - set(intake.given)  # an input may be called so
    beside = {key: arrays.pop(key) for key in (LABELS, GROUPS) if key in free}
    if classes.heads and LABELS in beside:
        keys = ", ".join(f"'{heads.PREFIX}{head.name}'" for head in classes.heads)
        raise ConfigError(f"{path}: 'labels' are of no head: name them {keys}")
    if not arrays:
        raise ConfigError(f"{path}: holds no input")
    labels, groups = (beside.get(key) for key in (LABELS, GROUPS))
    for row in range(_cases(path, arrays, beside, known)):
        name = f"{path.name}[{row}]"
        given = {key: array[row] for key, array in arrays.items()}
        yield Sample(
            str(row),
            partial(intake.arrays, given, name),
            label=None if labels is None else _label(labels[row], classes, name),
            group="" if groups is None else str(groups[row]),
            heads={key: rows[row] for key, rows in known.items()},
        )


def _cases(
    path: Path,
    arrays: Mapping[str, Array],
    beside: Mapping[str, Array],
    known: Mapping[str, Array],
) -> int:
    """How many there are. Raises ConfigError when not every array has as many."""
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    lengths |= {name: array.size if array.ndim == 1 else 0 for name, array in beside.items()}
    lengths |= {f"{heads.PREFIX}{name}": len(rows) for name, rows in known.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in lengths.items())
        raise ConfigError(f"{path}: the arrays have not equally many cases: {listed}")
    return next(iter(lengths.values()))


def from_generator(spec: str, intake: Intake, classes: Classes) -> Iterator[Sample]:
    """What `module:callable` yields, called without arguments, in this process.

    Each item is a case: a dict of arrays by input name, with a "label" if it is known (class name
    or number, or for a network of several heads a dict by head of what an .npz has); an array, for
    a model of one input; a pair of either and the label; or a Frame, which is then prepared as on
    the device. Raises ConfigError, with the line of the user's file where it went wrong.
    """
    made = _call(spec)
    for row, item in enumerate(_guarded(made, spec)):
        yield _sample(item, row, f"{spec} case {row}", intake, classes)


def _sample(item: object, row: int, name: str, intake: Intake, classes: Classes) -> Sample:
    label: object = None
    if isinstance(item, tuple) and not isinstance(item, Frame) and len(item) == 2:
        item, label = item
    if isinstance(item, Frame):
        ready = intake.frame(item, name)
    else:
        given: dict[str, Any] = (
            dict(item) if isinstance(item, Mapping) else {_only(intake, name): item}
        )
        label = given.pop(LABEL, label)
        ready = intake.arrays(given, name)
    if isinstance(label, Mapping):
        return Sample(str(row), lambda: ready, heads=heads.of_case(label, classes.heads, name))
    index = None if label is None else _label(label, classes, name)
    return Sample(str(row), lambda: ready, index)


def _only(intake: Intake, name: str) -> str:
    if len(intake.given) != 1:
        raise ConfigError(f"{name}: yield a dict of arrays: the model takes {intake.given}")
    return intake.given[0]


def _label(label: Any, classes: Classes, name: str) -> int:
    value = label.item() if isinstance(label, np.generic | np.ndarray) else label
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int | str):
        raise ConfigError(f"{name}: label {value!r} is neither a class nor its number")
    return classes.index(value, name)


def _read(path: Path) -> dict[str, Array]:
    if not zipfile.is_zipfile(path):
        raise ConfigError(f"{path}: not readable as an .npz of numbers: it is none, or cut short")
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as exc:
        text = " ".join(str(exc).split())
        raise ConfigError(f"{path}: not readable as an .npz of numbers: {text}") from exc


def _call(spec: str) -> Iterable[object]:
    """Import the module, from the working directory too, and call what is named."""
    module, _, name = spec.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function: Any = _told(spec, lambda: importlib.import_module(module))
    finally:
        sys.path.remove(str(Path.cwd()))
    for part in name.split("."):
        function = getattr(function, part, None)
        if function is None:
            raise ConfigError(f"{spec}: module {module} has no '{name}'")
    made = _told(spec, function) if callable(function) else function
    if not isinstance(made, Iterable):
        raise ConfigError(f"{spec}: gives a {type(made).__name__}; make it a generator of cases")
    return made


def _guarded(made: Iterable[object], spec: str) -> Iterator[object]:
    over = _End()
    items = iter(made)
    while (item := _told(spec, partial(next, items, over))) is not over:
        yield item


class _End:
    """What comes after the last item."""


def _told(spec: str, act: Callable[[], Any]) -> Any:
    """Run code of the user's, whose every error becomes a ConfigError that names its line."""
    try:
        return act()
    except ConfigError:
        raise
    # The code is the user's: there is no list of what it may raise, and it may call sys.exit.
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"{spec}: {_place(exc)}{type(exc).__name__}: {_one_line(exc)}") from exc


def _place(exc: BaseException) -> str:
    """File and line, of the user's own code if any of it is on the stack."""
    if isinstance(exc, SyntaxError):
        return f"{exc.filename}:{exc.lineno}: "
    libraries = (f"{os.sep}site-packages{os.sep}", "<frozen", str(Path(os.__file__).parent))
    stack = traceback.extract_tb(exc.__traceback__)
    own = [
        one
        for one in stack
        if one.filename != __file__ and not any(part in one.filename for part in libraries)
    ]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split())
