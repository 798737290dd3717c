"""Sockets that bring bytes: a TCP connection of ours, and datagrams to us."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import select
import socket

from edge_runtime.errors import SourceLostError

from .declared import check

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
READ_BYTES = 65536
MOST_PIECES = 256  # taken at once


class TcpClient:
    """A connection to a server that sends samples. See `byte_stream.Transport`."""

    hint = ""

    def __init__(self, host: str, port: int) -> None:
        check_address("host", host, port)
        self.where = f"tcp://{_bracketed(host)}:{port}"
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect. Raises SourceLostError."""
        self.close()
        try:
            self._socket = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
            self._socket.setblocking(False)
            # A peer that lost its power says no goodbye.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except (OSError, UnicodeError) as exc:
            raise SourceLostError(f"{self.where}: {_say(exc)}") from exc

    def receive(self, timeout_s: float) -> list[bytes]:
        connection = self._open_socket()
        try:
            if not _ready(connection, timeout_s):
                return []
            raw = connection.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as exc:
            raise SourceLostError(f"{self.where}: {_say(exc)}") from exc
        if not raw:
            raise SourceLostError(f"{self.where}: the other side closed the connection")
        return [raw]

    def send(self, raw: bytes) -> None:
        """Raises SourceLostError."""
        try:
            self._open_socket().sendall(raw)
        except OSError as exc:
            raise SourceLostError(f"{self.where}: {_say(exc)}") from exc

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise SourceLostError(f"{self.where}: is not open")
        return self._socket


class UdpSocket:
    """A port that datagrams come to. See `byte_stream.Transport`.

    `foreign` counts datagrams of others than `peer`; they are dropped.
    """

    hint = ""

    def __init__(self, bind: str, port: int, peer: str) -> None:
        check_address("bind", bind, port, zero=True)
        self.where = f"udp://{_bracketed(bind)}:{port}"
        self.foreign = 0
        self._bind, self._port = _ip("bind", bind), port
        self._peer = _ip("peer", peer) if peer else None
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        """The port that is bound; another one than asked for when 0 was."""
        return int(self._socket.getsockname()[1]) if self._socket else self._port

    def open(self) -> None:
        """Bind. Raises SourceLostError."""
        self.close()
        if not self._bind.is_loopback and self._peer is None:
            log.warning(
                "%s: anyone on the network may send samples here: name the sender as peer",
                self.where,
            )
        family = socket.AF_INET6 if self._bind.version == 6 else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_DGRAM)
        try:
            listener.bind((str(self._bind), self._port))
            listener.setblocking(False)
        except OSError as exc:
            listener.close()
            raise SourceLostError(f"{self.where}: {_say(exc)}") from exc
        self._socket = listener

    def receive(self, timeout_s: float) -> list[bytes]:
        if self._socket is None:
            raise SourceLostError(f"{self.where}: is not open")
        pieces: list[bytes] = []
        if not _ready(self._socket, timeout_s):
            return pieces
        with contextlib.suppress(BlockingIOError):
            while len(pieces) < MOST_PIECES:
                raw, sender = self._socket.recvfrom(READ_BYTES)
                if self._peer in (None, ipaddress.ip_address(sender[0].partition("%")[0])):
                    pieces.append(raw)
                    continue
                self.foreign += 1
                if self.foreign == 1:
                    log.warning("%s: dropped what came from %s", self.where, sender[0])
        return pieces

    def send(self, raw: bytes) -> None:
        """A sender of datagrams takes no commands."""

    def close(self) -> None:
        listener, self._socket = self._socket, None
        if listener is not None:
            listener.close()


def check_address(key: str, host: str, port: int, *, zero: bool = False) -> None:
    """Raises BadOptionError."""
    check(key, bool(host) and host.isprintable() and " " not in host, "must be a host or address")
    check("port", (0 if zero else 1) <= port < 65536, f"{port} is no port")


def _ip(key: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        check(key, holds=False, message=f"'{text}' is no IP address")
        raise


def _ready(sock: socket.socket, timeout_s: float) -> bool:
    return bool(select.select([sock], [], [], timeout_s)[0])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say(exc: Exception) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(exc, socket.gaierror):
        return "no such host"
    if isinstance(exc, TimeoutError):
        return "no answer"
    said = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return said.lower()
