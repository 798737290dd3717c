"""Source `mqtt` with a real broker."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, SourceLostError
from edge_runtime.sources.streams.mqtt import Mqtt
from tests.needs import program
from tests.unit.test_frontends import frames_of

PLAIN = {"rate_hz": 100.0, "mv_per_count": 1.0, "chunk_s": 0.05, "topic": "ward/ecg"}


def publish(port: int, text: str, *options: str) -> None:
    command = [program("mosquitto_pub", "mosquitto-clients"), "-p", str(port), "-t", "ward/ecg"]
    subprocess.run([*command, *options, "-m", text], check=True)


def test_messages_of_lines_become_frames_and_a_retained_one_does_not(mosquitto):
    broker = mosquitto()
    publish(broker.port, "666", "-r")
    source = Mqtt(name="ecg", url=broker.url, **PLAIN)
    source.open()
    publish(broker.port, "1\n2\n3")
    publish(broker.port, "4")
    frames, errors = frames_of(source, 4)
    source.close()
    assert not errors
    assert np.concatenate([frame.data for frame in frames]).ravel().tolist() == [1, 2, 3, 4]


def test_s11_a_broker_that_stops_is_a_lost_source(mosquitto):
    broker = mosquitto()
    source = Mqtt(name="ecg", url=broker.url, **PLAIN)
    source.open()
    broker.stop()
    with pytest.raises(SourceLostError, match="ward/ecg: "):
        frames_of(source, 1, within_s=10.0)
    source.close()
    with pytest.raises(SourceLostError, match="nothing listens there"):
        source.open()


def test_what_cannot_be_is_refused_before_anything_opens():
    for options, key in (
        ({"topic": "ward/#"}, "topic"),
        ({"topic": ""}, "topic"),
        ({"url": "mqtt://broker.example"}, "url"),
        ({"password": "x"}, "username"),
        ({"rate_hz": 0.0}, "rate_hz"),
    ):
        with pytest.raises(BadOptionError) as told:
            Mqtt(name="ecg", **{**PLAIN, **options})
        assert told.value.key == key
    with pytest.raises(SourceLostError, match="is not open"):
        Mqtt(name="ecg", **PLAIN).read(0.0)
