"""RabbitMQ with its MQTT plugin, beside whatever RabbitMQ the machine runs as a service."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..needs import missing, program
from .ports import HOST, free_port
from .server import Server

LAUNCHER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one in sbin wants its own user
CONFIG = """\
listeners.tcp = none
mqtt.listeners.tcp.1 = {host}:{port}
mqtt.allow_anonymous = true
log.console.level = warning
log.file = false
"""


class RabbitMQ(Server):
    """One node with its own name, ports, cookie and data, and its own Erlang port mapper."""

    start_timeout_s = 90.0

    def __init__(self, folder: Path) -> None:
        program("rabbitmq-server", "rabbitmq-server")
        if not LAUNCHER.exists():
            missing(str(LAUNCHER), "apt-get install rabbitmq-server")
        super().__init__(folder)
        self._mapper_port, self._distribution_port = free_port(), free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        (folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        (folder / "rabbitmq.conf").write_text(CONFIG.format(host=HOST, port=self.port))

    def command(self) -> list[str]:
        return [str(LAUNCHER)]

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": f"edge{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }

    def start(self) -> None:
        if self._mapper is None:
            mapper = [program("epmd", "erlang-base"), "-port", str(self._mapper_port)]
            self._mapper = subprocess.Popen([*mapper, "-address", HOST])
        super().start()

    def close(self) -> None:
        super().close()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()
            self._mapper = None
