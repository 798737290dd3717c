"""Mosquitto: as many as a test wants."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..needs import program
from .ports import HOST, is_open
from .server import Server


class Mosquitto(Server):
    """A mosquitto on a port of its own that can be killed and started again.

    `lines` are added to its configuration. With `durable`, subscriptions of persistent sessions
    and what waits for them survive a kill.
    """

    def __init__(self, folder: Path, lines: tuple[str, ...], *, durable: bool, tls: bool) -> None:
        super().__init__(folder)
        self.log = folder / "mosquitto.log"
        self.config = folder / "mosquitto.conf"
        self._scheme = "mqtts" if tls else "mqtt"
        persistence = [
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
        ]
        text = [
            "user root" if os.getuid() == 0 else "",
            f"listener {self.port} {HOST}",
            *(persistence if durable else ["persistence false"]),
            "max_queued_messages 1000000",
            *lines,
        ]
        self.config.write_text("\n".join(text) + "\n")

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    def command(self) -> list[str]:
        return [program("mosquitto", "mosquitto"), "-c", str(self.config)]

    def answers(self) -> bool:
        return is_open(self.port)  # it may want a certificate or a user


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Mosquitto]]:
    """A factory of running brokers: `mosquitto("max_packet_size 2000", durable=True)`."""
    program("mosquitto", "mosquitto")
    with ExitStack() as stack:

        def make(
            *lines: str,
            anonymous: bool = True,
            durable: bool = False,
            tls: bool = False,
            started: bool = True,
        ) -> Mosquitto:
            access = f"allow_anonymous {str(anonymous).lower()}"
            folder = tmp_path_factory.mktemp("mosquitto")
            broker = Mosquitto(folder, (access, *lines), durable=durable, tls=tls)
            stack.callback(broker.kill)
            if started:
                broker.start()
            return broker

        yield make
