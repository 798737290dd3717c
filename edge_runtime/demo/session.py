"""One run of the demo: a broker, a subscriber and a pipeline process, and what came of them."""

from __future__ import annotations

import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, final

from edge_runtime.errors import ConfigError

from .hearing import Subscriber
from .process import PipelineProcess, Summary, parse_summary
from .show import DEVICE, PREFIX, Show
from .tally import Tally

if TYPE_CHECKING:
    from types import TracebackType

LAST_RESULTS_S = 5.0  # how long what was published may still be on its way when all has ended
OVERDUE_S = 30.0  # a stream that should have ended this long ago hangs: the pipeline is stopped


@final
class Session:
    """A context manager: everything runs between entering and leaving it.

    Args:
        show: which stream, and how it is pictured.
        folder: where the run file and the log go and stay; None is a temporary folder.

    Raises MissingExtraError without the broker's package, ConfigError without the model.
    """

    def __init__(self, show: Show, folder: Path | None = None) -> None:
        self.show = show
        self.tally = Tally()
        self.interrupted = False
        self.first_result_s: float | None = None
        self._folder = folder
        self.summary: Summary | None = None  # what the pipeline said at its end

    def __enter__(self) -> Session:
        from edge_runtime.mqtt.broker import Broker

        with ExitStack() as stack:
            folder = self._folder or Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-run-demo-"))
            )
            self.url = stack.enter_context(Broker()).url
            self.run_text = self.show.run_file(self.url)
            self.run_file = _written(folder / f"{self.show.kind}.toml", self.run_text)
            topic = f"{PREFIX}/{DEVICE}/#"
            self.subscriber = stack.enter_context(Subscriber(self.url, topic))
            self.process = stack.enter_context(
                PipelineProcess(self.run_file, folder / f"{self.show.kind}.log")
            )
            self._started = time.monotonic()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, exc, trace)

    @property
    def running(self) -> bool:
        return self.process.exit_code is None

    @property
    def lost(self) -> int | None:
        """Results that were published and not heard; None when the pipeline did not say."""
        return self.tally.lost(self.summary)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def listen(self, timeout_s: float) -> None:
        """Take results for `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._take(left_s)
        if self.interrupted or self.elapsed_s > self.show.seconds + OVERDUE_S:
            self.process.stop()

    def _take(self, timeout_s: float) -> bool:
        heard = self.subscriber.take(timeout_s)
        about = self.subscriber.about
        if about is not None and "live" in about.states:
            self.show.live(about.timestamp_ns)
        if heard is None:
            return False
        if self.first_result_s is None:
            self.first_result_s = self.elapsed_s
        if self.tally.hear(heard, self.show.happened_ns(heard)):
            self.show.hear(heard)
        return True

    def interrupt(self) -> None:
        """Ask the pipeline to deliver and end."""
        self.interrupted = True
        self.process.stop()

    def finish(self) -> None:
        """Wait for the end of the pipeline and for the results that are still on their way."""
        self.process.wait()
        self.summary = parse_summary(self.process.log())
        deadline = time.monotonic() + LAST_RESULTS_S
        while time.monotonic() < deadline and self.lost:
            self._take(0.1)
        while self._take(0.1):
            pass  # a repeat would come after the last one

    @property
    def failed(self) -> bool:
        """Whether the pipeline ended badly; to be stopped before it was up is no failure."""
        code = self.process.exit_code
        if self.interrupted and self.subscriber.about is None and code == -signal.SIGTERM:
            return False
        return bool(code)

    @property
    def exit_code(self) -> int:
        """0 when the pipeline ended well and every result was heard; else the pipeline's own."""
        if self.failed:
            return max(self.process.exit_code or 0, 1)
        return 1 if self.lost or not (self.tally.received or self.interrupted) else 0


def _written(file: Path, text: str) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be written: {exc.strerror}") from exc
    return file
