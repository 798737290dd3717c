from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime import config
from edge_runtime.errors import ConfigError

RUN_FILE = """\
name = "bedside"
device = "ward-3"
[model]
path = "models/ecg"
delegates = ["xnnpack", {delegate = "edgetpu", file = "m_edgetpu.tflite", library = "x.so"}]
[[source]]
kind = "csv"
path = "a.csv"
[[step]]
kind = "bandpass"
[[sink]]
kind = "mqtt"
url = "mqtts://broker:8883"
"""


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RUN_FILE)
    return path


def refusal(path: Path, old: str, new: str) -> str:
    path.write_text(RUN_FILE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        config.load(path, {})
    return str(caught.value)


def test_a_run_file_is_read_whole(run_file: Path):
    run = config.load(run_file, {})
    assert (run.identity.device, run.identity.pipeline) == ("ward-3", "bedside")
    assert run.model.path == run_file.parent / "models/ecg"
    assert run.model.delegates[1] == config.Rung("edgetpu", "m_edgetpu.tflite", "x.so")
    assert [name for name, _ in run.sources] == ["csv"]
    assert run.sources[0][1].options.values["path"] == str(run_file.parent / "a.csv")


def test_an_option_beats_the_run_file(run_file: Path):
    assert config.load(run_file, {}, device="ward-4").identity.device == "ward-4"


def test_a_sink_is_added_only_where_the_file_has_none_of_its_kind(run_file: Path):
    run = config.load(run_file, {}, extra_sinks=("console", "mqtt"))
    assert [sink.kind for sink in run.sinks] == ["mqtt", "console"]


def test_secrets_come_from_the_environment_first(run_file: Path):
    run_file.write_text(RUN_FILE + 'password = "from-file"\n')
    run = config.load(run_file, {"EDGE_RUN_MQTT_PASSWORD": "from-env"})
    assert run.sinks[0].options.values["password"] == "from-env"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[model]", "[modle]", "run.toml:3: modle: unknown key; did you mean 'model'?"),
        ('"bedside"', '"bed/side"', "run.toml:1: name: 'bed/side' becomes a topic level"),
        ("[[source]]", "[source]", "write [[source]], it may stand more than once"),
        ("[[sink]]", "[[skin]]", "unknown key; did you mean 'sink'?"),
        ('kind = "csv"\n', "", "[source] kind: is missing"),
        ("[model]", "[model]\nthreads = 99", "run.toml:4: [model] threads: 99 is not within"),
        ("[model]", "[model]\nthread = 1", "[model] thread: unknown key; did you mean 'threads'"),
        ('["xnnpack"', '[{delegat = "x"}', "delegat: unknown key; did you mean 'delegate'?"),
        ("[[step]]", '[[source]]\nkind = "csv"\n[[step]]', "'csv' is taken"),
        (
            'kind = "csv"',
            'kind = "csv"\nname = "command"',
            "[source] name: commands arrive under that name",
        ),
        ("[[step]]", "[capture]\nmailbox = 0\n[[step]]", "mailbox: 0 must be above 0"),
    ],
)
def test_a_wrong_run_file_is_told_with_file_line_and_nearest_key(
    run_file: Path, old: str, new: str, message: str
):
    assert message in refusal(run_file, old, new)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "[[source]] is missing"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\x00\x01", "not valid TOML"),
    ],
)
def test_c01_a_file_that_is_no_run_file_is_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(path, {})
    assert message in str(caught.value)


def test_c01_byte_order_mark_and_crlf_are_read(run_file: Path):
    run_file.write_bytes(b"\xef\xbb\xbf" + RUN_FILE.replace("\n", "\r\n").encode())
    assert config.load(run_file, {}).identity.pipeline == "bedside"


def test_c04_a_missing_or_unreadable_path_is_one_line(tmp_path: Path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            config.load(path, {})
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
