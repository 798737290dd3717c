"""The RabbitMQ cluster of deploy/rabbitmq-cluster, made by its own scripts."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from ..needs import ROOT, missing, program
from .ports import free_port, is_open, wait_until
from .rabbitmq import LAUNCHER

SCRIPTS = ROOT / "deploy" / "rabbitmq-cluster"


class Cluster:
    """`nodes` RabbitMQ nodes on this machine, numbered from 1, each with a port of its own."""

    def __init__(self, folder: Path, nodes: int, queues: str) -> None:
        program("rabbitmq-server", "rabbitmq-server")
        if not LAUNCHER.exists():
            missing(str(LAUNCHER), "apt-get install rabbitmq-server")
        self.folder = folder
        self.nodes = nodes
        self._base, self._inner = self._free(), self._free()
        ports = {"MQTT_PORT": str(self._base), "INNER_PORT": str(self._inner), "QUEUES": queues}
        self._environment = {**os.environ, **ports}

    def port(self, node: int) -> int:
        return self._base + node

    def up(self) -> None:
        self._run("up.sh", str(self.nodes))

    def down(self) -> None:
        self._run("down.sh")

    def kill(self, node: int) -> None:
        """As a power cut would."""
        pid = int((self.folder / str(node) / "pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_open(self.port(node)))

    def heal(self) -> None:
        """Bring back all that were killed."""
        dead = [str(node) for node in range(1, self.nodes + 1) if not self._alive(node)]
        if dead:
            self._run("up.sh", "start", *dead)
        wait_until(lambda: all(is_open(self.port(node + 1)) for node in range(self.nodes)), 90)

    def _alive(self, node: int) -> bool:
        pid = (self.folder / str(node) / "pid").read_text()
        return Path(f"/proc/{pid.strip()}").exists()

    def evaluate(self, expression: str) -> None:
        """Run Erlang on every node."""
        for node in range(1, self.nodes + 1):
            self._control(node, "eval", expression)

    def mirror(self) -> None:
        """Copy classic queues to all nodes, as up.sh does with QUEUES=mirrored."""
        policy = '{"ha-mode":"all","ha-sync-mode":"automatic"}'
        self._control(1, "set_policy", "--apply-to", "queues", "all", ".*", policy)

    def _control(self, node: int, *arguments: str) -> None:
        name = f"edge{node}-{self._base}@localhost"
        command = [str(LAUNCHER.parent / "rabbitmqctl"), "--quiet", "--node", name, *arguments]
        own = {"HOME": str(self.folder), "ERL_EPMD_PORT": str(self._inner)}
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def _run(self, script: str, *arguments: str) -> None:
        command = [str(SCRIPTS / script), str(self.folder), *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def _free(self) -> int:
        """A port after which as many are free as there are nodes."""
        while True:
            base = free_port() - self.nodes
            if base > 1024 and not any(is_open(base + node) for node in range(self.nodes + 1)):
                return base
