"""In the place of a model: a live one, and a candidate that may take its place between two frames.

The loop calls it as it calls a model, and `turn` between two frames; only there one stage follows
another. Everything that takes time is done beside the loop: a thread of its own follows the course
of an update (`course.py`), and the candidate is loaded and shadows in another (`shadow.py`), so
that neither a slow disk nor a model that hangs is ever in the way of a frame.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from edge_runtime.errors import ConfigError, ModelLoadError

from .course import Course
from .shadow import attempt

if TYPE_CHECKING:
    from edge_runtime.frame import BackendInfo, Frame, ModelInfo, Result
    from edge_runtime.manifest import Manifest
    from edge_runtime.model import Model
    from edge_runtime.outcome import Outcome
    from edge_runtime.update_state import UpdateState

    from .desk import Desk
    from .probation import Rules

log = logging.getLogger(__name__)


class Switch:
    """See the module. `hung` is called, in the watching thread, when a call never ends."""

    def __init__(
        self,
        *,
        live: Model,
        desk: Desk,
        rules: Rules,
        hung: Callable[[], None],
        poll_s: float = 1.0,
    ) -> None:
        self._desk = desk
        self._course = Course(live, desk, rules, hung, poll_s)
        self.ended = threading.Event()
        self._failure: Exception | None = None  # a fault of ours in that thread
        self._thread = threading.Thread(target=self._watch, name="update", daemon=True)
        self.hung_path = desk.hung_path

    @property
    def manifest(self) -> Manifest:
        return self._course.now.speaker.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        return self._course.now.speaker.labels

    @property
    def heads(self) -> Mapping[str, tuple[str, ...]]:
        return self._course.now.speaker.heads

    @property
    def model_info(self) -> ModelInfo:
        return self._course.now.speaker.model_info

    @property
    def backend_info(self) -> BackendInfo:
        return self._course.now.speaker.backend_info

    def open(self) -> None:
        """Load what is active; where that fails in the middle of a trial, the old model."""
        live, begun = self._course.now.speaker, self._desk.begun()
        try:
            live.open()
        except (ModelLoadError, ConfigError) as exc:
            if begun is None:
                raise
            if error := attempt(partial(self._desk.refuse, f"load: {exc}")):
                log.warning("that a model cannot be loaded could not be saved: %s", error)
            live, begun = self._desk.load(begun.old), None
            live.open()
        self._course.start(live, begun)
        self._thread.start()

    def __call__(self, frame: Frame) -> Result:
        return self._course.now(frame)

    def tell(self, outcome: Outcome, frame: Frame) -> Result:
        return self._course.now.speaker.tell(outcome, frame)

    def turn(self) -> UpdateState:
        """The next stage begins, if there is one. The only place where that happens.

        Raises what ended the thread that follows the course: no trial goes on unwatched.
        """
        if self._failure is not None:
            raise self._failure
        self._course.now = self._course.next
        self._course.turns += 1
        return self._course.update

    @property
    def trying(self) -> bool:
        """Whether a candidate is loaded here."""
        return self._course.trying

    @property
    def stuck(self) -> bool:
        """Whether a thread of a candidate that never returns was left behind by `close`."""
        return self._course.stuck

    def close(self) -> None:
        """End the threads, save where a trial stands, close every model that returns."""
        if self._thread.ident is None:
            return
        self.ended.set()
        self._thread.join(5.0)
        results, seconds = self._course.progress(time.monotonic())
        if error := attempt(lambda: self._desk.leave(results, seconds)):
            log.warning("where the update stands could not be saved: %s", error)
        self._course.close()

    def _watch(self) -> None:
        self._failure = attempt(self._follow)

    def _follow(self) -> None:
        for pause_s in self._course.run():
            if self.ended.wait(pause_s):
                return
