"""NATS, aedes and the embedded amqtt, each as it comes; the last two keep all in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..needs import ROOT, missing, program
from .ports import HOST
from .server import Server

NATS = """\
server_name: edge
listen: {host}:-1
jetstream {{ store_dir: "{folder}" }}
mqtt {{ listen: {host}:{port} }}
"""
AEDES_PACKAGES = {"aedes": "1.2.0"}
AEDES = """\
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const broker = await Aedes.createBroker()
createServer(broker.handle).listen(Number(process.argv[2]), '127.0.0.1')
"""


class Nats(Server):
    """NATS with JetStream, which its MQTT needs."""

    def __init__(self, folder: Path) -> None:
        program("nats-server", "nats-server")
        super().__init__(folder)
        text = NATS.format(host=HOST, folder=folder / "data", port=self.port)
        (folder / "nats.conf").write_text(text)

    def command(self) -> list[str]:
        return [program("nats-server", "nats-server"), "-c", str(self.folder / "nats.conf")]


class Aedes(Server):
    """Aedes, a broker in JavaScript, in memory."""

    def __init__(self, folder: Path) -> None:
        self._home = npm_packages("aedes", AEDES_PACKAGES)
        super().__init__(folder)
        (self._home / "broker.mjs").write_text(AEDES)

    def command(self) -> list[str]:
        return [program("node", "nodejs"), str(self._home / "broker.mjs"), str(self.port)]


class Embedded(Server):
    """The demo's broker, run as the demo runs it."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "edge_runtime.mqtt.broker", str(self.port)]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)}


def npm_packages(name: str, versions: dict[str, str]) -> Path:
    """A folder with these packages, installed once and kept in the user's cache."""
    npm = program("npm", "npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / "edge-run-tests" / "-".join([name, *versions.values()])
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [f"{package}@{version}" for package, version in versions.items()]
        quiet = ["--no-fund", "--no-audit", "--loglevel=error", "--prefix", str(folder)]
        said = subprocess.run([npm, "install", *quiet, *wanted], capture_output=True, text=True)
        if said.returncode:
            missing(" ".join(wanted), f"npm install failed: {said.stderr.strip()[-200:]}")
        done.touch()
    return folder
