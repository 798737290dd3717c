"""Many devices in one process, for benchmarks/update_fleet.py: the device's own code, no gate.

Each looks at the repository when its time has come, chooses, downloads and verifies as `edge-run
update apply` does, and takes what it downloaded for installed. A line of JSON tells of each
installation; when standard input ends, the last line says what was measured.
"""

from __future__ import annotations

import heapq
import json
import random
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edge_runtime.errors import UpdateError
from edge_runtime.update.choose import Device, choose
from edge_runtime.update.remote import metadata
from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.store.journal import Installed, Journal

THREADS = 4
JITTER = 0.1


class Member:
    """One device: its folder of metadata and what it has installed."""

    def __init__(self, name: str, folder: Path, facts: dict[str, str]) -> None:
        self.name = name
        self.folder = folder / name
        self.folder.mkdir()
        self._journal = Journal()
        self._device = Device(
            name=name,
            model=facts["model"],
            task=facts["task"],
            profile="raspberry-pi-5",
            arch="aarch64",
            formats=("tflite",),
            memory_mb=4096,
            version="1000",
        )

    def poll(self, url: str, root: bytes, ca_file: Path) -> str:
        """One check; the version that it installed, or nothing."""
        now = int(time.time())
        with Fetcher(ca_file=ca_file) as fetcher:
            folder = self.folder / "tuf"
            found = metadata.refresh(folder, root, [url], fetcher, now=now)
            release = choose(found.releases, self._device, self._journal, now).release
            if release is None:
                return ""
            part = self.folder / "part"
            metadata.download(found, release, part, fetcher=fetcher)
            part.unlink()  # a thousand of them would fill the RAM disk
        installed = Installed(release.digest, release.name, release.version, release.counter)
        floor = ((release.name, release.counter),)
        self._journal = replace(self._journal, active=installed, floor=floor)
        return release.version


class Crowd:
    """Members, each in its turn; `threads` of them at once."""

    def __init__(self, members: list[Member], told: dict[str, str], poll_s: float) -> None:
        self._poll_s = poll_s
        self._url, self._ca_file = told["url"], Path(told["ca_file"])
        self._root = Path(told["root"]).read_bytes()
        begin = time.monotonic()
        self._due = [(begin + random.uniform(0, poll_s), i) for i in range(len(members))]
        heapq.heapify(self._due)
        self._members = members
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.times_s: list[float] = []
        self.late_s = 0.0
        self.errors: dict[str, int] = {}

    def run(self) -> None:
        while not self.stop.is_set():
            with self._lock:
                due, number = heapq.heappop(self._due)
            if self.stop.wait(max(0.0, due - time.monotonic())):
                return
            began = time.monotonic()
            self._poll(self._members[number])
            with self._lock:
                self.late_s = max(self.late_s, began - due)
                self.times_s.append(time.monotonic() - began)
                jitter = random.uniform(1 - JITTER, 1 + JITTER)
                heapq.heappush(self._due, (due + self._poll_s * jitter, number))

    def _poll(self, member: Member) -> None:
        try:
            version = member.poll(self._url, self._root, self._ca_file)
        except UpdateError as exc:
            with self._lock:
                kind = f"{type(exc).__name__} {exc.reason}"
                self.errors[kind] = self.errors.get(kind, 0) + 1
            return
        if version:
            say({"at": time.time(), "device": member.name, "version": version})


def say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    told = json.loads(sys.argv[1])
    folder = Path(told["folder"])
    members = [Member(name, folder, told) for name in told["names"]]
    crowd = Crowd(members, told, told["poll_s"])
    threads = [threading.Thread(target=crowd.run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    crowd.stop.set()
    for thread in threads:
        thread.join()
    say({"times_s": crowd.times_s, "late_s": crowd.late_s, "errors": crowd.errors})


if __name__ == "__main__":
    main()
