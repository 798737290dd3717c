"""What a run file's [update] becomes: the device's facts, the fleet server, the secrets."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from edge_runtime import config
from edge_runtime.config import ModelConfig, Rung
from edge_runtime.errors import ConfigError
from edge_runtime.tables import parse_toml
from edge_runtime.update import wiring
from edge_runtime.update.engines.patient import Patient

RUN_FILE = """
name = "ward"
device = "bed-1"
[model]
path = "ecg-beats"
[[source]]
kind = "ecgsyn"
[[sink]]
kind = "console"
[update]
repository = ["https://models.example.org/", "stick"]
state = "state"
"""


def read(folder: Path, more: str = "", **environment: str) -> config.RunConfig:
    return config.from_table(parse_toml(RUN_FILE + more, str(folder / "ward.toml")), environment)


@pytest.mark.parametrize(
    ("rungs", "formats"),
    [
        ((), {"tflite", "onnx"}),
        ((Rung("xnnpack"), Rung("edgetpu")), {"tflite"}),
        ((Rung("cuda"),), {"onnx"}),
        ((Rung("cpu"),), {"tflite", "onnx"}),
        ((Rung("ethos", library="libethosu.so"),), {"tflite"}),
    ],
)
def test_a_release_is_for_a_device_that_has_a_runtime_and_a_delegate_for_it(rungs, formats):
    found = wiring.formats(ModelConfig(Path("model"), delegates=rungs))
    assert set(found) == formats


def test_the_device_is_described_by_itself_and_the_factory_model(tmp_path):
    device = wiring.device(read(tmp_path), "raspberry-pi-5")
    assert (device.name, device.model, device.task) == ("bed-1", "ecg-beats", "beats")
    assert (device.arch, device.profile) == (platform.machine(), "raspberry-pi-5")
    assert device.memory_mb > 100


def test_paths_are_found_from_the_run_file_and_addresses_stay(tmp_path):
    update = read(tmp_path).update
    assert update.repository == ("https://models.example.org/", str(tmp_path / "stick"))
    assert update.root_file == str(tmp_path / "root.json")


def test_a_fleet_server_takes_its_token_from_the_environment_and_never_shows_it(tmp_path):
    hawkbit = '[update.hawkbit]\nurl = "https://fleet.example.org"\n'
    loaded = read(tmp_path, hawkbit, EDGE_RUN_HAWKBIT_TOKEN="s3cret-token")
    store = wiring.store(loaded)
    made = wiring.engine(loaded.update, wiring.device(loaded, "generic-x86-64"), store)
    assert isinstance(made, Patient)
    assert "s3cret" not in f"{loaded!r} {loaded.update} {made!r}"


def test_a_mistake_in_the_table_of_a_fleet_server_names_the_key(tmp_path):
    loaded = read(tmp_path, '[update.hawkbit]\nurl = "https://f"\ntokenfile = "t"\n')
    with pytest.raises(ConfigError, match=r"tokenfile.*did you mean 'token_file'"):
        wiring.engine(loaded.update, wiring.device(loaded, "generic-x86-64"), wiring.store(loaded))
