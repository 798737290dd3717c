"""A candidate beside the live model: loaded and run in a thread of its own, on frames in passing.

The loop leaves a frame and its result where they may be taken, and never waits: a frame that comes
while one is at work is not compared. After each the thread rests for as long as it worked, so the
shadow takes half a core at most.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.update_state import Disagreement, ShadowReport

from .comparison import agreement, brief
from .evidence import WINDOW, Baseline, Evidence, Outputs, baseline, percentile

if TYPE_CHECKING:
    from edge_runtime.frame import Array, Frame, Result
    from edge_runtime.model import Model

SAMPLES = 5  # disagreements that are shown
ELEMENTS = 256  # of each output are compared with those before
POLL_S = 0.2


def attempt(act: Callable[[], None]) -> Exception | None:
    """Do it; what it raised. A model on trial may raise anything, which is its own fault."""
    try:
        act()
    except Exception as exc:  # noqa: BLE001 - told, and the model is taken back
        return exc
    return None


def took_ms(result: Result) -> float:
    """The model's own part of a result's latency."""
    latency = result.latency_ms
    return latency.preprocess + latency.inference + latency.postprocess


class Watch:
    """Sees a model's raw outputs: are they finite, do they change?"""

    def __init__(self, outputs: Outputs) -> None:
        self.finite = True
        self._outputs = outputs
        self._before: int | None = None

    def __call__(self, outputs: Sequence[Array]) -> None:
        self.finite, mark = True, 0
        for output in outputs:
            if output.dtype.kind == "f" and not np.isfinite(output).all():
                self.finite = False
            flat = output.reshape(-1)
            mark = zlib.crc32(flat[:: max(1, flat.size // ELEMENTS)].tobytes(), mark)
        if self._before is not None:
            self._outputs.add(same=mark == self._before)
        self._before = mark


class Shadow:
    """See the module. `ready` when the model is open; `error` says why it is not, or ended."""

    def __init__(self, model: Model, *, comparable: bool) -> None:
        self.model = model
        self.error: Exception | None = None
        self.ready = False
        self.evidence = Evidence(time.monotonic())
        self._live_times: deque[float] = deque(maxlen=WINDOW)
        self._comparable = comparable
        self._degrees = 0.0
        self._samples: list[Disagreement] = []
        self._offered: tuple[Frame, Result] | None = None
        self._called = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)

    def start(self) -> None:
        """Load the model; then compare."""
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End the thread; False when the model does not return."""
        self._stop.set()
        self._called.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._offered = None  # a picture may be lent
        return True

    def offer(self, frame: Frame, result: Result) -> None:
        """A frame, and what the live model says of it; taken if there is time."""
        if self._offered is None and self.ready:
            self._offered = (frame, result)
            self._called.set()

    @property
    def agreement(self) -> float:
        """Mean over the frames compared; a NaN where it means nothing."""
        results = self.evidence.results
        return self._degrees / results if results and self._comparable else float("nan")

    def live(self, outputs: Outputs) -> Baseline:
        """The live model's latency on the frames that were compared."""
        return baseline(self._live_times, outputs)

    def report(self) -> ShadowReport:
        """What was found so far."""
        live = percentile(self._live_times, 0.5)
        ratio = percentile(self.evidence.times, 0.5) / live if live else float("nan")
        return ShadowReport(self.evidence.results, self.agreement, ratio, tuple(self._samples))

    def _run(self) -> None:
        self.error = attempt(self._work)

    def _work(self) -> None:
        self.model.open()
        watch = Watch(self.evidence.outputs)
        self.model.watch = watch
        self.evidence.since_s = time.monotonic()
        self.ready = True
        while not self._stop.is_set():
            self._called.wait(POLL_S)
            self._called.clear()
            if self._offered is None:
                continue
            frame, result = self._offered
            began_s = time.monotonic()
            self._compare(frame, result, watch)
            del frame, result  # a picture may be lent
            self._offered = None
            self._stop.wait(time.monotonic() - began_s)

    def _compare(self, frame: Frame, live: Result, watch: Watch) -> None:
        said: list[Result] = []
        self.evidence.begin(time.monotonic())
        watch.finite = True
        error = attempt(lambda: said.append(self.model(frame)))
        self.evidence.busy_s = 0.0
        if not watch.finite:
            self.evidence.not_finite += 1
            return
        if error is not None:
            self.evidence.fail(str(error) or type(error).__name__)
            return
        self.evidence.succeed(took_ms(said[0]))
        self._live_times.append(took_ms(live))
        degree = agreement(live.outcome, said[0].outcome)
        self._degrees += degree
        if degree < 0.5 and self._comparable and len(self._samples) < SAMPLES:
            words = brief(live.outcome), brief(said[0].outcome)
            where = frame.source, frame.seq, frame.timestamp_ns
            self._samples.append(Disagreement(*where, *words))
