"""Where a replay goes: a pseudo-terminal, a TCP port, UDP datagrams, or standard output."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from edge_runtime.errors import ConfigError

POLL_S = 0.02  # how soon a stop or a listener is noticed


class Transport(Protocol):
    """One way out. `where` is what a reader is to open; it is known after `open()`."""

    where: str

    def open(self) -> None:
        """Raises ConfigError."""
        ...

    def heard(self) -> bool:
        """Whether somebody listens."""
        ...

    def send(self, packets: Sequence[bytes], *, wait: bool) -> int:
        """Give packets to who listens; how many bytes were lost.

        With `wait` a slow reader is waited for; nobody is not waited for.
        """
        ...

    def unplug(self) -> None:
        """Be gone, as a board whose cable was pulled."""
        ...

    def plug(self) -> None:
        """Be there again, at the same address."""
        ...

    def drain(self, timeout_s: float) -> None:
        """Wait until what was sent is read, if that can be known."""
        ...

    def close(self) -> None: ...


def transport(text: str, stop: threading.Event) -> Transport:
    """What `--to` asks for. Raises ConfigError."""
    kind, _, rest = text.partition(":")
    if text == "stdout":
        return Stdout()
    if kind == "pty":
        from .pty_transport import Pty

        return Pty(Path(rest) if rest else None, stop)
    if kind in ("tcp", "udp"):
        from .net_transport import Tcp, Udp

        host, port = _address(text)
        return Tcp(host, port, stop) if kind == "tcp" else Udp(host, port)
    raise ConfigError(f"--to {text}: write pty, pty:PATH, tcp://HOST:PORT, udp://HOST:PORT, stdout")


def _address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.path:
        raise ConfigError(f"--to {text}: write tcp://127.0.0.1:9000; port 0 takes a free one")
    return host, port


def until_heard(way: Transport, stop: threading.Event) -> bool:
    """Wait for a listener; False when the replay is to stop."""
    while not way.heard():
        if stop.wait(POLL_S):
            return False
    return not stop.is_set()


class Stdout:
    """Standard output, which always waits for its reader."""

    where = ""

    def open(self) -> None:
        """Nothing to do."""

    def heard(self) -> bool:
        """Always."""
        return True

    def send(self, packets: Sequence[bytes], *, wait: bool) -> int:  # noqa: ARG002 - a pipe always waits
        """Raises BrokenPipeError when its reader has gone."""
        rest = memoryview(b"".join(packets))
        while rest:
            rest = rest[os.write(1, rest) :]
        return 0

    def unplug(self) -> None:
        """A pipe cannot be unplugged: nothing is sent meanwhile."""

    def plug(self) -> None:
        """See `unplug`."""

    def drain(self, timeout_s: float) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
