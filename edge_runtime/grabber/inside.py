"""The same drivers without a process of their own: less memory, nothing to be killed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import FrameError, SourceLostError
from edge_runtime.frame import Frame

from .driver import Driver, DriverError, make
from .messages import Facts


class Inside:
    """Fits in the place of `Grabber`; `read` waits as long as the driver does."""

    def __init__(self, name: str, what: str, request: Mapping[str, Any], hint: str) -> None:
        self._name, self._what, self._request = name, what, request
        self._hint = hint
        self._driver: Driver | None = None
        self._seq = 0
        self.facts = Facts(0, 0)

    def open(self) -> None:
        """Raises SourceLostError, ConfigError (something must be installed)."""
        self.close()
        self._driver = make(self._request)
        try:
            self.facts = self._driver.open()
        except DriverError as exc:
            self.close()
            raise SourceLostError(f"{self._name}: {self._what} {exc}{self._hint}") from exc
        if self._seq:
            self._seq += 1  # what passed while the camera was away is missing
        for _ in range(self._request.get("skip", 0)):
            self._driver.grab()

    def read(self, timeout_s: float) -> Frame | None:
        """Raises FrameError (a picture that does not decode), SourceLostError."""
        del timeout_s
        if self._driver is None:
            raise SourceLostError(f"{self._name}: is not open")
        if not self._driver.grab():
            raise SourceLostError(f"{self._name}: {self._what} gives no more pictures{self._hint}")
        timestamp_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        seq, self._seq = self._seq, self._seq + 1
        image = self._driver.retrieve(None)
        if image is None:
            raise FrameError(f"{self._name}: a picture of {self._what} does not decode")
        return Frame(image, timestamp_ns, monotonic_ns, seq, self._name)

    def close(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None
