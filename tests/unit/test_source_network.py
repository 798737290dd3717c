"""Sources `tcp` and `udp` over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, FrameError, SourceLostError
from edge_runtime.interfaces import Source
from edge_runtime.sources.streams.tcp import Tcp
from edge_runtime.sources.streams.udp import Udp
from tests.contracts.test_source_contract import SourceContract
from tests.unit.test_framing_packets import cyton_packet
from tests.unit.test_frontends import frames_of

PLAIN = {"rate_hz": 100.0, "mv_per_count": 1.0, "chunk_s": 0.05}


class Server:
    """Accepts, and says what it is told to every one that is connected."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.clients.append(client)

    def say(self, raw: bytes) -> None:
        until = time.monotonic() + 5
        while not self.clients and time.monotonic() < until:
            time.sleep(0.005)
        self.clients[-1].sendall(raw)

    def hang_up(self) -> None:
        while self.clients:
            self.clients.pop().close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.hang_up()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield sender


@pytest.fixture
def opened() -> Iterator[Callable[[Source], Source]]:
    sources = []

    def open_(source: Source) -> Source:
        sources.append(source)
        source.open()
        return source

    yield open_
    for source in sources:
        source.close()


def values(frames) -> list[float]:
    return np.concatenate([frame.data for frame in frames]).ravel().tolist() if frames else []


# --- tcp


def test_lines_of_a_server_become_frames(server, opened):
    source = opened(Tcp(name="ecg", port=server.port, **PLAIN))
    server.say(b"begun before\n" + b"".join(b"%d\n" % at for at in range(12)))
    frames, errors = frames_of(source, 12)
    assert values(frames) == list(range(12))
    assert not errors


def test_packets_of_a_front_end_come_by_tcp_as_by_a_port(server, opened):
    source = opened(Tcp(name="ecg", port=server.port, frontend="cyton", leads=("I",), columns=(0,)))
    server.say(b"".join(cyton_packet(at, (1000 * at,)) for at in range(40)))
    frames, _ = frames_of(source, 40)
    assert len(values(frames)) == 40
    assert server.clients[0].recv(1) == b"b"


def test_s11_a_server_that_hangs_up_is_a_lost_source_that_may_come_back(server, opened):
    source = opened(Tcp(name="ecg", port=server.port, **PLAIN))
    server.say(b"before\n1\n2\n")
    assert values(frames_of(source, 2)[0]) == [1, 2]
    server.hang_up()
    with pytest.raises(SourceLostError, match=r"tcp://127.0.0.1:\d+: the other side closed"):
        frames_of(source, 1)
    source.close()
    source.open()
    server.say(b"before\n3\n")
    (frame,), _ = frames_of(source, 1)
    assert frame.seq == 2


def test_s01_a_server_that_is_not_there_is_a_lost_source(server):
    server.close()
    source = Tcp(name="ecg", port=server.port, **PLAIN)
    with pytest.raises(SourceLostError, match="nothing listens there"):
        source.open()
    with pytest.raises(SourceLostError, match="no such host"):
        Tcp(name="ecg", host="no.such.host.invalid", port=1, **PLAIN).open()


def test_a_server_that_says_nothing_is_a_lost_source(server, opened):
    source = opened(Tcp(name="ecg", port=server.port, silence_s=0.2, **PLAIN))
    with pytest.raises(SourceLostError, match="silent for"):
        frames_of(source, 1)


# --- udp


def test_each_datagram_holds_whole_lines_and_none_is_dropped(sender, opened):
    source = opened(Udp(name="ecg", port=0, **PLAIN))
    to = ("127.0.0.1", source._transport.port)
    for piece in (b"1\n2\n3", b"4\n", b"5"):
        sender.sendto(piece, to)
    assert values(frames_of(source, 5)[0]) == [1, 2, 3, 4, 5]


def test_s09_datagrams_that_are_repeated_late_or_lost_are_named_and_counted(sender, opened):
    source = opened(Udp(name="ecg", port=0, t_us_column=0, **PLAIN))
    to = ("127.0.0.1", source._transport.port)
    for at in (0, 1, 1, 2, 4, 3, 5, 9):
        sender.sendto(b"%d,%d\n" % (at * 10_000, at), to)
    frames, _ = frames_of(source, 6)
    assert values(frames) == [0, 1, 2, 4, 5, 9]
    assert source.tally == {
        "samples": 6,
        "missing": 4,
        "duplicate": 1,
        "out-of-order": 1,
    }
    seqs = [frame.seq for frame in frames]
    assert len(seqs) == 3
    assert seqs[-1] == 4


def test_only_the_peer_is_listened_to(sender, opened, caplog):
    source = opened(Udp(name="ecg", port=0, peer="127.0.0.2", **PLAIN))
    to = ("127.0.0.1", source._transport.port)
    sender.sendto(b"666\n", to)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.2", 0))
        peer.sendto(b"1\n", to)
        assert values(frames_of(source, 1)[0]) == [1]
    assert source._transport.foreign == 1
    assert "dropped what came from 127.0.0.1" in caplog.text


def test_a_port_that_is_open_to_the_network_is_warned_of(opened, caplog):
    opened(Udp(name="ecg", port=0, **PLAIN))
    assert not caplog.records
    opened(Udp(name="ecg", port=0, bind="0.0.0.0", **PLAIN))
    assert "anyone on the network may send samples here" in caplog.text


def test_a_port_that_is_taken_is_a_lost_source(opened):
    first = opened(Udp(name="ecg", port=0, **PLAIN))
    second = Udp(name="ecg", port=first._transport.port, **PLAIN)
    with pytest.raises(SourceLostError, match="address already in use"):
        second.open()


def test_s10_text_and_wrong_columns_are_no_samples(sender, opened, monkeypatch):
    monkeypatch.setattr("edge_runtime.sources.streams.byte_stream.SETTLE_S", 0.0)
    source = opened(Udp(name="ecg", port=0, leads=("I", "II"), **PLAIN))
    to = ("127.0.0.1", source._transport.port)
    for line in (b"1,2", b"NaN,2", b"time,value", b"1,2,3", b"1", b"\xff\xd8\xff", b"3,4"):
        sender.sendto(line, to)
    frames, errors = frames_of(source, 2)
    assert values(frames) == [1, 2, 3, 4]
    assert [type(error) for error in errors] == [FrameError]
    assert "5 lines or packets are no sample: 'NaN,2'; is it the right front end?" in str(errors[0])
    assert source.tally["bad"] == 5


@pytest.mark.parametrize(
    ("kind", "options", "key"),
    [
        (Tcp, {"port": 0}, "port"),
        (Tcp, {"port": 70000}, "port"),
        (Tcp, {"port": 1, "host": ""}, "host"),
        (Udp, {"port": -1}, "port"),
        (Udp, {"port": 1, "bind": "everywhere"}, "bind"),
        (Udp, {"port": 1, "peer": "ward3"}, "peer"),
    ],
)
def test_an_address_that_cannot_be_is_refused(kind, options, key):
    with pytest.raises(BadOptionError) as told:
        kind(name="ecg", **PLAIN, **options)
    assert told.value.key == key


class Paced:
    """Says a line every four milliseconds until the test ends."""

    def __init__(self, say: Callable[[bytes], None]) -> None:
        self._say, self._done = say, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def _run(self) -> None:
        at = 0
        while not self._done.wait(0.004):
            at += 1
            try:
                self._say(b"%d\n" % at)
            except (OSError, IndexError):
                continue

    def stop(self) -> None:
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()


class TestTcp(SourceContract):
    silent = True

    @pytest.fixture
    def make(self, server):
        return lambda: Tcp(name="ecg", port=server.port, rate_hz=250.0, mv_per_count=0.01)

    @pytest.fixture
    def feed(self, server):
        paced = Paced(lambda raw: server.clients[-1].sendall(raw))
        yield paced.start
        paced.stop()


class TestUdp(SourceContract):
    silent = True

    @pytest.fixture
    def port(self) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    @pytest.fixture
    def make(self, port):
        return lambda: Udp(name="ecg", port=port, rate_hz=250.0, mv_per_count=0.01)

    @pytest.fixture
    def feed(self, port, sender):
        paced = Paced(lambda raw: sender.sendto(raw, ("127.0.0.1", port)))
        yield paced.start
        paced.stop()
