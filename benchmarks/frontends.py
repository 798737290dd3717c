"""How fast the parsers of front ends are, and what a live source costs at real speed.

python -m benchmarks.frontends
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable

from edge_runtime.framing.cyton import CytonFormat
from edge_runtime.framing.events import Parser
from edge_runtime.framing.lines import LineFormat, LineParser
from edge_runtime.framing.packets import PacketParser
from edge_runtime.sources.streams.byte_stream import ByteStream
from edge_runtime.sources.streams.serial import Serial
from edge_runtime.sources.streams.tcp import Tcp
from tests.unit.test_framing_packets import KINDS, cyton_packet, stream

SAMPLES = 20_000
PIECE_BYTES = 2048
SECONDS = 20.0


def main() -> None:
    for name, kind in KINDS.items():
        parse(f"{name}, 2 columns", kind.parser, b"".join(stream(kind, SAMPLES)[0]))
    columns = tuple(range(8))
    packets = (cyton_packet(at, columns) for at in range(SAMPLES))
    parse("cyton, 8 columns", lambda: PacketParser(CytonFormat(columns), 250), b"".join(packets))
    for count in (1, 8, 12):
        form = LineFormat(tuple(range(1, count + 1)), 0, True, "!", (0.0, 1023.0), 500.0)
        text = b"".join(line(at, count) for at in range(SAMPLES))
        parse(f"lines, clock and {count} columns", lambda form=form: LineParser(form), text)
    listen_to_a_port()
    listen_to_a_server()


def line(at: int, count: int) -> bytes:
    cells = (b"%d" % random.randrange(1024) for _ in range(count))
    return b"%d," % (at * 2000) + b",".join(cells) + b"\r\n"


def parse(label: str, make: Callable[[], Parser], raw: bytes) -> None:
    best_s = float("inf")
    for _ in range(3):
        parser, begun_s = make(), time.process_time()
        for at in range(0, len(raw), PIECE_BYTES):
            parser.feed(raw[at : at + PIECE_BYTES], 0)
        best_s = min(best_s, time.process_time() - begun_s)
    print(f"{label}: {SAMPLES / best_s:,.0f} samples/s")


def listen_to_a_port() -> None:
    ours, theirs = os.openpty()
    columns = tuple(range(8))
    leads = tuple(f"ch{column + 1}" for column in columns)
    port = os.ttyname(theirs)
    source = Serial(name="ecg", port=port, frontend="cyton", leads=leads, columns=columns)

    def speak() -> None:
        pace(lambda raw: os.write(ours, raw), lambda at: cyton_packet(at, columns), 250)

    live("cyton, 250 Hz x 8, port", source, speak)


def listen_to_a_server() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    leads = tuple(f"ch{at + 1}" for at in range(12))
    port = listener.getsockname()[1]
    source = Tcp(name="ecg", port=port, rate_hz=500, mv_per_count=0.003, t_us_column=0, leads=leads)

    def speak() -> None:
        client, _ = listener.accept()
        pace(client.sendall, lambda at: line(at, 12), 500)

    live("lines, 500 Hz x 12, tcp", source, speak)


def pace(write: Callable[[bytes], object], make: Callable[[int], bytes], rate_hz: float) -> None:
    """Say what falls due every 16 ms, as a USB converter does."""
    begun_s, said = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - begun_s) * rate_hz)
        write(b"".join(make(at) for at in range(said, due)))
        said = due
        time.sleep(0.016)


def live(label: str, source: ByteStream, speak: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        speak()
    source.open()
    begun_s, used_s, samples = time.monotonic(), time.process_time(), 0
    while time.monotonic() - begun_s < SECONDS:
        frame = source.read(0.25)
        samples += 0 if frame is None else len(frame.data)
    cpu = (time.process_time() - used_s) / SECONDS
    source.close()
    os.kill(child, 9)
    os.waitpid(child, 0)
    print(f"{label}: {samples / SECONDS:.0f} samples/s, {cpu:.2%} of one core")


if __name__ == "__main__":
    main()
