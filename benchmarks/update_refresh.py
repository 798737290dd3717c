"""How long a device takes to learn what is released: a process each, nginx on loopback.

    python benchmarks/update_refresh.py --targets 20 2000

A line of JSON for each number of releases: the first refresh of a device and the later ones, wall
and CPU milliseconds (medians over processes), the imports before, and the peak of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.brokers.ports import free_port, is_open, wait_until  # noqa: E402
from tests.needs import program  # noqa: E402

AGAIN = 3  # refreshes after the first one
NGINX = """
daemon off; pid {folder}/pid; error_log /dev/null; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; root {folder}/repo; }}
}}
"""


def device(folder: Path, url: str) -> None:
    """One process: its first refresh and some more; prints what they took."""
    began = time.perf_counter()
    from edge_runtime.update.remote import metadata, trust  # noqa: F401 - the time of its imports
    from edge_runtime.update.remote.fetch import Fetcher

    imports_ms = 1e3 * (time.perf_counter() - began)
    took = []
    for _ in range(1 + AGAIN):
        cpu, wall = time.process_time(), time.perf_counter()
        with Fetcher() as fetcher:
            root = (folder / "root.json").read_bytes()
            metadata.refresh(folder / f"tuf-{os.getpid()}", root, [url], fetcher, int(time.time()))
        took.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"imports_ms": imports_ms, "took": took, "peak_mb": peak_mb}))


def measured(targets: int, processes: int) -> dict[str, float]:
    from tests.update.remote.repository import Repository

    made = Repository()
    for number in range(targets):
        version, content = f"1.0.{number}", b"%d" % number
        made.release(content, version, counter=number + 1, name="lamp", percent=10.0)
    made.publish()
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        made.write(folder / "repo")
        (folder / "root.json").write_bytes(made.first_root)
        folder.chmod(0o755)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        nginx = subprocess.Popen([program("nginx", "nginx"), "-c", folder / "nginx.conf"])
        try:
            wait_until(lambda: is_open(port))
            found = [one(folder, f"http://127.0.0.1:{port}") for _ in range(processes)]
        finally:
            nginx.terminate()
            nginx.wait()
    first = [run["took"][0] for run in found]
    later = [pair for run in found for pair in run["took"][1:]]
    median = statistics.median
    return {
        "targets": targets,
        "first_ms": round(median(wall for wall, _ in first), 1),
        "first_cpu_ms": round(median(cpu for _, cpu in first), 1),
        "later_ms": round(median(wall for wall, _ in later), 1),
        "later_cpu_ms": round(median(cpu for _, cpu in later), 1),
        "imports_ms": round(median(run["imports_ms"] for run in found), 1),
        "peak_mb": round(max(run["peak_mb"] for run in found), 1),
        "load": round(os.getloadavg()[0], 1),
    }


def one(folder: Path, url: str) -> dict:
    command = [sys.executable, __file__, "--device", folder, "--url", url]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, nargs="+", default=[20, 2000])
    parser.add_argument("--processes", type=int, default=7)
    parser.add_argument("--device", type=Path, help="for the processes of this program")
    parser.add_argument("--url")
    given = parser.parse_args()
    if given.device:
        device(given.device, given.url)
    else:
        for targets in given.targets:
            print(json.dumps(measured(targets, given.processes)), flush=True)
