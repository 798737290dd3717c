"""A thread that writes recordings, so that a slow card never holds up the pipeline."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .avi import Avi

log = logging.getLogger(__name__)

_QUEUE_MAX = 256  # pictures on their way to the disk
_PART = ".part"  # of a file that is not finished
_DAY_S = 86_400


class Picture(NamedTuple):
    """An encoded picture."""

    jpeg: bytes
    timestamp_ns: int
    width: int
    height: int


class _Begin(NamedTuple):
    name: str


class _End(NamedTuple):
    facts: Mapping[str, object]


class _Still(NamedTuple):
    name: str
    picture: Picture
    facts: Mapping[str, object]


class Writer:
    """Files of one folder, bounded by bytes and by age; the oldest goes first.

    A disk that is full or gone costs recordings, each told in the log, and nothing else.
    """

    def __init__(self, folder: Path, bytes_max: int, days_max: float) -> None:
        self._folder, self._bytes_max, self._days_max = folder, bytes_max, days_max
        self._tasks: queue.Queue[_Begin | Picture | _End | _Still | None]
        self._tasks = queue.Queue(_QUEUE_MAX)
        self._thread: threading.Thread | None = None
        self._clip: _Clip | None = None
        self.lost = 0  # pictures that found no room in the queue

    def begin(self, name: str) -> None:
        """Start a clip; `add` gives its pictures and `end` finishes it."""
        self._put(_Begin(name))

    def add(self, picture: Picture) -> None:
        self._put(picture)

    def end(self, facts: Mapping[str, object]) -> None:
        self._put(_End(facts))

    def still(self, name: str, picture: Picture, facts: Mapping[str, object]) -> None:
        """Write one picture."""
        self._put(_Still(name, picture, facts))

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait until everything is written."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._tasks.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("recording to %s is not finished in time: left behind", self._folder)
        self._thread = None

    def _put(self, task: _Begin | Picture | _End | _Still) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
            self._thread.start()
        try:
            if isinstance(task, _End):  # without it the clip would have no index
                self._tasks.put(task, timeout=1.0)
            else:
                self._tasks.put_nowait(task)
        except queue.Full:
            self.lost += 1
            if self.lost == 1:
                log.warning("recording to %s is too slow: pictures are left out", self._folder)

    def _run(self) -> None:
        for file in self._folder.glob(f"*{_PART}"):  # of a run that was killed
            file.unlink(missing_ok=True)
        while (task := self._tasks.get()) is not None:
            try:
                self._do(task)
            except OSError as exc:
                if self._clip:
                    self._clip.drop()
                    self._clip = None
                log.warning("recording: %s: %s", self._folder, exc.strerror or exc)

    def _do(self, task: _Begin | Picture | _End | _Still) -> None:
        if isinstance(task, _Begin):
            self._make_room()
            self._clip = _Clip(self._folder / f"{task.name}.avi")
        elif isinstance(task, Picture):
            if self._clip:
                self._clip.add(task)
        elif isinstance(task, _End):
            clip, self._clip = self._clip, None
            if clip:
                clip.close(task.facts)
                self._make_room()
        else:
            self._make_room()
            file = self._folder / f"{task.name}.jpg"
            _write(file, task.picture.jpeg)
            _write(file.with_suffix(".json"), _json({**task.facts, "file": file.name}))

    def _make_room(self) -> None:
        """Delete the oldest files until the bounds hold."""
        self._folder.mkdir(parents=True, exist_ok=True)
        files = [(file, file.stat()) for file in self._folder.iterdir() if file.is_file()]
        files.sort(key=lambda entry: entry[1].st_mtime)
        total = sum(status.st_size for _, status in files)
        oldest = time.time() - self._days_max * _DAY_S
        for file, status in files:
            if total <= self._bytes_max and status.st_mtime >= oldest:
                break
            file.unlink(missing_ok=True)
            total -= status.st_size


class _Clip:
    """A clip that is being written, under another name until it is whole."""

    def __init__(self, file: Path) -> None:
        self._file, self._part = file, file.with_name(file.name + _PART)
        self._avi: Avi | None = None
        self._stream: BinaryIO | None = None
        self._size = (0, 0)
        self._times_ns: list[int] = []

    def add(self, picture: Picture) -> None:
        size = (picture.width, picture.height)
        if self._avi is None:
            self._stream = self._part.open("wb")
            self._avi, self._size = Avi(self._stream, *size), size
        if size == self._size and not self._avi.full:
            self._avi.add(picture.jpeg)
            self._times_ns.append(picture.timestamp_ns)

    def close(self, facts: Mapping[str, object]) -> None:
        if self._avi is None or self._stream is None:
            return
        seconds = (self._times_ns[-1] - self._times_ns[0]) / 1e9
        rate_hz = (len(self._times_ns) - 1) / seconds if seconds > 0 else 1.0
        with self._stream:
            self._avi.close(rate_hz)
        self._part.replace(self._file)
        whole = {**facts, "file": self._file.name, "timestamps_ns": self._times_ns}
        _write(self._file.with_suffix(".json"), _json(whole))

    def drop(self) -> None:
        """Give up what cannot be written."""
        with contextlib.suppress(OSError):
            if self._stream:
                self._stream.close()
            self._part.unlink(missing_ok=True)


def _json(facts: Mapping[str, object]) -> bytes:
    return json.dumps(facts, indent=1).encode()


def _write(file: Path, data: bytes) -> None:
    part = file.with_name(file.name + _PART)
    part.write_bytes(data)
    part.replace(file)
