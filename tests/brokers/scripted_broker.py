"""A minimal MQTT broker that answers as a test wants, and counts what is unanswered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from .ports import HOST
from .proxy import PUBLISH, kind, packets

CONNECT, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 8, 12, 14  # MQTT 5.0, section 2.1.2
RECEIVE_MAXIMUM_EXCEEDED = bytes((0xE0, 1, 0x93))


class Publish(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    id: int  # 0 at QoS 0
    properties: bytes


class HangUpError(Exception):
    """Raised by an answer: say this, and close the connection."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__()
        self.last = last


class ScriptedBroker:
    """Lets every client in and delivers nothing; MQTT 5.

    `greet` gives the answer to the CONNECT of a connection, by its number from 1 on; `answer` that
    to a PUBLISH. Acknowledgements are held back until nothing has come for `hold_s`, and a client
    that has more than `receive_max` messages unanswered meanwhile is sent away.
    """

    def __init__(
        self,
        answer: Callable[[Publish], bytes] = lambda publish: puback(publish.id),
        greet: Callable[[int], bytes] = lambda number: connack(),
        *,
        receive_max: int = 65535,
        hold_s: float = 0.0,
    ) -> None:
        self.received: list[Publish] = []
        self.connections = 0
        self.violations = 0
        self._answer, self._greet = answer, greet
        self._receive_max, self._hold_s = receive_max, hold_s
        self._server = socket.create_server((HOST, 0))
        self.port = self._server.getsockname()[1]
        self.url = f"mqtt://{HOST}:{self.port}"
        self._thread = threading.Thread(target=self._accept)
        self._socks: list[socket.socket] = []
        self._thread.start()

    def on(self, ending: str) -> list[Publish]:
        """What came on topics that end so."""
        return [publish for publish in list(self.received) if publish.topic.endswith(ending)]

    def close(self) -> None:
        for sock in (self._server, *self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _accept(self) -> None:
        threads: list[threading.Thread] = []
        with suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                self.connections += 1
                self._socks.append(sock)
                threads.append(threading.Thread(target=self._serve, args=(sock, self.connections)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, suppress(OSError):
            try:
                self._talk(sock, number)
            except HangUpError as exc:
                sock.sendall(exc.last)
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(1.0)
                while sock.recv(65536):  # closing with something unread would reset: it reads first
                    pass

    def _talk(self, sock: socket.socket, number: int) -> None:
        buffer, held = bytearray(), []
        while True:
            sock.settimeout(self._hold_s if held else None)
            try:
                chunk = sock.recv(65536)
            except TimeoutError:
                sock.sendall(b"".join(map(self._answer, held)))
                held.clear()
                continue
            if not chunk:
                return
            buffer += chunk
            for packet in packets(buffer):
                if kind(packet) == CONNECT:
                    sock.sendall(self._greet(number))
                elif kind(packet) == PUBLISH:
                    publish = read_publish(packet)
                    self.received.append(publish)
                    if publish.qos:
                        held.append(publish)
                elif kind(packet) == SUBSCRIBE:
                    sock.sendall(b"\x90\x04" + packet[2:4] + b"\0\1")  # one filter, QoS 1
                elif kind(packet) == PINGREQ:
                    sock.sendall(b"\xd0\0")
                elif kind(packet) == DISCONNECT:
                    return
            if len(held) > self._receive_max:
                self.violations += 1
                raise HangUpError(RECEIVE_MAXIMUM_EXCEEDED)
            if not self._hold_s:
                sock.sendall(b"".join(map(self._answer, held)))
                held.clear()


def connack(properties: bytes = b"") -> bytes:
    return bytes((0x20, 3 + len(properties), 0, 0, len(properties))) + properties


def puback(message_id: int, reason: int = 0, text: str = "") -> bytes:
    """With a reason string, if there is `text` (MQTT 5.0, section 3.4.2)."""
    said = b"\x1f" + len(text).to_bytes(2, "big") + text.encode() if text else b""
    return bytes((0x40, 4 + len(said), *message_id.to_bytes(2, "big"), reason, len(said))) + said


def read_publish(packet: bytes) -> Publish:
    """A PUBLISH of MQTT 5 (section 3.3)."""
    at = next(at for at in range(1, 5) if packet[at] < 0x80) + 1
    length = int.from_bytes(packet[at : at + 2], "big")
    topic, at = packet[at + 2 : at + 2 + length].decode(), at + 2 + length
    qos = packet[0] >> 1 & 3
    number, at = (int.from_bytes(packet[at : at + 2], "big"), at + 2) if qos else (0, at)
    length = packet[at] & 0x7F
    if packet[at] >= 0x80:  # properties here are shorter than 16,384 bytes
        at += 1
        length |= packet[at] << 7
    return Publish(topic, packet[at + 1 + length :], qos, number, packet[at + 1 : at + 1 + length])


@pytest.fixture
def scripted_broker() -> Iterator[Callable[..., ScriptedBroker]]:
    """A factory of scripted brokers."""
    with ExitStack() as stack:

        def make(*habits, **more) -> ScriptedBroker:
            broker = ScriptedBroker(*habits, **more)
            stack.callback(broker.close)
            return broker

        yield make
