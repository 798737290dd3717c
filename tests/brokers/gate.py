"""A TCP relay in front of a broker that can misbehave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from .ports import HOST


class Gate:
    """A TCP relay in front of a broker that can misbehave.

    `admit` sees the first bytes of each connection and says what to do with it: "pass", "close"
    or "silence". A connection that carries `poison` is cut before it gets through. While `frozen`,
    nothing gets through either way, and nothing is closed. `target` may be changed: new connections
    go there.
    """

    def __init__(
        self,
        port: int,
        admit: Callable[[bytes], str] = lambda first: "pass",
        poison: bytes | None = None,
    ) -> None:
        self._poison = poison
        self.frozen = False
        self.connections = 0
        self.carried = [0, 0]  # bytes to the broker, and from it
        self.target = port
        self._admit = admit
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server((HOST, 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def cut(self) -> None:
        """End every connection."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._sockets.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(near)
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            first = near.recv(4096)
            verdict = self._admit(first)
            if verdict == "close":
                near.shutdown(socket.SHUT_RDWR)
                near.close()
            if verdict != "pass":
                return
            far = socket.create_connection((HOST, self.target))
            self._sockets.append(far)
            self.carried[0] += len(first)
            far.sendall(first)
        except OSError:
            near.close()
            return
        for way, ends in enumerate(((near, far), (far, near))):
            threading.Thread(target=self._relay, args=(*ends, way), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, way: int) -> None:
        try:
            while chunk := source.recv(65536):
                while self.frozen:
                    time.sleep(0.01)
                if self._poison is not None and self._poison in chunk:
                    break
                self.carried[way] += len(chunk)
                target.sendall(chunk)
        except OSError:
            pass
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@pytest.fixture
def gate() -> Iterator[Callable[..., Gate]]:
    """A factory of relays: `gate(broker.port)`."""
    with ExitStack() as stack:

        def make(port: int, *habits, **more) -> Gate:
            relay = Gate(port, *habits, **more)
            stack.callback(relay.close)
            return relay

        yield make
