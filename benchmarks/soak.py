"""The durable sink for hours: is everything flat, and does everything arrive, once and in order?

Results go through the sink `mqtt` with durability "power" into a mosquitto that is killed, stopped
and started again, or frozen every few seconds. A subscriber with a persistent session keeps one
bit per result. Every five seconds the publishing process writes down its memory, descriptors,
threads, the size of the outbox and of its files; a line is fitted to what comes after the warm-up.

    python benchmarks/soak.py --results 200000
    make soak                              10,000,000 results, at most 40 minutes

A repeat with the DUP flag is the broker's own: it had sent the message before it was killed, and
not seen the acknowledgement. Exit 1 when a result is lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.brokers import HOST, wait_until  # noqa: E402
from tests.brokers.mosquitto import Mosquitto  # noqa: E402

PUBLISH, SUBACK = 3, 9  # kinds of packet (MQTT 3.1.1, section 2.2.1)
SAMPLE_S = 5.0
TURNS_KEPT = 100
QUIET_S = 5.0  # without a message: nothing more will come
BURST = 20  # results between two looks at the clock
PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1000
BROKER = (
    "allow_anonymous true",
    "autosave_on_changes false",
    "autosave_interval 1800",
    "max_inflight_messages 0",  # all that is accepted goes to the subscriber at once
)
FITTED = ("rss_kb", "descriptors", "threads", "db_kb", "wal_kb", "waiting")


def publish(settings: dict) -> None:
    """The publishing process: a line of JSON every five seconds, and one at the end."""
    from edge_runtime.cli.start import SWITCH_INTERVAL_S
    from edge_runtime.errors import SinkError
    from edge_runtime.outbox.options import Limits
    from edge_runtime.sinks.mqtt import Mqtt
    from tests.messages import IDENTITY, INFO, result

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    limits = Limits(durability="power")
    sink = Mqtt(
        identity=IDENTITY, url=settings["url"], keepalive_s=5, drain_s=600.0,
        state=settings["state"], outbox=limits,
    )  # fmt: skip
    file = Path(settings["state"], *IDENTITY, limits.file)
    began = due = time.monotonic()
    sample_at, seq, left, closed = began, 0, "", False

    def sample() -> None:
        descriptors = len(list(Path("/proc/self/fd").iterdir())) - 1  # one is the listing
        delivery = sink.delivery
        found = {
            "seconds": time.monotonic() - began,
            "results": seq,
            "rss_kb": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KB,
            "descriptors": descriptors,
            "threads": threading.active_count(),
            "db_kb": size_kb(file),
            "wal_kb": size_kb(Path(f"{file}-wal")),
            "waiting": delivery.waiting,
            "dropped": delivery.dropped,
            "refused": delivery.refused,
            "reconnects": delivery.reconnects,
            "published": delivery.published,
            "cpu_s": time.process_time(),
            "error": left,
            "closed": closed,
        }
        print(json.dumps(found), flush=True)

    sink.open()
    sink.announce(INFO)
    while seq < settings["results"] and time.monotonic() - began < settings["seconds"]:
        now = time.monotonic()
        if now >= sample_at:
            sample_at += SAMPLE_S
            sample()
        if now < due or sink.delivery.waiting >= settings["backlog"]:
            time.sleep(max(0.01, due - now))
            continue
        due = max(due + BURST / settings["rate"], now - 0.1)
        for _ in range(BURST):
            sink.publish(result(seq)._replace(id=f"soak-{seq}"))
            seq += 1
    try:
        sink.close()
    except SinkError as exc:
        left = str(exc)
    closed = True
    sample()


def size_kb(path: Path) -> float:
    return path.stat().st_size / 1000 if path.exists() else 0.0


class Subscriber:
    """Keeps a bit per result, and looks at the order of those that come for the first time.

    MQTT 3.1.1 on a bare socket, with a persistent session: whatever the broker had sent before it
    was killed is read, though the acknowledgements go nowhere.
    """

    def __init__(self, port: int, results: int) -> None:
        self.connected = threading.Event()
        self.heard_at = time.monotonic()
        self.counts: Counter[str] = Counter()
        self.turns: list[tuple[str, float, int, int]] = []  # kind, when, after which, which
        self._began = time.monotonic()
        self._port = port
        self._seen = bytearray(results // 8 + 1)
        self._last = {"live": -1, "historical": -1}
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def lost(self, results: int) -> list[int]:
        return [seq for seq in range(results) if not self._seen[seq >> 3] & 1 << (seq & 7)]

    def close(self) -> None:
        self._ended = True
        self._thread.join(5)

    def _run(self) -> None:
        while not self._ended:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._port)) as sock:
                self._serve(sock)
            self.connected.clear()
            time.sleep(0.05)

    def _serve(self, sock: socket.socket) -> None:
        sock.sendall(packet(0x10, text("MQTT") + bytes([4, 0, 0, 0]) + text("soak")))
        sock.sendall(packet(0x82, b"\0\1" + text("edge/#") + b"\1"))
        sock.settimeout(1.0)
        waiting = b""
        while not self._ended:
            try:
                chunk = sock.recv(1 << 16)
            except TimeoutError:
                continue
            if not chunk:
                return
            waiting, acks = self._take_in(waiting + chunk)
            with contextlib.suppress(OSError):
                sock.sendall(acks)

    def _take_in(self, waiting: bytes) -> tuple[bytes, bytes]:
        """Look at all whole packets; gives what is left, and the acknowledgements."""
        at, acks = 0, []
        while (found := header(waiting, at)) and found[1] <= len(waiting):
            start, end = found
            kind, at = waiting[at], end
            if kind >> 4 == SUBACK:
                self.connected.set()
            if kind >> 4 != PUBLISH:
                continue
            body = start + 2 + int.from_bytes(waiting[start : start + 2], "big")
            topic = waiting[start + 2 : body]
            if kind & 6:
                acks.append(b"\x40\2" + waiting[body : body + 2])
                body += 2
            self._count(topic, waiting[body:end], repeated=bool(kind & 8))
        return waiting[at:], b"".join(acks)

    def _count(self, topic: bytes, payload: bytes, *, repeated: bool) -> None:
        self.heard_at = time.monotonic()
        counts = self.counts
        if not topic.endswith(b"/result"):
            counts[topic.rpartition(b"/")[2].decode()] += 1
            return
        at = payload.index(b'"seq":') + 6
        seq = int(payload[at : payload.index(b",", at)])
        kind = "historical" if payload.endswith(b'"historical":true}') else "live"
        if self._seen[seq >> 3] & 1 << (seq & 7):
            counts["repeats of the broker" if repeated else "repeats"] += 1
            return
        self._seen[seq >> 3] |= 1 << (seq & 7)
        counts[kind] += 1
        if seq < self._last[kind]:
            counts[f"{kind} turns back"] += 1
            if len(self.turns) < TURNS_KEPT:
                self.turns.append((kind, self.heard_at - self._began, self._last[kind], seq))
        self._last[kind] = seq


def packet(kind: int, body: bytes) -> bytes:
    """A short packet (MQTT 3.1.1, section 2.2)."""
    return bytes([kind, len(body)]) + body


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def header(waiting: bytes, at: int) -> tuple[int, int] | None:
    """Where the packet at `at` goes on after its length, and where it ends; None: not yet known."""
    size = shift = 0
    for place in range(at + 1, min(at + 5, len(waiting))):
        size |= (waiting[place] & 127) << shift
        shift += 7
        if waiting[place] < 128:
            return place + 1, place + 1 + size
    return None


def disturb(broker: Mosquitto, subscriber: Subscriber, what: str, chance: random.Random) -> None:
    """Kill, restart or freeze the broker; it runs again at the end."""
    if what == "freeze":
        os.kill(broker.pid, signal.SIGSTOP)
        time.sleep(chance.uniform(0.2, 12.0))
        os.kill(broker.pid, signal.SIGCONT)
        return
    if what == "kill":
        save(broker)
        broker.kill()
    else:
        broker.stop()
    subscriber.connected.clear()
    time.sleep(chance.uniform(0.0, 5.0))
    broker.start()
    wait_until(subscriber.connected.is_set, 30)
    time.sleep(1.0)  # until it has what lay there for it: a file that still holds it repeats it
    save(broker)


def save(broker: Mosquitto) -> None:
    """Let it write its database, the persistent session among it (mosquitto(8), SIGUSR1)."""
    os.kill(broker.pid, signal.SIGUSR1)
    time.sleep(0.1)


def fit(samples: list[dict]) -> dict[str, dict[str, float]]:
    """Level and slope of what should be flat, after the warm-up: a fifth, or a minute."""
    warm_s = min(60.0, samples[-1]["seconds"] / 5)
    rest = [item for item in samples if item["seconds"] >= warm_s and not item["closed"]] or samples
    hours = [item["seconds"] / 3600 for item in rest]
    found = {}
    for key in FITTED:
        values = [item[key] for item in rest]
        slope = statistics.linear_regression(hours, values).slope if len(rest) > 2 else 0.0
        found[key] = {
            "first": values[0], "last": values[-1], "least": min(values), "most": max(values),
            "slope_per_hour": slope, "slope_per_million": slope * hours_per_million(rest),
        }  # fmt: skip
    return found


def hours_per_million(samples: list[dict]) -> float:
    first, last = samples[0], samples[-1]
    passed = last["results"] - first["results"]
    return (last["seconds"] - first["seconds"]) / 3600 / passed * 1e6 if passed else 0.0


def summary(samples: list[dict], subscriber: Subscriber, done: Counter[str]) -> dict:
    last = samples[-1]
    return {
        "results": last["results"], "seconds": last["seconds"],
        "results_per_s": last["results"] / last["seconds"] if last["seconds"] else 0.0,
        "cpu_us_per_result": 1e6 * last["cpu_s"] / max(1, last["results"]),
        "disturbances": dict(done), "reconnects": last["reconnects"],
        "published": last["published"], "dropped": last["dropped"], "refused": last["refused"],
        "received": dict(subscriber.counts), "turns": subscriber.turns,
        "fit": fit(samples), "error": last["error"],
        "load_average": os.getloadavg()[0],
    }  # fmt: skip


def write(path: Path | None, found: dict, samples: list[dict]) -> None:
    if path:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({**found, "samples": samples}))
        fresh.replace(path)


def show(found: dict) -> None:
    for key, value in found.items():
        if key not in ("fit", "turns"):
            print(f"{key:22}{value}")
    columns = ("first", "last", "least", "most", "slope_per_hour", "slope_per_million")
    print(f"{'':14}" + "".join(f"{name:>18}" for name in columns))
    for key, line in found["fit"].items():
        print(f"{key:14}" + "".join(f"{line[name]:18,.1f}" for name in columns))


def soak(options: argparse.Namespace, folder: Path) -> dict:
    broker = Mosquitto(folder, BROKER, durable=True, tls=False)
    broker.start()
    subscriber = Subscriber(broker.port, options.results)
    wait_until(subscriber.connected.is_set)
    save(broker)
    settings = {
        "url": broker.url, "state": str(folder / "state"), "results": options.results,
        "seconds": options.seconds, "rate": options.rate, "backlog": options.backlog,
    }  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, __file__, "publisher", json.dumps(settings)],
        stdout=subprocess.PIPE,
        text=True,
    )
    samples: list[dict] = []
    reader = threading.Thread(target=read, args=(child, samples), daemon=True)
    reader.start()
    chance, done = random.Random(options.seed), Counter()
    try:
        while reader.is_alive():
            reader.join(chance.uniform(3.0, 25.0))
            if reader.is_alive():
                what = chance.choice(("kill", "restart", "freeze"))
                disturb(broker, subscriber, what, chance)
                done[what] += 1
            write(options.json, summary(samples, subscriber, done), samples)
        wait_until(lambda: time.monotonic() - subscriber.heard_at > QUIET_S, 600)
    finally:
        child.kill()
        child.wait()
        subscriber.close()
        broker.close()
    found = summary(samples, subscriber, done)
    lost = subscriber.lost(samples[-1]["results"])
    found |= {"lost": len(lost), "lost_first": lost[:20]}
    write(options.json, found, samples)
    return found


def read(child: subprocess.Popen[str], samples: list[dict]) -> None:
    """Collect what the publishing process writes, until it ends."""
    samples.extend(map(json.loads, child.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=float, default=2400.0, help="stop publishing then")
    parser.add_argument("--rate", type=float, default=6000.0, help="results a second, at most")
    parser.add_argument("--backlog", type=int, default=20_000, help="pause while so many wait")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for figures and samples, kept up to date")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        found = soak(options, folder)
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    show(found)
    sys.exit(1 if found["lost"] else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["publisher"]:
        publish(json.loads(sys.argv[2]))
    else:
        main()
