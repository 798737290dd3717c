"""A TCP relay that breaks a link in the ways in which links break, and knows MQTT packets."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import pytest

from .ports import HOST

PUBLISH, PUBACK = 3, 4  # packet types (MQTT 5.0, section 2.1.2)
LOOK_S = 0.02  # how often a connection looks whether it should end
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST


class Way:
    """What becomes of the bytes that go one way; all of it may be changed at any time.

    `edit` sees each MQTT packet and gives what goes on in its place, or None to cut the connection.
    """

    def __init__(self) -> None:
        self.frozen = False  # nothing gets through, nothing is closed
        self.rate = 0.0  # bytes a second; 0 is no limit
        self.delay_s = 0.0
        self.left: int | None = None  # bytes that may pass before the connection is reset
        self.edit: Callable[[bytes], Iterable[bytes] | None] | None = None


class Connection(threading.Thread):
    """A client, the broker, and what goes between them, until one of them or the test ends it."""

    def __init__(self, near: socket.socket, port: int, up: Way, down: Way) -> None:
        super().__init__(daemon=True)
        self._near, self._port, self._ways = near, port, (up, down)
        self._over = threading.Event()
        self._reset = False

    def end(self, *, reset: bool) -> None:
        self._reset = reset
        self._over.set()

    def run(self) -> None:
        with self._near as near:
            try:
                far = socket.create_connection((HOST, self._port))
            except OSError:
                return
            with far:
                up, down = self._ways
                far.setblocking(False)
                near.setblocking(False)
                back = threading.Thread(target=self._relay, args=(far, near, down), daemon=True)
                back.start()
                self._relay(near, far, up)
                back.join()
                for sock in (near, far) if self._reset else ():
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def _relay(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        rest = bytearray()
        try:
            while not self._over.is_set():
                if way.frozen:
                    self._over.wait(LOOK_S)
                    continue
                if not self._ready(source, select.POLLIN):
                    break
                chunk = source.recv(max(1, int(way.rate * LOOK_S)) if way.rate else 65536)
                if not chunk:
                    break
                self._pass_on(self._edited(chunk, rest, way), target, way)
        except OSError:
            pass
        self._over.set()

    def _edited(self, chunk: bytes, rest: bytearray, way: Way) -> bytes:
        rest += chunk
        if way.edit is None:
            chunk = bytes(rest)
            rest.clear()
            return chunk
        out = bytearray()
        for packet in packets(rest):
            instead = way.edit(packet)
            if instead is None:
                self._over.set()
                break
            for part in instead:
                out += part
        return bytes(out)

    def _pass_on(self, data: bytes, target: socket.socket, way: Way) -> None:
        if way.rate or way.delay_s:
            time.sleep(way.delay_s + (len(data) / way.rate if way.rate else 0.0))
        while way.frozen and not self._over.is_set():
            self._over.wait(LOOK_S)
        last = way.left is not None and len(data) >= way.left
        if last:
            data, way.left = data[: way.left], None
        elif way.left is not None:
            way.left -= len(data)
        while data and self._ready(target, select.POLLOUT):
            data = data[target.send(data) :]
        if last:
            self.end(reset=True)

    def _ready(self, sock: socket.socket, event: int) -> bool:
        """Wait until it can be read or written; False when the connection is to end first."""
        poll = select.poll()
        poll.register(sock, event)
        while not poll.poll(LOOK_S * 1000):
            if self._over.is_set():
                return False
        return True


class Proxy:
    """A relay to `port`, on port `at` or a free one: `up` is the way to the broker, `down` back."""

    def __init__(self, port: int, at: int = 0) -> None:
        self.up, self.down = Way(), Way()
        self.connections = 0  # so far
        self._target = port
        self._open: list[Connection] = []
        self._server = socket.create_server((HOST, at))
        self.port = self._server.getsockname()[1]
        self.url = f"mqtt://{HOST}:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self, *, reset: bool = False) -> None:
        """End every connection, with FIN or RST."""
        for connection in self._open:
            connection.end(reset=reset)
        for connection in self._open:
            connection.join(2.0)
        self._open.clear()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(Connection(near, self._target, self.up, self.down))
            self._open[-1].start()


def packets(buffer: bytearray) -> Iterator[bytes]:
    """Take the whole MQTT packets out of a buffer (MQTT 5.0, section 2.1.4)."""
    while len(buffer) >= 2:
        length = shift = 0
        for at in range(1, min(5, len(buffer))):
            length |= (buffer[at] & 0x7F) << shift
            shift += 7
            if buffer[at] < 0x80:
                break
        else:
            return
        end = at + 1 + length
        if len(buffer) < end:
            return
        packet = bytes(buffer[:end])
        del buffer[:end]
        yield packet


def kind(packet: bytes) -> int:
    """The packet's type."""
    return packet[0] >> 4


def acknowledged_id(puback: bytes) -> int:
    """The message id in a PUBACK."""
    return int.from_bytes(puback[2:4], "big")


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """A factory of relays: `proxy(broker.port)`."""
    with ExitStack() as stack:

        def make(port: int, at: int = 0) -> Proxy:
            relay = Proxy(port, at)
            stack.callback(relay.close)
            return relay

        yield make
