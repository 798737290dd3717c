"""`edge-run check`: every part of a run file is looked at, and each finding says what to do."""

from __future__ import annotations

import getpass
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import program

from .commands import Outcome, edge_run

RUN = """\
name = "shots"
[model]
path = "{model}"
[[source]]
kind = "images"
path = "{images}"
[[sink]]
kind = "console"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def line(outcome: Outcome, part: str) -> str:
    """The one line on a part."""
    found = [text for text in outcome.out.splitlines() if text[6:].startswith(part)]
    assert len(found) == 1, outcome.out
    return found[0]


@pytest.fixture
def run_file(vww, data, tmp_path) -> Path:
    return write(tmp_path, RUN.format(model=vww, images=data / "images" / "burger.jpg"))


def test_a_run_file_that_works_is_all_well(run_file):
    found = edge_run("check", run_file)

    assert found.code == 0, found.out
    assert line(found, "run file").startswith("ok")
    assert "4 golden cases agree" in line(found, "model xnnpack")
    assert "480 x 325 pixels; the model gives a result" in line(found, "source images")
    assert found.out.splitlines()[-1] == "all is well"


def test_check_makes_no_file(run_file, tmp_path):
    text = run_file.read_text(encoding="utf-8")
    run_file.write_text(f'{text}[[sink]]\nkind = "jsonl"\npath = "results.jsonl"\n')

    found = edge_run("check", run_file)

    assert found.code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]


def test_the_findings_are_there_as_json(run_file):
    document = json.loads(edge_run("check", run_file, "--json").out)

    states = {finding["part"]: finding["state"] for finding in document["findings"]}
    assert states["run file"] == "ok"
    assert states["source images"] == "ok"


@pytest.mark.parametrize("text", ["name = ", "[[source]\n", "\x00\x01"])
def test_what_is_no_toml_is_one_line_and_code_2(tmp_path, text):
    found = edge_run("check", write(tmp_path, text))

    assert (found.code, len(found.errors)) == (2, 1)
    assert "run.toml" in found.errors[0]


def test_a_run_file_that_is_not_there_is_one_line_and_code_2(tmp_path):
    found = edge_run("check", tmp_path / "none.toml")

    assert (found.code, len(found.errors)) == (2, 1)


def test_a_wrong_key_is_told_with_its_line_and_the_rest_is_still_looked_at(vww, data, tmp_path):
    text = RUN.format(model=vww, images=data / "images" / "burger.jpg")
    found = edge_run(
        "check", write(tmp_path, text + '[capture]\nmailbx = 3\n[sorce]\nkind = "x"\n')
    )

    wrong = [text for text in found.out.splitlines() if text.startswith("fail")]
    assert found.code == 2
    assert len(wrong) == 2
    assert any("run.toml:10" in text and "did you mean 'mailbox'" in text for text in wrong)
    assert any("did you mean 'source'" in text for text in wrong)
    assert "the model gives a result" in line(found, "source images")


def test_every_failure_is_told_in_one_go(tmp_path, data):
    text = """\
[model]
path = "nowhere"
[[source]]
kind = "images"
path = "no-such-folder"
[[source]]
kind = "camera"
device = "/dev/video99"
[[source]]
kind = "serial"
port = "/dev/ttyNOPE"
rate_hz = 250
mv_per_count = 0.001
[[source]]
kind = "imagse"
[[step]]
kind = "bandpas"
[[sink]]
kind = "jsonl"
path = "no/such/folder/results.jsonl"
"""
    found = edge_run("check", write(tmp_path, text))

    parts = ("model", "source images", "source camera", "source serial", "source imagse")
    parts += ("step bandpas", "sink jsonl")
    assert found.code == 2
    assert all(line(found, part).startswith("fail") for part in parts)
    assert "did you mean 'images'" in line(found, "source imagse")
    assert "mkdir -p" in line(found, "sink jsonl")


def test_missing_sections_are_named(tmp_path):
    found = edge_run("check", write(tmp_path, 'name = "x"\n'))

    assert found.code == 2
    for part in ("[model]", "[[source]]", "[[sink]]"):
        assert f"{part} is missing" in found.out


def test_an_image_model_on_an_ecg_is_a_failure_that_says_so(vww, data, tmp_path):
    text = RUN.format(model=vww, images="x").replace('kind = "images"', 'kind = "ecgsyn"')
    found = edge_run("check", write(tmp_path, text.replace('path = "x"\n', 'pace = "flat"\n')))

    assert found.code == 2
    assert "kind ecgsyn gives a signal, vww96 takes images" in found.out


def test_a_step_for_signals_behind_a_camera_is_a_failure(run_file):
    text = run_file.read_text(encoding="utf-8")
    run_file.write_text(f'{text}[[step]]\nkind = "bandpass"\n')

    found = edge_run("check", run_file)

    assert found.code == 2
    assert "step bandpass works on a signal" in found.out


def test_a_model_that_was_changed_is_code_3(own_vww, data, tmp_path):
    weights = own_vww / "vww_96_int8.tflite"
    weights.write_bytes(weights.read_bytes()[:200_000])

    found = edge_run(
        "check", write(tmp_path, RUN.format(model=own_vww, images=data / "images" / "burger.jpg"))
    )

    assert found.code == 3
    assert "sha256 is" in line(found, "model xnnpack")
    assert "480 x 325" in line(found, "source images")


def test_a_rung_that_is_not_here_is_a_note_and_the_next_one_would_be_used(run_file):
    text = run_file.read_text(encoding="utf-8")
    run_file.write_text(text.replace("[[source]]", 'delegates = ["edgetpu", "cpu"]\n[[source]]'))

    found = edge_run("check", run_file)

    assert found.code == 0
    assert line(found, "model edgetpu").startswith("note")
    assert "would run on delegate cpu" in found.out


def test_a_required_rung_that_is_not_here_is_a_failure(run_file):
    text = run_file.read_text(encoding="utf-8")
    run_file.write_text(
        text.replace("[[source]]", 'delegates = ["edgetpu", "cpu"]\nrequired = true\n[[source]]')
    )

    found = edge_run("check", run_file)

    assert found.code == 3
    assert line(found, "model edgetpu").startswith("fail")


def test_unusable_images_before_a_good_one_are_a_note(vww, data, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    burger = (data / "images" / "burger.jpg").read_bytes()
    (images / "a.jpg").write_bytes(burger[:300])
    (images / "b.jpg").write_bytes(burger)

    found = edge_run("check", write(tmp_path, RUN.format(model=vww, images=images)))

    assert found.code == 0
    assert line(found, "source images").startswith("note")
    assert "a.jpg" in found.out


def test_a_source_with_nothing_but_rubbish_is_code_1(vww, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        (images / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")

    found = edge_run("check", write(tmp_path, RUN.format(model=vww, images=images)))

    assert found.code == 1
    assert line(found, "source images").startswith("fail")


@pytest.fixture(scope="module")
def locked_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a mosquitto that lets in "nurse" with the password "night" only."""
    folder = tmp_path_factory.mktemp("mosquitto")
    passwords = folder / "passwords"
    subprocess.run(
        [program("mosquitto_passwd", "mosquitto"), "-b", "-c", str(passwords), "nurse", "night"],
        check=True,
        capture_output=True,
    )
    port = free_port()
    settings = (
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
        f"user {getpass.getuser()}\n"
    )
    (folder / "mosquitto.conf").write_text(settings, encoding="utf-8")
    process = subprocess.Popen(
        [program("mosquitto", "mosquitto"), "-c", str(folder / "mosquitto.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def wait_for(port: int) -> None:
    until, pause = time.monotonic() + 10, threading.Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until
            pause.wait(0.05)
        else:
            return


def with_broker(run_file: Path, port: int, more: str = "") -> Path:
    text = run_file.read_text(encoding="utf-8").replace('kind = "console"', 'kind = "mqtt"')
    run_file.write_text(f'{text}url = "mqtt://127.0.0.1:{port}"\n{more}')
    return run_file


def test_a_broker_that_lets_us_in_is_ok(run_file, locked_broker):
    path = with_broker(run_file, locked_broker, 'username = "nurse"\n')
    found = edge_run("check", path, environment={"EDGE_RUN_MQTT_PASSWORD": "night"})

    assert found.code == 0, found.out
    assert "lets this device in, MQTT 5" in line(found, "sink mqtt")


def test_a_wrong_password_is_told_without_the_password(run_file, locked_broker):
    path = with_broker(run_file, locked_broker, 'username = "nurse"\npassword = "daylight"\n')
    found = edge_run("check", path)

    assert found.code == 1
    assert "refused" in line(found, "sink mqtt")
    assert "username and password" in line(found, "sink mqtt")
    assert "daylight" not in found.out + found.err


def test_a_broker_that_is_not_there_is_told_with_its_address(run_file):
    port = free_port()
    found = edge_run("check", with_broker(run_file, port))

    assert found.code == 1
    assert f"127.0.0.1:{port}" in line(found, "sink mqtt")
    assert "start the broker" in line(found, "sink mqtt")


def test_something_that_is_no_broker_does_not_hold_the_check_up(run_file):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        started = time.monotonic()
        found = edge_run("check", with_broker(run_file, deaf.getsockname()[1]))

    assert found.code == 1
    assert line(found, "sink mqtt").startswith("fail")
    assert time.monotonic() - started < 20
