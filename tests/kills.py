"""SIGKILL of `edge-run start` at random moments, with its broker frozen, killed and restarted.

    python -m tests.kills --kills 10000 --lanes 2

After each kill the rows of a copy of the outbox are noted: what they hold was accepted. At the end
every one of them must have reached a subscriber with a session of its own, and so must every
result before the last one that came of each run. Exit 1 when one is missing.

A device is a process of its own, forked from one that has imported everything already: starting
Python would take most of a life.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_runtime.cli.main import main as edge_run

from .brokers import Listener, Mosquitto, wait_until

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess as Device

WINDOW = 20
DEVICES = multiprocessing.get_context("forkserver")
DEVICES.set_forkserver_preload(
    [
        "numpy",
        "ai_edge_litert.interpreter",
        "edge_runtime.cli.start",
        "edge_runtime.build",
        "edge_runtime.sources.generators.shapes",
        "edge_runtime.sinks.mqtt",
        "edge_runtime.backends.tflite",
    ]
)
TROUBLE = 0.4  # lives in which something happens to the broker
RUN_FILE = """\
name = "kill"
device = "{device}"
[model]
path = "shapes"
[[source]]
kind = "shapes"
count = 1000000
pace = "real"
rate_hz = {rate}
[[sink]]
kind = "mqtt"
url = "{url}"
state = "state"
drain_s = 20.0
[sink.outbox]
confirm = {confirm}
confirm_s = 5.0
"""

# "frozen": the broker is stopped and goes on, now and then; it loses nothing. "killed": it is
# killed and restarted too, may forget what it acknowledged, and a subscriber confirms each result.
Manner = Literal["frozen", "killed"]


@dataclass
class Tally:
    """What a lane saw."""

    kills: int = 0
    broker_faults: int = 0
    accepted: int = 0  # rows that lay in the outbox after a kill, each counted once
    arrived: int = 0
    repeats: int = 0
    most_repeats: int = 0  # of results that came before a kill and again after it
    troubles: list[str] = field(default_factory=list)


class Lane:
    """One device, its broker and its subscriber."""

    def __init__(self, folder: Path, seed: int, manner: Manner, rate_hz: float = 200.0) -> None:
        self.tally = Tally()
        self._random = random.Random(seed)
        self._manner = manner
        self._folder = folder
        self._broker = Mosquitto(folder, ("allow_anonymous true",), durable=True, tls=False)
        self._broker.start()
        self._listener = Confirming(self._broker.url, confirm=manner == "killed")
        self._marks: list[int] = []  # messages that had come at each kill
        self._accepted: set[str] = set()
        self._device = f"lane-{seed}"
        confirm = str(manner == "killed").lower()
        text = RUN_FILE.format(
            device=self._device, url=self._broker.url, confirm=confirm, rate=rate_hz
        )
        (folder / "run.toml").write_text(text)

    def run(self, kills: int) -> None:
        """Kill so often, then let everything arrive, and judge."""
        for _ in range(kills):
            self._one_life()
        self._finish()
        self._judge()

    def close(self) -> None:
        self._listener.close()
        self._broker.kill()

    def _start(self) -> Device:
        device = DEVICES.Process(target=live, args=(self._folder,))
        device.start()
        return device

    def _one_life(self) -> None:
        ups, downs = self._listener.ups, self._listener.downs
        device = self._start()
        until = time.monotonic() + 1.5  # longer only when the broker is away
        while self._listener.ups == ups and time.monotonic() < until and device.is_alive():
            time.sleep(0.005)
        moment = time.monotonic() + self._random.uniform(0, 0.5)
        if self._random.random() < TROUBLE:
            self._trouble_the_broker()
        time.sleep(max(0.0, moment - time.monotonic()))
        if not device.is_alive():
            self.tally.troubles.append(f"the device ended by itself with {device.exitcode}")
        device.kill()
        device.join()
        device.close()
        self.tally.kills += 1
        if self._manner == "frozen" and self._listener.ups > ups:
            wait_until(lambda: self._listener.downs > downs, 30)  # that comes after all it sent
        self._marks.append(len(self._listener.ids))
        self._note_accepted()

    def _trouble_the_broker(self) -> None:
        self.tally.broker_faults += 1
        if self._manner == "killed" and self._random.random() < 0.5:
            self._broker.kill()
            time.sleep(self._random.uniform(0, 0.3))
            self._broker.start()
            return
        self._broker.freeze()
        time.sleep(self._random.uniform(0, 0.3))
        self._broker.thaw()

    def _note_accepted(self) -> None:
        state = self._folder / "state" / self._device / "kill"
        if not (state / "outbox.db").exists():
            return
        with tempfile.TemporaryDirectory() as copy:
            for file in state.glob("outbox.db*"):
                shutil.copy(file, copy)
            with sqlite3.connect(Path(copy) / "outbox.db") as database:
                tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                if not tables:  # killed before the file was made
                    return
                if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
                    self.tally.troubles.append("the outbox is corrupt")
                found = database.execute("SELECT key FROM row WHERE source != ''").fetchall()
            database.close()
            self._accepted |= {key for (key,) in found}

    def _finish(self) -> None:
        """A last life, stopped in good order when it has delivered everything."""
        log = self._folder / "device.log"
        before = log.stat().st_size
        device = self._start()
        wait_until(lambda: b"connected" in log.read_bytes()[before:], 30)  # hears SIGTERM now
        wait_until(lambda: self._accepted <= self._listener.seen, 120)
        device.terminate()
        device.join(60)
        if device.exitcode != 0:
            self.tally.troubles.append(f"the last life ended with {device.exitcode}")
        time.sleep(0.5)

    def _judge(self) -> None:
        ids, tally = self._listener.ids, self.tally
        tally.accepted, tally.arrived = len(self._accepted), len(self._listener.seen)
        missing = self._accepted - self._listener.seen
        if missing:
            tally.troubles.append(f"{len(missing)} accepted results never came: {min(missing)}")
        by_run: dict[str, set[int]] = defaultdict(set)
        for run, count, _ in map(split, ids):
            by_run[run].add(count)
        for run, counts in by_run.items():
            if counts != set(range(min(counts), max(counts) + 1)) or min(counts) > 1:
                holes = sorted(set(range(max(counts))) - counts)[:5]
                tally.troubles.append(f"run {run} has holes: {holes}")
        self._judge_order(ids)
        tally.repeats = len(ids) - tally.arrived
        tally.most_repeats = self._most_repeats([key for key, _ in ids])
        if self._manner == "frozen" and tally.most_repeats > WINDOW:
            tally.troubles.append(f"{tally.most_repeats} repeats after one kill")

    def _judge_order(self, ids: list[tuple[str, bool]]) -> None:
        """First arrivals of each run: in order among the live and among the historical ones."""
        last: dict[tuple[str, bool], int] = {}
        seen: set[str] = set()
        for key, historical in ids:
            run, count, _ = split((key, historical))
            if key not in seen and count < last.get((run, historical), -1):
                self.tally.troubles.append(f"{key} came after {last[run, historical]}")
            if key not in seen:
                last[run, historical] = count
            seen.add(key)

    def _most_repeats(self, keys: list[str]) -> int:
        marks = [0, *self._marks, len(keys)]
        seen: set[str] = set()
        most = 0
        for start, end in itertools.pairwise(marks):
            part = keys[start:end]
            most = max(most, len(seen.intersection(part)))
            seen.update(part)
        return most


def live(folder: Path) -> None:
    """`edge-run start`, in a process of its own."""
    log = os.open(folder / "device.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["edge-run", "start", str(folder / "run.toml")]
    edge_run()


class Confirming(Listener):
    """Notes the id of each result, and confirms it if it is asked to."""

    def __init__(self, url: str, *, confirm: bool) -> None:
        self.ids: list[tuple[str, bool]] = []
        self.seen: set[str] = set()
        self.ups = self.downs = 0
        self._confirm = confirm
        super().__init__(url, durable=True)

    def _keep(self, client, userdata, message) -> None:
        if message.topic.endswith("/status"):
            self.ups += message.payload == b"online"
            self.downs += message.payload == b"offline"
        if not message.topic.endswith("/result"):
            return
        document = json.loads(message.payload)
        self.ids.append((document["id"], document["historical"]))
        self.seen.add(document["id"])
        if self._confirm:
            root = message.topic.rsplit("/", 2)[0]
            client.publish(f"{root}/ack", json.dumps({"ids": [document["id"]]}), qos=1)


def split(item: tuple[str, bool]) -> tuple[str, int, bool]:
    """An id and whether it was historical -> run, count, the same."""
    run, _, count = item[0].rpartition("-")
    return run, int(count), item[1]


def campaign(kills: int, lanes: int, seed: int = 0) -> list[Tally]:
    """Every second lane has a broker that is killed as well."""
    manners: tuple[Manner, ...] = ("frozen", "killed")
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for number in range(lanes):
            place = Path(folder) / str(number)
            place.mkdir()
            running.append(Lane(place, seed + number, manners[number % 2]))
        threads = [threading.Thread(target=lane.run, args=(kills // lanes,)) for lane in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(60)
                done = sum(lane.tally.kills for lane in running)
                print(f"{done} of {kills} kills", file=sys.stderr, flush=True)
        for lane in running:
            lane.close()
            tallies.append(lane.tally)
    return tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    began = time.monotonic()
    tallies = campaign(asked.kills, asked.lanes, asked.seed)
    print(f"seed {asked.seed}, {time.monotonic() - began:.0f} s")
    for tally in tallies:
        print(tally)
    return any(tally.troubles for tally in tallies)


if __name__ == "__main__":
    sys.exit(main())
