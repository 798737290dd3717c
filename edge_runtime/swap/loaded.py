"""The models that are open in this process, and the thread in which one is loaded and shadows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from edge_runtime.errors import EdgeRunError

from .jury import TICK_S, stateful
from .shadow import Shadow

if TYPE_CHECKING:
    from edge_runtime.model import Model

log = logging.getLogger(__name__)

LOAD_S = 120.0  # a load that takes longer never ends


class Loaded:
    """See the module. `shadow` has a thread; `stuck`: that of an earlier one never returns."""

    def __init__(self, live: Model, make: Callable[[str], Model]) -> None:
        self.shadow: Shadow | None = None
        self.stuck = False
        self._make = make
        self._open = [live]

    def load(self, digest: str) -> Generator[float, None, Shadow | str]:
        """A model, open, in a thread that may shadow with it; or why it cannot be had."""
        try:
            model = self._make(digest)
        except (EdgeRunError, OSError) as exc:
            return str(exc)
        self._open.append(model)
        self.shadow = shadow = Shadow(model, comparable=not stateful(model))
        shadow.start()
        until_s = time.monotonic() + LOAD_S
        while not shadow.ready:
            if shadow.error is not None or time.monotonic() > until_s:
                if self.ended():
                    self.drop(model)
                return str(shadow.error or f"hang: not loaded within {LOAD_S:g} s")
            yield TICK_S
        return shadow

    def joined(self, shadow: Shadow, limit_s: float) -> Generator[float, None, bool]:
        """Whether a shadow's thread leaves its model alone within this time."""
        until_s = time.monotonic() + limit_s
        while not shadow.stop(0.0):
            if time.monotonic() > until_s:
                return False
            yield TICK_S
        shadow.model.watch = self.shadow = None
        return True

    def ended(self) -> bool:
        """End the shadow's thread. False: its model never returns, and is left behind with it."""
        shadow, self.shadow = self.shadow, None
        if shadow is None or shadow.stop():
            return True
        log.warning("a candidate's thread does not return: it is left behind until the next start")
        self.stuck = True
        self._open.remove(shadow.model)
        return False

    def drop(self, model: Model | None) -> None:
        """Close one that nobody calls any more."""
        if model in self._open:
            self._open.remove(model)
            model.close()

    def close(self) -> None:
        """Close every model, but one that does not return."""
        self.ended()
        for model in self._open:
            model.close()
