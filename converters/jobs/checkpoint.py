"""Where a training run stands, after each epoch, in an .npz of plain arrays."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .job import Array, JobError

_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError)
_ABOUT = "about"  # the member that is no array of the state


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`key` says what the run is of; `losses` has one figure for each epoch that is done."""

    key: Mapping[str, str]
    losses: Sequence[float]
    state: dict[str, Array]


def read(path: Path, key: Mapping[str, str]) -> Checkpoint | None:
    """The checkpoint of a run, None when there is none yet.

    Raises JobError for one of another run, or a damaged one.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            about = json.loads(str(file[_ABOUT]))
            state = {name: file[name] for name in file.files if name != _ABOUT}
            found = Checkpoint(dict(about["key"]), list(about["losses"]), state)
    except (*_UNREADABLE, KeyError, TypeError) as exc:
        raise JobError(f"{path}: not a checkpoint, or a damaged one: delete it") from exc
    other = [name for name in key if found.key.get(name) != key[name]]
    if other:
        raise JobError(
            f"{path}: is of a run with another {', '.join(other)}: give the same again to go on"
            " with it, or delete it to start anew"
        )
    return found


def write(path: Path, what: Checkpoint) -> None:
    """Put it in the place of the one before. Raises JobError, as when the disk is full."""
    about = json.dumps({"key": dict(what.key), "losses": list(what.losses)})
    held = io.BytesIO()
    np.savez(held, **{_ABOUT: np.array(about), **what.state})  # type: ignore[arg-type]
    write_whole(path, held.getvalue())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises JobError, as when the disk is full."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as exc:
        raise JobError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    finally:
        beside.unlink(missing_ok=True)
