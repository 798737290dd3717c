"""The hawkBit adapter against gooseBit, a real server of that API."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.errors import DownloadError, RefusedError
from edge_runtime.release.rollout import Rollout
from edge_runtime.release.tool import Tool
from edge_runtime.update.choose import Device
from edge_runtime.update.client import Client
from edge_runtime.update.engines.engine import Wanted
from edge_runtime.update.engines.hawkbit import HawkBit
from edge_runtime.update.gate.checks import Check, GateReport
from edge_runtime.update.release import Release
from edge_runtime.update.remote import metadata
from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.store.store import Store

from ...needs import ROOT
from ..release.release_kit import NO_TERMS, maker, model
from .goosebit_server import GooseBit

TOKEN = "8f3a-secret"
numbers = itertools.count(1)
ATTRIBUTES = {"hw_boardname": "default", "hw_revision": "default", "sw_version": "1.0.0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GooseBit]:
    with GooseBit(tmp_path_factory.mktemp("goosebit")) as running:
        yield running


@pytest.fixture(scope="module")
def software(server: GooseBit, tmp_path_factory: pytest.TempPathFactory) -> int:
    return server.release("ecg-beats.swu", "1.1.0", tmp_path_factory.mktemp("release"))


@pytest.fixture
def device(server: GooseBit) -> str:
    name = f"bed-{next(numbers)}"
    server.enrol(name, TOKEN)
    return name


def engine(server: GooseBit, device: str, model: str = "ecg-beats", token: str = TOKEN) -> HawkBit:
    return HawkBit(server.url, controller=device, model=model, attributes=ATTRIBUTES, token=token)


def test_a_new_device_says_what_it_is_and_then_polls_as_often_as_the_server_says(server, device):
    hawkbit = engine(server, device)
    assert hawkbit.wanted() is None
    assert server.device(device)["last_state"] == "Registered"
    assert server.device(device)["sw_version"] == "1.0.0"

    assert hawkbit.wanted() is None
    assert 7.0 <= hawkbit.pause_s <= 8.4  # it is set to poll every seven seconds


def test_an_update_is_offered_until_it_is_committed_and_success_is_told_only_then(
    server, software, device
):
    hawkbit = engine(server, device)
    hawkbit.wanted()
    server.assign(device, software)

    wanted = hawkbit.wanted()
    assert wanted == Wanted(str(software), "ecg-beats", "1.1.0")
    hawkbit.tell(wanted.job, "downloading")
    hawkbit.tell(wanted.job, "installing", "on trial since 10:02")
    assert server.device(device)["last_state"] == "Running"
    assert server.device(device)["sw_version"] == "1.0.0"
    assert "on trial since 10:02" in server.log_of(device)
    assert engine(server, device).wanted() == wanted  # another process, after a reboot

    assert engine(server, device).tell(wanted.job, "done") is True
    assert server.device(device)["last_state"] == "Finished"
    assert server.device(device)["sw_version"] == "1.1.0"
    assert engine(server, device).wanted() is None


def test_a_roll_back_is_told_with_its_reason_and_the_server_stops_offering(
    server, software, device
):
    hawkbit = engine(server, device)
    hawkbit.wanted()
    server.assign(device, software)
    job = hawkbit.wanted().job

    hawkbit.tell(job, "failed", "rolled back: p99 latency 31 ms, at most 20")
    assert server.device(device)["last_state"] == "Error"
    assert "p99 latency 31 ms" in server.log_of(device)
    assert hawkbit.wanted() is None

    server.api("PATCH", "/devices", {"devices": [device], "force_update": True})
    assert hawkbit.wanted() == Wanted(job, "ecg-beats", "1.1.0")  # a person tries again


def test_an_update_of_another_model_is_closed_as_failed(server, software, device):
    hawkbit = engine(server, device, model="wake-word")
    hawkbit.wanted()
    server.assign(device, software)

    assert hawkbit.wanted() is None
    assert server.device(device)["last_state"] == "Error"
    assert "holds no software module 'wake-word'" in server.log_of(device)


def test_a_rollout_reaches_every_device_of_its_feed(server, software, device):
    devices = [f"{device}-{number}" for number in range(5)]
    for name in devices:
        server.enrol(name, TOKEN)
        engine(server, name).wanted()
    made = {"name": "first", "feed": "default", "software_id": software}
    rollout = server.api("PUT", "/rollouts", made)["id"]

    for name in devices:
        wanted = engine(server, name).wanted()
        assert wanted == Wanted(str(software), "ecg-beats", "1.1.0")
        engine(server, name).tell(wanted.job, "done")
    counted = server.api("GET", "/rollouts")["rollouts"][0]["success_count"]
    assert counted == len(devices)
    server.api("PATCH", "/rollouts", {"ids": [rollout], "paused": True})  # for the tests after it


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_device_without_its_token_is_turned_away(server, device, token):
    with pytest.raises(DownloadError) as caught:
        engine(server, device, token=token).wanted()
    assert caught.value.reason == "login"
    assert server.device(device)["last_state"] == "Unknown"


class Pipeline:
    """A device with a store, a signed repository and a fleet server; `gate` is its verdict."""

    def __init__(self, folder: Path, maker: Tool, engine: HawkBit) -> None:
        self.folder, self.maker = folder, maker
        self.gate = GateReport(True, (), {})
        self.reboot(engine)

    def reboot(self, engine: HawkBit) -> None:
        """A new process: nothing is left but what lies on the disk."""
        self.store = Store(self.folder / "store", ROOT / "models/half-plus-two")
        self.store.open()
        device = Device(
            name="bed",
            model="half-plus-two",
            task="tensors",
            profile="generic-x86-64",
            arch="x86_64",
            formats=("tflite", "onnx"),
            memory_mb=4096,
            version="1000",
        )
        self.client = Client(self.store, self, device, lambda *_: self.gate, engine)

    def apply(self) -> str:
        return self.client.apply(lambda *_: None).journal.state

    def refresh(self, time_floor: int) -> metadata.Metadata:
        self._fetcher = Fetcher()
        root = (self.maker.folder / "metadata/1.root.json").read_bytes()
        places = [str(self.maker.folder)]
        folder, now = self.folder / "tuf", int(time.time())
        self._found = metadata.refresh(
            folder, root, places, self._fetcher, now=now, time_floor=time_floor
        )
        return self._found

    def download(self, release: Release, part: Path, progress: object) -> None:
        metadata.download(self._found, release, part, fetcher=self._fetcher)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    """half-plus-two 2.1.0, signed for every device."""
    folder = tmp_path_factory.mktemp("signed")
    made = maker(folder)
    made.add(model(folder, "2.1.0"), NO_TERMS)
    made.rollout("half-plus-two", "2.1.0", Rollout(percent=100))
    return made


@pytest.fixture(scope="module")
def named(server: GooseBit, tmp_path_factory: pytest.TempPathFactory) -> int:
    """What the fleet server calls it."""
    return server.release("half-plus-two.swu", "2.1.0", tmp_path_factory.mktemp("named"))


@pytest.fixture
def pipeline(server, signed, named, device, tmp_path) -> Pipeline:
    made = Pipeline(tmp_path, signed, engine(server, device, model="half-plus-two"))
    assert made.apply() == "idle"  # signed for it, and not named yet
    server.assign(device, named)
    return made


def again(pipeline: Pipeline, server: GooseBit, device: str) -> None:
    pipeline.reboot(engine(server, device, model="half-plus-two"))


def test_what_the_server_names_is_verified_tried_and_told_after_the_commit(
    server, device, pipeline
):
    assert pipeline.apply() == "validated"
    assert server.device(device)["last_state"] == "Running"

    again(pipeline, server, device)
    pipeline.store.begin_trial()
    pipeline.client.settle()
    assert server.device(device)["last_state"] == "Running"
    pipeline.store.commit()
    again(pipeline, server, device)
    pipeline.client.settle()
    assert server.device(device)["last_state"] == "Finished"
    assert server.device(device)["sw_version"] == "2.1.0"
    assert pipeline.apply() == "committed"


def test_a_verdict_that_falls_while_the_server_is_away_is_told_when_it_is_back(
    server, device, pipeline
):
    pipeline.apply()
    pipeline.store.begin_trial()
    pipeline.store.roll_back("no result for 30 s")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{unused.getsockname()[1]}"
        pipeline.reboot(HawkBit(away, controller=device, model="half-plus-two", token=TOKEN))
        pipeline.client.settle()
    assert server.device(device)["last_state"] == "Running"

    again(pipeline, server, device)
    pipeline.client.settle()
    assert server.device(device)["last_state"] == "Error"
    assert "no result for 30 s" in server.log_of(device)


def test_a_refusal_of_the_gate_is_told_at_once(server, device, pipeline):
    check = Check("latency", passed=False, expected="at most 20 ms", seen="31 ms")
    pipeline.gate = GateReport(passed=False, checks=(check,), sandbox={})
    with pytest.raises(RefusedError):
        pipeline.apply()
    assert server.device(device)["last_state"] == "Error"
    assert "seen 31 ms" in server.log_of(device)


def test_a_release_that_nobody_signed_is_not_taken_whatever_the_server_says(
    server, device, pipeline, tmp_path
):
    server.assign(device, server.release("half-plus-two.swu", "9.9.9", tmp_path))
    assert pipeline.apply() == "idle"
    assert server.device(device)["last_state"] == "Error"
    assert "9.9.9: no signed release" in server.log_of(device)
