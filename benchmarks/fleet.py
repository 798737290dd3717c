"""What a fleet of devices costs a broker, measured with real connections; see docs/sizing.md.

    python benchmarks/fleet.py wire                bytes per result
    python benchmarks/fleet.py load mosquitto      CPU, memory and latency at a steady rate
    python benchmarks/fleet.py ramp mosquitto      up to a p99 latency of one second
    python benchmarks/fleet.py storm mosquitto     killed, started again: when devices are back

Brokers: mosquitto (with --tls too), rabbitmq (Debian packages). Each answer is a line of JSON.
Devices live in processes of their own (benchmarks/fleet_devices.py), publish real result JSON at
QoS 1, and wait between attempts to connect as edge-run does. One subscriber takes everything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("XDG_STATE_HOME", tempfile.mkdtemp())

from tests.brokers import Gate, Server, wait_until  # noqa: E402
from tests.brokers.certificates import make_certificates  # noqa: E402
from tests.brokers.mosquitto import Mosquitto  # noqa: E402
from tests.brokers.rabbitmq import RabbitMQ  # noqa: E402

PAYLOADS = {"ecg": "beats", "camera": "detections"}


def broker(kind: str, folder: Path, *, tls: bool, volatile: bool = False) -> Server:
    if kind == "rabbitmq":
        return RabbitMQ(folder)
    lines = ["allow_anonymous true"]
    if tls:
        lines += make_certificates(folder).listener()
    return Mosquitto(folder, tuple(lines), durable=not volatile, tls=tls)


class Watch:
    """CPU seconds and resident memory of a process with all its children."""

    def __init__(self, pid: int) -> None:
        root = psutil.Process(pid)
        self._processes = [root, *root.children(recursive=True)]

    def cpu_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    def rss_mb(self) -> float:
        return sum(process.memory_info().rss for process in self._processes) / 1e6


class Fleet:
    """Devices and a subscriber in two processes; `tell` asks either for its counters."""

    def __init__(self, server: Server, options: argparse.Namespace, devices: int, rate: float):
        self._roles: dict[str, subprocess.Popen[str]] = {}
        ca = str(server.folder / "ca.pem") if options.tls else ""
        for role in ("subscriber", "devices"):
            settings = {
                "role": role, "port": server.port, "ca": ca, "devices": devices, "rate": rate,
                "kind": options.kind,
            }  # fmt: skip
            command = [sys.executable, str(ROOT / "benchmarks" / "fleet_devices.py")]
            self._roles[role] = subprocess.Popen(
                [*command, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            if role == "subscriber":
                wait_until(lambda: self.tell("subscriber")["connected"], 30)
        wait_until(lambda: self.tell("devices")["connected"] == devices, 120)

    def tell(self, role: str) -> dict:
        process = self._roles[role]
        process.stdin.write("tell\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 60)[0], f"{role} does not answer"
        return json.loads(process.stdout.readline())

    def publish(self, *, on: bool) -> None:
        self._roles["devices"].stdin.write("start\n" if on else "stop\n")
        self._roles["devices"].stdin.flush()

    def forget(self) -> None:
        """Count connections and attempts afresh."""
        self._roles["devices"].stdin.write("forget\n")
        self._roles["devices"].stdin.flush()

    def close(self) -> None:
        for process in self._roles.values():
            process.kill()  # they have told all that they know
            process.stdin.close()
            process.stdout.close()
            process.wait()


@contextlib.contextmanager
def running(options: argparse.Namespace):
    with tempfile.TemporaryDirectory() as folder:
        server = broker(options.broker, Path(folder), tls=options.tls, volatile=options.volatile)
        server.start()
        try:
            yield server
        finally:
            server.close()


@contextlib.contextmanager
def fleet(server: Server, options: argparse.Namespace, devices: int, rate: float):
    crowd = Fleet(server, options, devices, rate)
    try:
        yield crowd
    finally:
        crowd.close()


def steady(server: Server, options: argparse.Namespace, devices: int, rate: float) -> dict:
    """The broker's cost of `devices` that publish `rate` results a second each."""
    watch = Watch(server.pid)
    before_mb = watch.rss_mb()
    with fleet(server, options, devices, rate) as crowd:
        time.sleep(2.0)
        idle_mb, idle_cpu, idle_at = watch.rss_mb(), watch.cpu_s(), time.monotonic()
        time.sleep(3.0)
        idle_share = (watch.cpu_s() - idle_cpu) / (time.monotonic() - idle_at)
        crowd.publish(on=True)
        time.sleep(2.0)  # until all have begun
        crowd.tell("subscriber")  # its latencies start afresh
        cpu, began, sent = watch.cpu_s(), time.monotonic(), crowd.tell("devices")["sent"]
        time.sleep(options.seconds)
        devices_say, got = crowd.tell("devices"), crowd.tell("subscriber")
        took_s = time.monotonic() - began
        cpu_s, count = watch.cpu_s() - cpu, devices_say["sent"] - sent
        crowd.publish(on=False)
    return {
        "broker": options.broker + (" TLS" if options.tls else ""),
        "kind": options.kind,
        "devices": devices,
        "asked_per_s": round(devices * rate),
        "sent_per_s": round(count / took_s, 1),
        "received_per_s": round(got["count"] / took_s, 1),
        "broker_cpu_share": round(cpu_s / took_s, 3),
        "broker_cpu_us_per_result": round(1e6 * cpu_s / max(count, 1)),
        "broker_cpu_share_idle": round(idle_share, 3),
        "broker_rss_mb": round(watch.rss_mb(), 1),
        "kb_per_connection": round(1000 * (idle_mb - before_mb) / (devices + 1), 1),
        "latency_ms": got["latency_ms"],
        "waiting_in_devices": devices_say["waiting"],
        "load_average": os.getloadavg()[0],
    }


def load(options: argparse.Namespace) -> None:
    with running(options) as server:
        print(json.dumps(steady(server, options, options.devices, options.rate)), flush=True)


def ramp(options: argparse.Namespace) -> None:
    """Raise the rate by half each time until results take longer than a second."""
    rate = options.rate
    with running(options) as server:
        while True:
            found = steady(server, options, options.devices, rate)
            print(json.dumps(found), flush=True)
            if (found["latency_ms"]["p99"] or 1e9) > 1000 or found["waiting_in_devices"] > 1000:
                return
            rate *= 1.5


def storm(options: argparse.Namespace) -> None:
    """Kill the broker, start it again, and see when devices are back and their backlog is gone."""
    with running(options) as server, fleet(server, options, options.devices, options.rate) as crowd:
        crowd.publish(on=True)
        time.sleep(15.0)  # longer than a connection must hold to be called stable
        server.kill()
        crowd.forget()
        time.sleep(options.down)
        server.start()
        began, watch = time.monotonic(), Watch(server.pid)
        back_s: dict[str, float] = {}
        while True:
            say, now_s = crowd.tell("devices"), time.monotonic() - began
            for share in (0.5, 0.9, 0.99, 1.0):
                if say["connected"] >= share * options.devices:
                    back_s.setdefault(f"{share:.0%}", round(now_s, 1))
            if len(back_s) == 4 and say["waiting"] <= options.devices * options.rate:
                break
            assert now_s < 300, say
            time.sleep(0.05)
        print(
            json.dumps(
                {
                    "broker": options.broker + (" TLS" if options.tls else ""),
                    "devices": options.devices,
                    "down_s": options.down,
                    "back_after_s": back_s,
                    "backlog_gone_after_s": round(now_s, 1),
                    "attempts_per_device": round(say["attempts"] / options.devices, 2),
                    "most_connections_in_a_second": say["most_per_s"],
                    "broker_cpu_s": round(watch.cpu_s(), 2),
                    "load_average": os.getloadavg()[0],
                }
            )
        )


def wire(options: argparse.Namespace) -> None:
    """Bytes that the real sink puts on the network per result, TCP and IP headers left out."""
    from edge_runtime.frame import Identity
    from edge_runtime.sinks.mqtt import Mqtt
    from tests.messages import INFO, OUTCOMES, result

    with tempfile.TemporaryDirectory() as folder:
        certificates = make_certificates(Path(folder))
        for version, tls in (("5", False), ("3.1.1", False), ("5", True)):
            server = broker("mosquitto", Path(tempfile.mkdtemp(dir=folder)), tls=False)
            if tls:
                lines = ("allow_anonymous true", *certificates.listener())
                server = Mosquitto(server.folder, lines, durable=False, tls=True)
            server.start()
            for kind, outcome in PAYLOADS.items():
                relay = Gate(server.port)
                scheme, ca = ("mqtts", str(certificates.ca)) if tls else ("mqtt", "")
                sink = Mqtt(
                    identity=Identity("bed-0001", "ward"), protocol=version, ca_file=ca,
                    url=f"{scheme}://localhost:{relay.port}",
                )  # fmt: skip
                sink.open()
                sink.announce(INFO)
                sink.publish(result(0, OUTCOMES[outcome]))
                wait_until(lambda sink=sink: sink.delivery.acknowledged == 1)
                time.sleep(0.5)
                up, down = relay.carried
                for seq in range(1, options.count + 1):  # one at a time, as at 1 Hz
                    sink.publish(result(seq, OUTCOMES[outcome]))
                    wait_until(lambda sink=sink, seq=seq: sink.delivery.acknowledged == seq + 1)
                up, down = relay.carried[0] - up, relay.carried[1] - down
                sink.close()
                relay.close()
                found = {"mqtt": version, "tls": tls, "kind": kind}
                found |= {"up": up / options.count, "down": down / options.count}
                print(json.dumps(found), flush=True)
            server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["wire", "load", "ramp", "storm"])
    parser.add_argument("broker", nargs="?", choices=["mosquitto", "rabbitmq"], default="mosquitto")
    parser.add_argument("--devices", type=int, default=400)
    parser.add_argument("--rate", type=float, default=1.0, help="results a second of each device")
    parser.add_argument("--kind", choices=list(PAYLOADS), default="ecg")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--down", type=float, default=20.0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--volatile", action="store_true", help="mosquitto writes nothing to disk")
    options = parser.parse_args()
    {"wire": wire, "load": load, "ramp": ramp, "storm": storm}[options.what](options)


if __name__ == "__main__":
    main()
