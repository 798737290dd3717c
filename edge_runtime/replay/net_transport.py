"""A replay over the network: a TCP server, or datagrams."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Sequence

from edge_runtime.errors import ConfigError

from .transport import POLL_S

DATAGRAM_BYTES = 1200  # fits every path without fragments


class Tcp:
    """A server; every client that is connected gets the same bytes."""

    def __init__(self, host: str, port: int, stop: threading.Event) -> None:
        self.where = ""
        self._host, self._port, self._stop = host, port, stop
        self._server: socket.socket | None = None
        self._clients: list[socket.socket] = []

    def open(self) -> None:
        """Listen. Raises ConfigError when that is not possible."""
        self.plug()

    def heard(self) -> bool:
        """Whether a client is connected; takes those that wait."""
        while self._server is not None and select.select([self._server], [], [], 0)[0]:
            client, _ = self._server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            self._clients.append(client)
        return bool(self._clients)

    def send(self, packets: Sequence[bytes], *, wait: bool) -> int:
        """See `Transport`; a client that has gone loses nothing."""
        raw = b"".join(packets)
        self.heard()
        lost = [self._give(client, raw, wait=wait) for client in list(self._clients)]
        return max(lost, default=len(raw))

    def unplug(self) -> None:
        """Break every connection and listen no more."""
        for client in self._clients:
            client.close()
        self._clients = []
        if self._server is not None:
            self._server.close()
            self._server = None

    def plug(self) -> None:
        """Listen at the address of before. Raises ConfigError."""
        try:
            self._server = socket.create_server((self._host, self._port))
        except OSError as exc:
            raise ConfigError(f"--to tcp://{self._host}:{self._port}: {exc.strerror}") from exc
        self._port = self._server.getsockname()[1]
        self.where = f"tcp://{self._host}:{self._port}"

    def drain(self, timeout_s: float) -> None:
        """Say the end; wait until the clients have read it and closed."""
        until_s = time.monotonic() + timeout_s
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        while self._clients and time.monotonic() < until_s and not self._stop.wait(POLL_S):
            for client in list(self._clients):
                self._listen(client)

    def close(self) -> None:
        """Close everything."""
        self.unplug()

    def _give(self, client: socket.socket, raw: bytes, *, wait: bool) -> int:
        rest = memoryview(raw)
        while rest and self._listen(client):
            if select.select([], [client], [], POLL_S if wait else 0)[1]:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    rest = rest[client.send(rest) :]
            elif not wait or self._stop.is_set():
                break
        return len(rest)

    def _listen(self, client: socket.socket) -> bool:
        """Throw away what a client says; False when it has gone."""
        try:
            while client.recv(4096):
                pass
        except BlockingIOError:
            return True
        except OSError:
            pass
        client.close()
        self._clients.remove(client)
        return False


class Udp:
    """Datagrams to one address; nobody knows who listens."""

    def __init__(self, host: str, port: int) -> None:
        self.where = f"udp://{host}:{port}"
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Raises ConfigError for an address that does not exist."""
        try:
            family, kind, *_, address = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[
                0
            ]
            self._socket = socket.socket(family, kind)
            self._socket.connect(address)
        except OSError as exc:
            raise ConfigError(f"--to {self.where}: {exc.strerror}") from exc

    def heard(self) -> bool:
        """Taken for granted."""
        return True

    def send(self, packets: Sequence[bytes], *, wait: bool) -> int:  # noqa: ARG002 - nobody can be waited for
        """Whole packets, as many as go into a datagram; what the host refuses is lost."""
        lost, held = 0, b""
        for packet in [*packets, b""]:
            if held and (not packet or len(held) + len(packet) > DATAGRAM_BYTES):
                lost += self._send(held)
                held = b""
            held += packet
        return lost

    def unplug(self) -> None:
        """Nothing is sent meanwhile."""

    def plug(self) -> None:
        """See `unplug`."""

    def drain(self, timeout_s: float) -> None:
        """Nothing to wait for."""

    def _send(self, datagram: bytes) -> int:
        try:
            if self._socket is not None:
                self._socket.send(datagram)
        except OSError:  # nobody listens, as the host says once in a while
            return len(datagram)
        return 0

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
