"""Check and apply between a repository, a fleet server and a store that is real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.errors import DownloadError
from edge_runtime.update.choose import Device as Board
from edge_runtime.update.client import Client
from edge_runtime.update.engines.engine import State, Wanted
from edge_runtime.update.release import Release
from edge_runtime.update.remote.metadata import Metadata
from edge_runtime.update.store.journal import Installed

from .store.stores import Device

BOARD = Board("bed-1", "lamp", "classify", "", "aarch64", ("tflite",), 1024, "1.0")


def signed(model: Installed, **facts: object) -> Release:
    made = Release("p", model.digest, 10, model.name, model.version, model.counter, "classify", ())
    return replace(made, percent=100.0, **facts)


class Repository:
    def __init__(self, *releases: Release) -> None:
        self._releases = releases

    def refresh(self, time_floor: int) -> Metadata:
        return Metadata(self._releases, time_floor, 0, (), (), consistent=True)


class FleetServer:
    pause_s = 0.0

    def __init__(self, wish: Wanted | DownloadError | None = None) -> None:
        self.wish = wish
        self.told: list[tuple[str, State]] = []

    def wanted(self) -> Wanted | None:
        if isinstance(self.wish, DownloadError):
            raise self.wish
        return self.wish

    def tell(self, job: str, state: State, detail: str = "") -> bool:
        self.told.append((job, state))
        return True


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def client(device: Device, engine: FleetServer | None, *releases: Release) -> Client:
    return Client(device.store, Repository(*releases), BOARD, None, engine)


def test_a_revoked_model_goes_though_the_fleet_server_is_out_of_reach(device):
    running = device.committed()
    server = FleetServer(DownloadError("out of reach"))

    with pytest.raises(DownloadError, match="out of reach"):
        client(device, server, signed(running, revoked="misses beats")).apply(print)

    assert device.store.journal.active.digest == ""
    assert device.store.journal.reason == "revoked: misses beats"


def test_a_revoked_candidate_goes_though_the_fleet_server_is_out_of_reach(device):
    waiting = device.validated()
    server = FleetServer(DownloadError("out of reach"))

    with pytest.raises(DownloadError, match="out of reach"):
        client(device, server, signed(waiting, revoked="misses beats")).apply(print)

    assert device.store.journal.state == "rejected"


@pytest.mark.parametrize(
    ("engine", "why"),
    [
        (None, "nothing is released"),
        (FleetServer(None), "the fleet server wants nothing"),
        (FleetServer(Wanted("7", cancel=True)), "the fleet server wants nothing"),
        (FleetServer(Wanted("7", "lamp", "9.9")), "9.9: no signed release"),
        (FleetServer(Wanted("7", "lamp", counter=9)), "9: no signed release"),
    ],
)
def test_why_there_is_nothing_to_take_is_told(device, engine, why):
    assert client(device, engine).check().why == why


def test_a_verdict_that_is_told_late_leaves_the_next_updates_job_alone(device):
    """`apply --wait` tells without the lock of updates: another may begin meanwhile."""
    first = device.fetched()
    device.store.fetching(first, "7")
    device.store.reject("the gate")

    class Slow(FleetServer):
        def tell(self, job: str, state: State, detail: str = "") -> bool:
            Device.restarted(device).fetching(replace(first, counter=2), "8")
            return super().tell(job, state, detail)

    server = Slow()
    client(device, server).settle()

    assert server.told == [("7", "failed")]
    assert device.store.refresh().job == "8"


def test_a_verdict_is_told_once(device):
    device.store.fetching(device.fetched(), "7")
    device.store.reject("the gate")
    server = FleetServer()

    for _ in range(2):
        client(device, server).settle()

    assert server.told == [("7", "failed")]
