"""What the durable outbox costs and carries: rates, waits, disk, CPU, and a start with a backlog.

    python benchmarks/outbox.py rate         commits with the broker away, per durability
    python benchmarks/outbox.py drain        a backlog into mosquitto, beside bare paho-mqtt
    python benchmarks/outbox.py publish      what `publish` costs the pipeline's thread
    python benchmarks/outbox.py disk         bytes and synchronisations per result
    python benchmarks/outbox.py cpu          CPU per result, per durability
    python benchmarks/outbox.py start        the first live result with a backlog and without

Every measurement is a process of its own. Those that are compared take turns, `--rounds` times;
the table shows medians, and the least and the most. Needs mosquitto on PATH, for `disk` strace too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.brokers import free_port, wait_until  # noqa: E402
from tests.brokers.mosquitto import Mosquitto  # noqa: E402

DURABILITIES = ("power", "process", "memory")
BACKLOG = 50_000
CONTROL = 4  # results encoded beside each that is published: about as long
BUILD_ROWS = 5_000  # in one transaction
SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync")

Figures = dict[str, float]


# In a process of its own: a sink, and something measured about it.


def make_sink(job: dict):
    from edge_runtime.outbox.options import Limits
    from edge_runtime.sinks.mqtt import Mqtt
    from tests.messages import IDENTITY

    limits = Limits(durability=job.get("durability", "power"), disk_mb=2000.0, memory_mb=200.0)
    return Mqtt(
        identity=IDENTITY, url=job["url"], state=job["state"], outbox=limits,
        drain_s=job.get("drain_s", 0.0),
    )  # fmt: skip


def leave(sink) -> None:
    """Close it; what is left behind is not looked at."""
    from edge_runtime.errors import SinkError

    try:
        sink.close()
    except SinkError:
        return


def paced(rate: float, count: int):
    """Numbers from 0 on, each at its time; at rate 0 at once."""
    began = time.perf_counter()
    for number in range(count):
        ahead = began + number / rate - time.perf_counter() if rate else 0.0
        if ahead > 0:
            time.sleep(ahead)
        yield number


def work_rate(job: dict) -> Figures:
    """Publish with the broker away, and watch when each row is committed."""
    from edge_runtime.outbox.queue import Queue
    from tests.messages import result

    waits_ns: list[int] = []
    end_save = Queue.end_save

    def timed(queue, rows) -> None:
        now = time.monotonic_ns()
        waits_ns.extend(now - row.accepted_ns for row in rows if row.source)
        end_save(queue, rows)

    Queue.end_save = timed
    sink = make_sink(job)
    sink.open()
    began = time.perf_counter()
    for number in paced(job["rate"], job["count"]):
        sink.publish(result(number))
    published_s = time.perf_counter() - began
    if job["durability"] != "memory":
        wait_until(lambda: len(waits_ns) >= job["count"], 60)
    done_s = time.perf_counter() - began
    leave(sink)
    return {
        "published_per_s": job["count"] / published_s,
        "committed_per_s": job["count"] / done_s,
        "wait_ms_p50": quantile(waits_ns, 0.5) / 1e6,
        "wait_ms_p99": quantile(waits_ns, 0.99) / 1e6,
        "wait_ms_max": max(waits_ns, default=0) / 1e6,
    }


def work_drain(job: dict) -> Figures:
    """Deliver a backlog that an earlier process left."""
    build(Path(job["state"]), job["count"])
    sink = make_sink(job)
    cpu, began = time.process_time(), time.perf_counter()
    sink.open()
    wait_until(lambda: sink.delivery.acknowledged >= job["count"], 300)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    leave(sink)
    return {"per_s": job["count"] / took_s, "cpu_us": 1e6 * cpu_s / job["count"]}


def work_paho(job: dict) -> Figures:
    """The same payloads by paho-mqtt alone, with its own thread."""
    import paho.mqtt.client as paho

    messages = [(row.topic, row.payload) for row in rows(job["count"])]
    acknowledged = itertools.count(1)
    done = threading.Event()

    def on_publish(*_) -> None:
        if next(acknowledged) == len(messages):
            done.set()

    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(20)
    client.on_publish = on_publish
    cpu, began = time.process_time(), time.perf_counter()
    client.connect("localhost", job["port"])
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1)
    done.wait(300)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    client.disconnect()
    client.loop_stop()
    return {"per_s": job["count"] / took_s, "cpu_us": 1e6 * cpu_s / job["count"]}


def work_publish(job: dict) -> Figures:
    """How long `publish` holds the pipeline's thread, and what as much arithmetic takes there."""
    from edge_runtime.wire import Encoder
    from tests.messages import IDENTITY, result

    if job["situation"] == "draining":
        build(Path(job["state"]), job["backlog"])
    sink = make_sink(job)
    sink.open()
    if job["situation"] != "away":
        wait_until(lambda: sink.protocol_in_use)
    encode, took_ns, control_ns = Encoder(IDENTITY).result, [], []
    for number in paced(job["rate"], job["count"]):
        one = result(number)
        began = time.perf_counter_ns()
        sink.publish(one)
        published = time.perf_counter_ns()
        for _ in range(CONTROL):
            encode(one)
        control_ns.append(time.perf_counter_ns() - published)
        took_ns.append(published - began)
    found = {"left": sink.delivery.waiting}
    leave(sink)
    for name, share in {"p50": 0.5, "p99": 0.99, "p99_9": 0.999, "max": 1.0}.items():
        found[f"{name}_us"] = quantile(took_ns, share) / 1e3
        found[f"control_{name}_us"] = quantile(control_ns, share) / 1e3
    return found


def work_disk(job: dict) -> Figures:
    """What reaches the disk while results come at a camera's pace."""
    from tests.messages import result

    sink = make_sink(job)
    sink.open()
    time.sleep(1.0)
    before, began = written(), time.perf_counter()
    for number in paced(job["rate"], job["count"]):
        sink.publish(result(number))
    time.sleep(1.0)
    count = max(1, job["count"])
    found = {key: (value - before[key]) / count for key, value in written().items()}
    leave(sink)
    return {**found, "seconds": time.perf_counter() - began}


def work_cpu(job: dict) -> Figures:
    """CPU per result of a pipeline that only publishes; durability "none" leaves the sink out."""
    from tests.messages import result

    sink = None if job["durability"] == "none" else make_sink(job)
    if sink:
        sink.open()
        time.sleep(1.0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for number in paced(job["rate"], job["count"]):
        one = result(number)
        if sink:
            sink.publish(one)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if sink:
        leave(sink)
    return {"us": 1e6 * spent / job["count"]}


def written() -> dict[str, int]:
    """Bytes that this process handed to the kernel for files, and that go to a disk (proc(5))."""
    lines = Path("/proc/self/io").read_text().splitlines()
    found = dict(line.split(": ") for line in lines)
    return {"disk_bytes": int(found["write_bytes"])}


def quantile(values: list[int], share: float) -> float:
    ordered = sorted(values) or [0]
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def rows(count: int, *, source: str = "old", first: int = 1):
    """Rows as an earlier process would have left them; the last is of the source `end`."""
    from edge_runtime import wire
    from edge_runtime.outbox.row import Row
    from tests.messages import IDENTITY, result

    encoder, topics = wire.Encoder(IDENTITY), wire.Topics(IDENTITY, "edge")
    for at in range(count):
        name = source if at < count - 1 else "end"
        one = result(at, source=name)
        yield Row(first + at, one.id, name, at, topics.result(name), encoder.result(one),
                  one.model.version, one.timestamp_ns, False, 0)  # fmt: skip


def build(state: Path, count: int) -> None:
    """An outbox with so many results."""
    from edge_runtime.outbox.row import Batch
    from edge_runtime.outbox.store import Store
    from tests.messages import IDENTITY

    store = Store(Path(state, *IDENTITY, "outbox.db"), power=False)
    store.open()
    waiting = rows(count)
    while batch := list(itertools.islice(waiting, BUILD_ROWS)):
        store.commit(Batch(add=batch))
    store.close()


# The processes, by turns, and what comes out of them.


@contextmanager
def mosquitto():
    with tempfile.TemporaryDirectory() as folder:
        broker = Mosquitto(Path(folder), ("allow_anonymous true",), durable=False, tls=False)
        broker.start()
        try:
            yield broker
        finally:
            broker.close()


def measure(work: str, prefix: tuple[str, ...] = (), **job) -> Figures:
    """Do one job in a process of its own, with a state folder of its own."""
    with tempfile.TemporaryDirectory() as state:
        line = json.dumps({"work": work, "state": state, **job})
        done = subprocess.run(
            [*prefix, sys.executable, __file__, "job", line],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{line}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def in_turns(rounds: int, jobs: dict[str, dict]) -> dict[str, dict[str, list[float]]]:
    """Each job `rounds` times, one after the other; the figures of each, by name."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            for key, value in measure(**job).items():
                found[name].setdefault(key, []).append(value)
    return found


def away() -> str:
    return f"mqtt://localhost:{free_port()}"


def rate(options: argparse.Namespace) -> dict:
    jobs = {}
    for durability, (name, pace, count) in itertools.product(
        DURABILITIES, (("flat out", 0, 20_000), ("2,000/s", 2000, 10_000))
    ):
        jobs[f"{durability}, {name}"] = {
            "work": "rate", "durability": durability, "rate": pace, "count": count, "url": away(),
        }  # fmt: skip
    return in_turns(options.rounds, jobs)


def drain(options: argparse.Namespace) -> dict:
    with mosquitto() as broker:
        sink = {"work": "drain", "count": BACKLOG, "url": broker.url}
        jobs = {durability: {**sink, "durability": durability} for durability in DURABILITIES[:2]}
        jobs["paho-mqtt"] = {"work": "paho", "count": BACKLOG, "port": broker.port}
        found = in_turns(options.rounds, jobs)
    bare = found["paho-mqtt"]["per_s"]
    for durability in DURABILITIES[:2]:
        pairs = zip(found[durability]["per_s"], bare, strict=True)
        found[durability]["ratio"] = [ours / theirs for ours, theirs in pairs]
    return found


def publish(options: argparse.Namespace) -> dict:
    jobs = {}
    with mosquitto() as broker:
        paces = ((30, 900), (500, 7_500), (2000, 20_000))
        for (pace, count), situation in itertools.product(paces, ("up", "away", "draining")):
            jobs[f"{pace}/s, {situation}"] = {
                "work": "publish", "situation": situation, "rate": pace, "count": count,
                "backlog": 200_000, "url": away() if situation == "away" else broker.url,
            }  # fmt: skip
        return in_turns(options.rounds, jobs)


def disk(options: argparse.Namespace) -> dict:
    found: dict = {}
    with mosquitto() as broker:
        jobs = {
            f"{durability}, {situation}": {
                "work": "disk", "durability": durability, "rate": 30, "count": 600, "url": url,
            }
            for durability in DURABILITIES[:2]
            for situation, url in (("broker up", broker.url), ("away", away()))
        }  # fmt: skip
        found = in_turns(options.rounds, jobs)
        for name, job in jobs.items():
            many, none = syncs(**job), syncs(**{**job, "count": 0})
            found[name]["syncs_per_s"] = [(many - none) / 20.0]
            found[name]["syncs_per_result"] = [(many - none) / job["count"]]
    return found


def syncs(**job) -> int:
    """System calls of a whole run that wait for the disk."""
    with tempfile.NamedTemporaryFile() as report:
        strace = ("strace", "-f", "-c", "-e", f"trace={','.join(SYNCS)}", "-o", report.name)
        measure(prefix=strace, **job)
        lines = [line.split() for line in Path(report.name).read_text().splitlines()]
    return sum(int(words[3]) for words in lines if words and words[-1] in SYNCS)


def cpu(options: argparse.Namespace) -> dict:
    with mosquitto() as broker:
        jobs = {
            f"{pace}/s, {durability}": {
                "work": "cpu", "durability": durability, "rate": pace, "count": 20 * pace,
                "url": broker.url,
            }
            for pace in (30, 500)
            for durability in ("none", "memory", "process", "power")
        }  # fmt: skip
        found = in_turns(options.rounds, jobs)
    for name, figures in found.items():
        empty = found[f"{name.partition(',')[0]}, none"]["us"]
        figures["sink_us"] = [us - least for us, least in zip(figures["us"], empty, strict=True)]
    return found


RUN_FILE = """\
name = "ward"
device = "bed-7"
[model]
path = "ecg-beats"
[[source]]
kind = "ecgsyn"
name = "live"
seconds = 3600.0
mean_bpm = 180.0
[[step]]
kind = "resample"
rate_hz = 250.0
[[step]]
kind = "bandpass"
low_hz = 0.5
high_hz = 40.0
[[step]]
kind = "beats"
[[sink]]
kind = "mqtt"
url = "{url}"
state = "{state}"
[sink.outbox]
rows = 2000000
disk_mb = 4000.0
"""


class Ear:
    """Hears the results of the live source, and the last of the backlog."""

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as paho

        self.live: list[tuple[float, bytes]] = []  # wall clock, payload
        self.end = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.connect("localhost", port)
        self._client.subscribe([("edge/+/+/live/result", 1), ("edge/+/+/end/result", 1)])
        self._client.loop_start()

    def _hear(self, client, data, message) -> None:  # noqa: ARG002 - paho's signature
        if "/end/" in message.topic:
            self.end.set()
        else:
            self.live.append((time.time(), message.payload))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def started(broker: Mosquitto, folder: Path, state: Path):
    """`edge-run start`, the moment of its start and what hears it; killed at the end."""
    ear = Ear(broker.port)
    run_file = folder / "run.toml"
    run_file.write_text(RUN_FILE.format(url=broker.url, state=state))
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "start", str(run_file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    try:
        yield child, ear, began
    finally:
        child.kill()
        child.wait()
        ear.close()


def memory_mb(pid: int, key: str = "VmRSS") -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def first_live(broker: Mosquitto, folder: Path, state: Path) -> Figures:
    with started(broker, folder, state) as (child, ear, began):
        wait_until(lambda: ear.live, 120)
        return {"first_s": time.perf_counter() - began, "rss_mb": memory_mb(child.pid)}


def ages_ms(live: list[tuple[float, bytes]]) -> list[float]:
    """From the making of each live result to its arrival."""
    from datetime import datetime

    ages = []
    for arrived_s, payload in live:
        made = json.loads(payload)
        if made["historical"]:
            continue
        captured = datetime.fromisoformat(made["timestamp"][:26] + "+00:00").timestamp()
        ages.append(1000 * (arrived_s - captured) - made["latency_ms"]["capture_to_result"])
    return ages


def deliver(broker: Mosquitto, folder: Path, state: Path, seconds: float) -> tuple[list, Figures]:
    """Live results until the backlog is delivered, or for so long."""
    with started(broker, folder, state) as (child, ear, began):
        ear.end.wait(seconds)
        took_s = time.perf_counter() - began
        ages = sorted(ages_ms(list(ear.live)))
        historical = sum(b'"historical":true' in payload for _, payload in ear.live)
        peak_mb = memory_mb(child.pid, "VmHWM")
        return ages, {
            "seconds": took_s, "peak_mb": peak_mb, "live": len(ages), "historical": historical,
            "age_ms_p50": quantile(ages, 0.5), "age_ms_p99": quantile(ages, 0.99),
            "age_ms_max": quantile(ages, 1.0), "ended": float(ear.end.is_set()),
        }  # fmt: skip


def start(options: argparse.Namespace) -> dict:
    found: dict = {"first, backlog": {}, "first, none": {}}
    with mosquitto() as broker, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with_rows, without = folder / "with", folder / "without"
        began = time.perf_counter()
        build(with_rows, options.backlog)
        built_s = time.perf_counter() - began
        size_mb = sum(file.stat().st_size for file in with_rows.rglob("outbox.db*")) / 1e6
        for _ in range(options.rounds):
            for case, state in (("first, none", without), ("first, backlog", with_rows)):
                for key, value in first_live(broker, folder, state).items():
                    found[case].setdefault(key, []).append(value)
        pairs = zip(
            found["first, backlog"]["first_s"], found["first, none"]["first_s"], strict=True
        )
        found["first, backlog"]["later_s"] = [late - soon for late, soon in pairs]
        shutil.rmtree(with_rows)
        build(with_rows, options.backlog)
        _, delivered = deliver(broker, folder, with_rows, 1500.0)
        delivered["per_s"] = options.backlog / delivered["seconds"]
        _, idle = deliver(broker, folder, without, 60.0)
    found["deliver"] = {key: [value] for key, value in delivered.items()}
    found["idle"] = {key: [value] for key, value in idle.items()}
    found["file"] = {"mb": [size_mb], "build_s": [built_s]}
    return found


def show(found: dict[str, dict[str, list[float]]]) -> None:
    for name, figures in found.items():
        print(name)
        for key, values in figures.items():
            middle, least, most = statistics.median(values), min(values), max(values)
            spread = f"{least:12,.2f} ..{most:12,.2f}" if len(values) > 1 else ""
            print(f"    {key:18}{middle:12,.2f}   {spread}")


PARTS = {"rate": rate, "drain": drain, "publish": publish, "disk": disk, "cpu": cpu, "start": start}
WORKS = {"rate": work_rate, "drain": work_drain, "paho": work_paho, "publish": work_publish,
         "disk": work_disk, "cpu": work_cpu}  # fmt: skip


def job(line: str) -> None:
    from edge_runtime.cli.start import SWITCH_INTERVAL_S

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    task = json.loads(line)
    print(json.dumps(WORKS[task["work"]](task)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backlog", type=int, default=1_000_000, help="rows, for `start`")
    parser.add_argument("--json", type=Path, help="file for all figures")
    options = parser.parse_args()
    found = {}
    for part in options.parts:
        found[part] = PARTS[part](options)
        print(f"# {part}, load average {os.getloadavg()[0]:.1f}")
        show(found[part])
        sys.stdout.flush()
        if options.json:
            options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["job"]:
        job(sys.argv[2])
    else:
        main()
