"""Many devices, or the one subscriber, of benchmarks/fleet.py: MQTT 3.1.1 on asyncio.

A device holds one connection with a will, announces itself `online`, publishes results at QoS 1
with at most twenty unacknowledged, keeps what it cannot send, and waits by mqtt/patience.py.
Commands come on standard input: start, stop, tell; answers go to standard output as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import ssl
import struct
import sys
import time
from collections import Counter, deque

from edge_runtime.frame import Identity
from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.login import parse_url
from edge_runtime.mqtt.patience import Patience
from edge_runtime.wire import Encoder
from tests.messages import OUTCOMES, result

KEEPALIVE_S, WINDOW, BACKLOG = 30, 20, 50_000


def packet(kind: int, body: bytes) -> bytes:
    """Fixed header and body (MQTT 3.1.1, section 2.2)."""
    size, length = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | 128 if size else digit])
        if not size:
            return bytes([kind]) + length + body


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(raw)) + raw


def connect(client: str, will: str = "") -> bytes:
    flags = 0x02 | (0x2C if will else 0)  # clean session; will at QoS 1, retained
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", KEEPALIVE_S) + text(client)
    return packet(0x10, body + (text(will) + text("offline") if will else b""))


async def read(stream: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await stream.readexactly(1))[0]
    size = shift = 0
    while True:
        digit = (await stream.readexactly(1))[0]
        size |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return kind, await stream.readexactly(size) if size else b""


class Crowd:
    """All devices, and what they have done together."""

    def __init__(self, settings: dict) -> None:
        self.sent = self.connected = self.attempts = 0
        self.publishing = asyncio.Event()
        self.waiting: dict[int, deque[bytes]] = {}
        self.arrivals: Counter[int] = Counter()
        self.context = ssl.create_default_context(cafile=settings["ca"]) if settings["ca"] else None
        self.port, self.period_s = settings["port"], 1.0 / settings["rate"]
        self.outcome = OUTCOMES[{"ecg": "beats", "camera": "detections"}[settings["kind"]]]

    def tell(self) -> dict:
        return {
            "connected": self.connected, "sent": self.sent, "attempts": self.attempts,
            "waiting": sum(map(len, self.waiting.values())),
            "most_per_s": max(self.arrivals.values(), default=0),
        }  # fmt: skip

    def forget_arrivals(self) -> None:
        self.attempts = 0
        self.arrivals.clear()


class Device:
    """One device; see the module."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.name = f"bed-{number:04}"
        self.crowd = crowd
        self.queue: deque[bytes] = deque(maxlen=BACKLOG)
        self.flying: dict[int, bytes] = {}
        self.more = asyncio.Event()
        crowd.waiting[number] = self.queue

    async def produce(self) -> None:
        encoder, seq = Encoder(Identity(self.name, "ward")), 0
        topic = text(f"edge/{self.name}/ward/port/result")
        await self.crowd.publishing.wait()
        due = time.monotonic() + random.uniform(0, self.crowd.period_s)
        while True:
            await asyncio.sleep(due - time.monotonic())
            due += self.crowd.period_s
            if self.crowd.publishing.is_set():
                payload = encoder.result(result(seq, self.crowd.outcome))
                born = b'"id":"%d"' % time.monotonic_ns()  # for the subscriber's clock
                head, _, rest = payload.partition(b'"id":"')
                self.queue.append(topic + b"\0\0" + head + born + rest[rest.index(b'"') + 1 :])
                seq += 1
                self.more.set()

    async def live(self) -> None:
        patience = Patience(self.name)
        address = parse_url(f"mqtt://localhost:{self.crowd.port}")
        await asyncio.sleep(random.uniform(0, 2))  # switched on at different times
        while True:
            try:
                self.crowd.attempts += 1
                await self.stay(patience, address)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as exc:
                self.queue.extendleft(reversed(self.flying.values()))
                self.flying.clear()
                await asyncio.sleep(patience.failed(address, LinkDownError(type(exc).__name__)))

    async def stay(self, patience: Patience, address) -> None:
        opening = asyncio.open_connection(
            "localhost", self.crowd.port, ssl=self.crowd.context, limit=4096
        )
        stream, out = await asyncio.wait_for(opening, 5.0)
        sender = None
        try:
            status = f"edge/{self.name}/ward/status"
            out.write(connect(f"edge-run-{self.name}-ward", status))
            kind, body = await asyncio.wait_for(read(stream), 5.0)
            if kind != 0x20 or body[1]:
                raise ConnectionError(f"refused: {body[1:]!r}")
            patience.connected(address, "3.1.1")
            self.crowd.connected += 1
            self.crowd.arrivals[int(time.monotonic())] += 1
            out.write(packet(0x33, text(status) + b"\xff\xff" + b"online"))
            sender = asyncio.create_task(self.send(out))
            while True:
                kind, body = await asyncio.wait_for(read(stream), 2 * KEEPALIVE_S)
                if kind == 0x40:
                    self.flying.pop(struct.unpack(">H", body[:2])[0], None)
                    self.more.set()
        finally:
            if sender is not None:
                self.crowd.connected -= 1
                sender.cancel()
            out.close()

    async def send(self, out: asyncio.StreamWriter) -> None:
        message = 0
        while True:
            while self.queue and len(self.flying) < WINDOW:
                message = message % 60_000 + 1
                body = self.queue.popleft()
                self.flying[message] = body
                split = 2 + struct.unpack(">H", body[:2])[0]
                whole = body[:split] + struct.pack(">H", message) + body[split + 2 :]
                out.write(packet(0x32, whole))
                self.crowd.sent += 1
            self.more.clear()
            try:
                await asyncio.wait_for(self.more.wait(), KEEPALIVE_S * 0.75)
            except asyncio.TimeoutError:
                out.write(b"\xc0\x00")


class Subscriber:
    """Takes every result at QoS 1 and looks at its age."""

    def __init__(self, settings: dict) -> None:
        self.connected = 0
        self.ages_ms: list[float] = []
        self.context = ssl.create_default_context(cafile=settings["ca"]) if settings["ca"] else None
        self.port = settings["port"]

    def tell(self) -> dict:
        ages, self.ages_ms = sorted(self.ages_ms), []
        places = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        last = len(ages) - 1
        found = {
            key: round(ages[int(at * last)], 1) if ages else None for key, at in places.items()
        }
        return {"connected": self.connected, "count": len(ages), "latency_ms": found}

    async def live(self) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.listen()
            self.connected = 0
            await asyncio.sleep(0.1)

    async def listen(self) -> None:
        stream, out = await asyncio.open_connection(
            "localhost", self.port, ssl=self.context, limit=2**20
        )
        out.write(connect("subscriber"))
        out.write(packet(0x82, b"\0\1" + text("edge/#") + b"\1"))
        while True:
            kind, body = await read(stream)
            if kind == 0x90:
                self.connected = 1
            elif kind & 0xF0 == 0x30:
                split = 2 + struct.unpack(">H", body[:2])[0]
                if kind & 0x06:
                    out.write(b"\x40\x02" + body[split : split + 2])
                born = body.find(b'"id":"', split, split + 60)
                if born >= 0 and body[split - 6 : split] == b"result":
                    stamp = body[born + 6 : body.index(b'"', born + 6)]
                    self.ages_ms.append((time.monotonic_ns() - int(stamp)) / 1e6)


async def main(settings: dict) -> None:
    logging.disable(logging.CRITICAL)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    if settings["role"] == "subscriber":
        whole = Subscriber(settings)
        tasks = [asyncio.create_task(whole.live())]
    else:
        whole = Crowd(settings)
        devices = [Device(whole, number) for number in range(settings["devices"])]
        tasks = [asyncio.create_task(device.live()) for device in devices]
        tasks += [asyncio.create_task(device.produce()) for device in devices]
    while command := (await commands.readline()).decode().strip():
        if command == "tell":
            print(json.dumps(whole.tell()), flush=True)
        elif command == "start":
            whole.publishing.set()
        elif command == "forget":
            whole.forget_arrivals()
        else:
            whole.publishing.clear()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
