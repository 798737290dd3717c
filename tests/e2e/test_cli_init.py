"""`edge-run init`: what it writes is a run file, and nothing is overwritten."""

from __future__ import annotations

import inspect
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime import build, config, registry

from .commands import ROOT, edge_run

VWW = "models/vww96/vww_96_int8.tflite"


@pytest.fixture(scope="module", params=sorted(registry.BUILT_IN["source"]))
def written(request, vww, tmp_path_factory) -> tuple[str, Path]:
    """The run file for each kind of source, as init writes it."""
    path = tmp_path_factory.mktemp("init") / f"{request.param}.toml"
    found = edge_run("init", "--source", request.param, "--model", vww, "-o", path)
    assert found.code == 0, found.err
    return request.param, path


def test_what_is_written_for_each_source_can_be_built(written, vww):
    kind, path = written

    run = config.load(path, {})

    assert run.model.path.resolve() == vww
    assert [source.name for source in build.sources(run)] == [kind]
    assert len(build.sinks(run)) == 1


def test_every_option_that_stands_there_as_a_comment_is_one(written):
    kind, path = written

    text = path.read_text(encoding="utf-8")

    parts = re.findall(r'\[\[(source|sink)\]\]\n(?:# )?kind = "([\w-]+)".*\n((?:.+\n)*)', text)
    assert {part[:2] for part in parts} == {("source", kind), ("sink", "console"), ("sink", "mqtt")}
    for group, name, lines in parts:
        known = set(inspect.signature(registry.find(group, name)).parameters)
        assert set(re.findall(r"^(?:# )?(\w+) = ", lines, re.MULTILINE)) <= known


def test_what_is_written_passes_check(vww, data, tmp_path):
    path = tmp_path / "run.toml"
    images = data / "images/burger.jpg"
    edge_run("init", "--source", "images", "--input", images, "--model", vww, "-o", path)

    found = edge_run("check", path)

    assert found.code == 0, found.out
    assert "the model gives a result" in found.out


def test_paths_are_relative_to_the_run_file(vww, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "shots").mkdir()
    (tmp_path / "m").symlink_to(vww)

    edge_run(
        *("init", "--source", "images", "--input", "shots", "--model", "m"),
        *("-o", "site/run.toml"),
        cwd=tmp_path,
    )

    text = (tmp_path / "site/run.toml").read_text(encoding="utf-8")
    assert 'path = "../m"' in text
    assert 'path = "../shots"' in text
    assert config.load(tmp_path / "site/run.toml", {}).model.path.resolve() == vww


def test_a_bare_model_gets_a_manifest_key_and_the_command_that_starts_one(data, tmp_path):
    path = tmp_path / "run.toml"
    found = edge_run("init", "--source", "camera", "--model", data / VWW, "-o", path)

    assert config.load(path, {}).model.manifest == data / "models/vww96/model.toml"
    assert "edge-run models show" in found.out
    assert f"edge-run start {path}" in found.out


def test_a_broker_makes_an_mqtt_sink(vww, tmp_path):
    path = tmp_path / "run.toml"
    edge_run(
        *("init", "--source", "camera", "--model", vww, "-o", path),
        *("--broker", "mqtt://localhost:1884"),
    )

    sinks = config.load(path, {}).sinks
    assert [sink.kind for sink in sinks] == ["console", "mqtt"]
    assert sinks[1].options.values["url"] == "mqtt://localhost:1884"
    assert len(build.sinks(config.load(path, {}))) == 2


def test_a_password_is_never_a_line_to_fill_in(vww, tmp_path):
    path = tmp_path / "run.toml"
    edge_run("init", "--source", "camera", "--model", vww, "-o", path)

    text = path.read_text(encoding="utf-8")
    assert "EDGE_RUN_MQTT_PASSWORD" in text
    assert "password =" not in text


def test_nothing_is_overwritten_without_force(vww, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("mine", encoding="utf-8")
    words = ("init", "--source", "camera", "--model", vww, "-o", path)

    refused = edge_run(*words)
    kept = path.read_text(encoding="utf-8")
    forced = edge_run(*words, "--force")

    assert (refused.code, len(refused.errors), kept) == (2, 1, "mine")
    assert forced.code == 0
    assert config.load(path, {}).sources[0][0] == "camera"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--source"),
        (("--source", "camra"), "did you mean 'camera'"),
        (("--source", "camera", "--model", "nowhere"), "nowhere"),
        (("--source", "camera", "--model", ".", "-o", "."), "is a directory"),
        (("--source", "camera", "--model", ".", "-o", "no/where.toml"), "no/where.toml"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_code_2(words, told, tmp_path):
    found = edge_run("init", *words, cwd=tmp_path)

    assert (found.code, len(found.errors)) == (2, 1)
    assert told in found.errors[0]
    assert not list(tmp_path.iterdir())


def test_a_terminal_is_asked_for_what_was_not_said(vww, tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "init"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, f"images\n/somewhere\n{vww}\n".encode())
    shown = read_all(ours)

    assert process.wait(60) == 0, shown
    text = (tmp_path / "run.toml").read_text(encoding="utf-8")
    assert 'path = "/somewhere"' in text
    assert config.load(tmp_path / "run.toml", {}).sources[0][1].kind == "images"


def read_all(descriptor: int) -> str:
    """What a terminal shows until its other end is closed."""
    shown = b""
    with open(descriptor, "rb", buffering=0) as terminal:
        while True:
            try:
                more = terminal.read(4096)
            except OSError:  # Linux: nobody has the other end any more
                return shown.decode()
            if not more:
                return shown.decode()
            shown += more


def test_the_shipped_model_is_named_and_not_located(tmp_path):
    from edge_runtime import shipped

    if "shapes" not in shipped.directories():
        pytest.skip("the shipped model 'shapes' is missing: pip install -e .")
    path = Path(tmp_path / "run.toml")
    found = edge_run("init", "--source", "shapes", "-o", path)

    assert found.code == 0
    assert 'path = "shapes"' in path.read_text(encoding="utf-8")
    assert edge_run("check", path).code == 0
