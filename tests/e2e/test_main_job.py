"""Run files of examples/ against a real broker, heard by mosquitto_sub."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ..brokers import wait_until
from ..needs import program

RECORDED = {
    # run file: (results, what must be among them)
    "cat-dog": (10, "cat"),
    "durable": (None, "N"),
    "ecg-replay": (None, "V"),
    "ecg-rhythm": (None, "N"),
    "face-short-range": (1, "face"),
    "kws-dscnn": (1, "on"),
    "mobilenet-v1-float": (10, "cheeseburger"),
    "mobilenet-v1-uint8": (10, "cheeseburger"),
    "mobilenet-v2": (10, "macaw"),
    "movenet-lightning": (1, "left_ankle"),
    "ppocr-cls": (1, "0"),
    "ppocr-det": (1, "sigmoid_0.tmp_0"),
    "resnet8-float": (200, "airplane"),
    "resnet8-int8": (200, "airplane"),
    "ssd-mobilenet-v1": (1, "dog"),
    "video-objects": (377, "car"),
    "vww96-float": (10, "person"),
    "vww96-int8": (10, "person"),
}
NEED_A_DEVICE = {
    "camera",
    "camera-jetson",
    "camera-rtsp",
    "ecg-cyton",
    "ecg-serial",
    "ecg-tcp",
}
READ_STANDARD_INPUT = {"okay-nabu", "silero-vad"}


class Subscriber:
    """mosquitto_sub on every topic, its lines ("topic payload") kept in a file."""

    def __init__(self, port: int, folder: Path) -> None:
        words = [program("mosquitto_sub", "mosquitto-clients"), "-p", str(port), "-q", "1"]
        self._log = folder / f"heard-{port}.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*words, "-t", "ready", "-t", "edge/#", "-F", "%t %p"], stdout=log
            )
        publish = [program("mosquitto_pub", "mosquitto-clients"), "-p", str(port)]
        subprocess.run([*publish, "-t", "ready", "-m", "now", "-r"], check=True)
        wait_until(lambda: self._log.read_text())

    def lines(self) -> list[str]:
        """All that came, once `stopped` has come, which is published last."""
        wait_until(lambda: "/status stopped\n" in self._log.read_text())
        self._process.terminate()
        self._process.wait(10)
        return self._log.read_text().splitlines()

    def results(self) -> list[dict]:
        return [json.loads(line.split(" ", 1)[1]) for line in self.lines() if "/result " in line]


def run_file(examples: Path, name: str, port: int) -> Path:
    """The example as it is, but with the broker's port."""
    text = (examples / f"{name}.toml").read_text()
    assert "mqtt://127.0.0.1:1883" in text
    path = examples / f"{name}-on-{port}.toml"
    path.write_text(text.replace("127.0.0.1:1883", f"127.0.0.1:{port}"))
    return path


def start(path: Path, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_runtime", "start", str(path)],
        capture_output=True,
        text=True,
        timeout=240,
        **more,
    )


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_source_gives_exactly_one_result_per_frame(name, examples, mosquitto, tmp_path):
    expected, must_have = RECORDED[name]
    broker = mosquitto()
    subscriber = Subscriber(broker.port, tmp_path)
    done = start(run_file(examples, name, broker.port))
    assert done.returncode == 0, done.stderr
    lines = subscriber.lines()
    results = [
        json.loads(line.split(" ", 1)[1])
        for line in lines
        if re.match(r"\S+/(result|event) ", line)
    ]
    told = int(re.search(r"(\d+) results from", done.stderr).group(1))
    assert len(results) == told == (expected or told) > 0
    assert len({result["id"] for result in results}) == told
    assert must_have in {word for result in results for word in words(result["result"])}
    assert [line.rsplit(" ", 1)[1] for line in lines if line.split(" ")[0].endswith("/status")] == [
        "online",
        "stopped",
    ]


def words(result: dict) -> list[str]:
    items = result[result["kind"]]
    return [item.get("label", item.get("name")) for item in items]


def test_every_run_file_of_the_examples_is_run_here(examples):
    files = {path.stem for path in examples.glob("*.toml") if "-on-" not in path.stem}
    files -= {"kws-nowhere"}
    assert files == RECORDED.keys() | NEED_A_DEVICE | READ_STANDARD_INPUT


def test_a_second_of_noise_on_standard_input_is_no_speech(examples, mosquitto, tmp_path):
    noise = np.random.default_rng(1).normal(scale=0.01, size=16_000)
    broker = mosquitto()
    subscriber = Subscriber(broker.port, tmp_path)
    lines = "\n".join(["sound", *(f"{sample:.6f}" for sample in noise)])
    done = start(run_file(examples, "silero-vad", broker.port), input=lines)
    assert done.returncode == 0, done.stderr
    scores = [result["result"]["labels"][0]["score"] for result in subscriber.results()]
    assert len(scores) == 16_000 // 512
    assert max(scores) < 0.1


def test_silence_on_standard_input_is_no_wake_word(examples, mosquitto, tmp_path):
    broker = mosquitto()
    subscriber = Subscriber(broker.port, tmp_path)
    header = ",".join(f"band{number}" for number in range(40))
    lines = "\n".join([header, *[",".join(["0"] * 40)] * 90])
    done = start(run_file(examples, "okay-nabu", broker.port), input=lines)
    assert done.returncode == 0, done.stderr
    scores = [result["result"]["labels"][0]["score"] for result in subscriber.results()]
    assert len(scores) == 30
    assert max(scores) == 0


def test_three_cats_and_a_dog_arrive_over_mqtt(examples, mosquitto, tmp_path):
    broker = mosquitto()
    subscriber = Subscriber(broker.port, tmp_path)
    start(run_file(examples, "ssd-mobilenet-v1", broker.port))
    (result,) = subscriber.results()
    found = result["result"]["detections"]
    labels = Counter(item["label"] for item in found if item["score"] >= 0.5)
    assert labels == {"cat": 3, "dog": 1}


@pytest.mark.parametrize("name", ["person_detect_int8.tflite", "model_invoking_error.tflite"])
def test_a_broken_model_is_a_model_load_error_and_exit_3(name, data, tmp_path):
    contract = (
        f'name = "broken"\nversion = "1.0.0"\ntask = "tensors"\n[[file]]\npath = "{name}"\n'
        'format = "tflite"\nprecision = "int8"\n[[input]]\nname = "0"\nkind = "constant"\n'
        'value = [0]\n[[output]]\nname = "0"\nmeaning = "other"\n[postprocess]\nkind = "tensors"\n'
    )
    (tmp_path / "model.toml").write_text(contract)
    path = tmp_path / "run.toml"
    path.write_text(
        f'[model]\npath = "{data}/models/broken/{name}"\nmanifest = "model.toml"\n'
        '[[source]]\nkind = "shapes"\n[[sink]]\nkind = "console"\n'
    )
    done = start(path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert name in done.stderr.splitlines()[-1]


def test_start_keeps_trying_an_absent_broker_and_delivers_everything_once_it_is_there(
    examples, mosquitto, tmp_path
):
    broker = mosquitto(started=False, durable=True)
    path = run_file(examples, "resnet8-int8", broker.port)
    with (tmp_path / "told.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", "start", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    told = (tmp_path / "told.txt").read_text
    wait_until(lambda: "results wait, trying again" in told())
    time.sleep(1.5)
    broker.start()
    subscriber = Subscriber(broker.port, tmp_path)
    assert process.wait(60) == 0, told()
    subscriber.lines()
    assert told().count("results wait, trying again") == 1
    assert "200 results from 200 frames" in told()


def test_a_broker_that_never_comes_ends_a_recording_with_exit_1_and_the_number(examples):
    text = (examples / "kws-dscnn.toml").read_text()
    path = examples / "kws-nowhere.toml"
    path.write_text(
        text.replace("127.0.0.1:1883", "127.0.0.1:9").replace(
            'kind = "mqtt"', 'kind = "mqtt"\ndrain_s = 1.0'
        )
    )
    done = start(path)
    assert done.returncode == 1
    assert "1 results not delivered" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
