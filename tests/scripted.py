"""Sources, steps, sinks and backends that do as the test says; for the core's own tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from edge_runtime.errors import EndOfStream
from edge_runtime.frame import Array, Frame, Info, Result
from edge_runtime.interfaces import TensorSpec


def frame(seq: int, source: str = "scripted", data: Array | None = None) -> Frame:
    """A frame of one sample whose value is its number."""
    now = time.monotonic_ns()
    values = np.full((1, 1), seq, np.float32) if data is None else data
    return Frame(values, time.time_ns(), now, seq, source, rate_hz=1.0)


class ScriptedSource:
    """Plays a script: frames are given, exceptions raised, callables called (for their frame)."""

    def __init__(self, script: Iterable[object], *, name: str = "scripted", live: bool = False):
        self.name = name
        self.live = live
        self.opened = 0
        self.closed = 0
        self._script = iter(script)

    def open(self) -> None:
        self.opened += 1

    def read(self, timeout_s: float) -> Frame | None:
        item = next(self._script, EndOfStream())
        if callable(item) and not isinstance(item, type):
            item = item()
        if isinstance(item, (BaseException, type)):
            raise item
        return item  # type: ignore[return-value]

    def close(self) -> None:
        self.closed += 1


class Collected:
    """A sink that keeps what it is given."""

    def __init__(self, *, room: Callable[[], bool] = lambda: True):
        self.results: list[Result] = []
        self.infos: list[Info] = []
        self.events: list[str] = []
        self._room = room
        self.got_one = threading.Event()

    def open(self) -> None:
        self.events.append("open")

    def publish(self, result: Result) -> None:
        self.results.append(result)
        self.got_one.set()

    def announce(self, info: Info) -> None:
        self.infos.append(info)

    def ready(self) -> bool:
        return self._room()

    def close(self) -> None:
        self.events.append("close")


class Doubler:
    """A backend that computes 2 * x, and x + state where it has a second input."""

    kind = "doubler"

    def __init__(
        self, *, delegate: str = "cpu", state: bool = False, fail: Exception | None = None
    ):
        self.delegate = delegate
        self._fail = fail
        self.runs = 0
        self.resets = 0
        self.closed = 0
        state_spec = (TensorSpec("state", (1, 1), "float32"),) if state else ()
        self.inputs = (TensorSpec("x", (1, 1, 1), "float32"), *state_spec)
        self.outputs = (TensorSpec("y", (1, 1), "float32"), *state_spec)

    def open(self) -> None:
        if self._fail:
            raise self._fail

    def run(self, tensors: Sequence[Array]) -> Sequence[Array]:
        self.runs += 1
        x = tensors[0].reshape(1, 1).copy()
        if len(tensors) == 1:
            return (2 * x,)
        total = x + tensors[1]
        return (total, total)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed += 1
