"""What a rollout to many devices costs one static web server, measured with the device's own code.

    python benchmarks/update_fleet.py                1,000 devices, each looking once a minute

`edge-release` makes the repository, nginx (one worker, TLS) serves it, devices look and download
as `edge-run update apply` does (benchmarks/update_devices.py). A first release goes to all; after
some time in which nothing changes a second goes to 10, 50 and 100 %, each step as soon as the one
before is complete. The answer is a line of JSON for each phase. State lies on a RAM disk: how
fast a thousand cards are is not the question.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edge_runtime.release import repository  # noqa: E402
from edge_runtime.tables import read_toml  # noqa: E402
from edge_runtime.update.choose import in_cohort  # noqa: E402
from tests.brokers.certificates import make_certificates  # noqa: E402
from tests.brokers.ports import free_port, is_open, wait_until  # noqa: E402
from tests.needs import program  # noqa: E402

RELEASE = "import sys; from edge_runtime.cli.release import main; sys.exit(main())"
STEPS = (10, 50, 100)
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
{user}
events {{ worker_connections 4096; }}
http {{
    log_format one '$msec $status $bytes_sent $request_length $uri';
    access_log {folder}/access.log one;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} ssl; root {folder}/repo;
        ssl_certificate {certificate}; ssl_certificate_key {key};
    }}
}}
"""


class Operator:
    """Whoever releases: a model directory in two versions, and `edge-release`."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.repo, self._keys = folder / "repo", folder / "keys"
        manifest = read_toml(model / "model.toml").values
        self.name, self.task = str(manifest["name"]), str(manifest["task"])
        self._edge("init", "--no-passphrase")
        self.versions = ("101.0.0", "102.0.0")
        for version in self.versions:
            made = folder / version
            shutil.copytree(model, made)
            text = (made / "model.toml").read_text()
            old = f'version = "{manifest["version"]}"'
            (made / "model.toml").write_text(text.replace(old, f'version = "{version}"', 1))

    def add(self, version: str) -> None:
        self._edge("add", str(self.repo.parent / version))

    def roll_out(self, version: str, percent: int) -> None:
        self._edge("rollout", self.name, version, "--percent", str(percent))

    def reached(self, version: str, names: list[str]) -> int:
        """How many of these devices a rollout has reached, by what is signed."""
        releases = repository.read(self.repo).releases()
        release = next(one for one in releases if one.version == version)
        return sum(in_cohort(release, name) for name in names)

    def _edge(self, *words: str) -> None:
        places = {"EDGE_RELEASE_REPO": str(self.repo), "EDGE_RELEASE_KEYS": str(self._keys)}
        command = [sys.executable, "-c", RELEASE, *words]
        environment = {**os.environ, **places, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, env=environment, check=True, capture_output=True)


class Fleet:
    """Device processes and what they tell."""

    def __init__(self, told: dict[str, object], names: list[str], processes: int) -> None:
        self.installed: dict[str, dict[str, float]] = {}  # version -> device -> when
        self.summaries: list[dict] = []
        self._lock = threading.Lock()
        script = str(ROOT / "benchmarks/update_devices.py")
        self.processes = []
        for number in range(processes):
            told = {**told, "names": names[number::processes]}
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, script, json.dumps(told)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        self._readers = [
            threading.Thread(target=self._read, args=(process,)) for process in self.processes
        ]
        for reader in self._readers:
            reader.start()

    def have(self, version: str) -> int:
        with self._lock:
            return len(self.installed.get(version, {}))

    def close(self) -> None:
        for process in self.processes:
            process.stdin.close()
        for reader in self._readers:
            reader.join()
        for process in self.processes:
            process.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout:
            said = json.loads(line)
            with self._lock:
                if "version" in said:
                    known = self.installed.setdefault(said["version"], {})
                    known[said["device"]] = said["at"]
                else:
                    self.summaries.append(said)


class Server:
    """nginx, and what it wrote down."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "access.log"
        port = free_port()
        certificates = make_certificates(folder)
        self.ca_file, self.url = certificates.ca, f"https://localhost:{port}/"
        text = NGINX.format(
            folder=folder,
            port=port,
            user="user root;" if os.getuid() == 0 else "",
            certificate=certificates.server,
            key=certificates.server_key,
        )
        (folder / "nginx.conf").write_text(text)
        command = [program("nginx", "nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        self._process = subprocess.Popen(command)
        try:
            master = psutil.Process(self._process.pid)
            wait_until(lambda: is_open(port) and master.children())
            self._worker = master.children()[0]
        except BaseException:
            self.close()
            raise

    def cpu_s(self) -> float:
        return sum(self._worker.cpu_times()[:2])

    def between(self, begin: float, end: float) -> dict[str, object]:
        """What was asked for in a span of time: requests and bytes by kind of file."""
        requests: Counter[str] = Counter()
        sent: Counter[str] = Counter()
        statuses: Counter[str] = Counter()
        for line in self._log.read_text().splitlines():
            at, status, out, _, uri = line.split(" ", 4)
            if begin <= float(at) < end:
                kind = "bundle" if uri.endswith(".tar") else uri.rsplit(".", 2)[-2].split("/")[-1]
                requests[kind] += 1
                sent[kind] += int(out)
                statuses[status] += 1
        return {
            "requests": sum(requests.values()),
            "mb": round(sum(sent.values()) / 1e6, 3),
            "by_kind": {kind: [requests[kind], sent[kind]] for kind in sorted(requests)},
            "statuses": dict(statuses),
        }

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def tell(phase: str, server: Server, begin: float, cpu_s: float, **more: object) -> None:
    end = time.time()
    seen = server.between(begin, end)
    took = round(end - begin, 1)
    used = round(server.cpu_s() - cpu_s, 2)
    rate = round(seen["requests"] / max(took, 0.1), 1)
    line = {"phase": phase, "s": took, **more, "per_s": rate, "server_cpu_s": used, **seen}
    print(json.dumps(line), flush=True)


class Rollout:
    """Releases to a fleet, and what each step took."""

    def __init__(self, operator: Operator, fleet: Fleet, server: Server, patience_s: float) -> None:
        self._operator, self._fleet, self._server = operator, fleet, server
        self._patience_s = patience_s

    def step(self, version: str, percent: int, names: list[str]) -> None:
        """Sign a share, and wait until every device that it reaches has the version."""
        begin, cpu_s, before = time.time(), self._server.cpu_s(), self._fleet.have(version)
        self._operator.roll_out(version, percent)
        reached = self._operator.reached(version, names)
        wait_until(lambda: self._fleet.have(version) >= reached, self._patience_s)
        times = sorted(at - begin for at in self._fleet.installed[version].values())[before:]
        facts = {"devices": len(times), "half_s": round(times[len(times) // 2], 1)}
        phase = f"{version} to {percent} %"
        tell(phase, self._server, begin, cpu_s, **facts, all_s=round(times[-1], 1))


def measure(options: argparse.Namespace, folder: Path) -> None:
    operator = Operator(folder, options.model)
    first, second = operator.versions
    operator.add(first)
    server = Server(folder)
    names = [f"device-{number:05}" for number in range(options.devices)]
    told = {
        "url": server.url,
        "ca_file": str(server.ca_file),
        "root": str(operator.repo / "metadata/1.root.json"),
        "folder": str(folder),
        "model": operator.name,
        "task": operator.task,
        "poll_s": options.poll_s,
    }
    fleet = Fleet(told, names, options.processes)
    try:
        rollout = Rollout(operator, fleet, server, 4 * options.poll_s + 60)
        rollout.step(first, 100, names)
        begin, cpu_s = time.time(), server.cpu_s()
        time.sleep(options.poll_s)
        tell("nothing new", server, begin, cpu_s)
        operator.add(second)
        begin = time.time()
        for percent in STEPS:
            rollout.step(second, percent, names)
        print(json.dumps({"phase": "10 -> 50 -> 100 %", "s": round(time.time() - begin, 1)}))
    finally:
        fleet.close()
        server.close()
    report(fleet)


def report(fleet: Fleet) -> None:
    times = sorted(one for summary in fleet.summaries for one in summary["times_s"])
    errors: Counter[str] = Counter()
    for summary in fleet.summaries:
        errors.update(summary["errors"])
    line = {
        "phase": "whole",
        "polls": len(times),
        "poll_median_ms": round(times[len(times) // 2] * 1000, 1),
        "poll_p99_ms": round(times[len(times) * 99 // 100] * 1000, 1),
        "latest_poll_s": round(max(summary["late_s"] for summary in fleet.summaries), 1),
        "errors": dict(errors),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--poll-s", type=float, default=60.0, help="how often each looks")
    parser.add_argument("--processes", type=int, default=2, help="that the devices live in")
    parser.add_argument("--model", type=Path, default=ROOT / "models/ecg-beats")
    options = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
