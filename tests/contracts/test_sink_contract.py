"""What every sink promises, whatever it does with results."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from edge_runtime.errors import BadOptionError, ConfigError, SinkError
from edge_runtime.frame import Identity
from edge_runtime.interfaces import Sink
from edge_runtime.outcome import Events
from edge_runtime.registry import BUILT_IN, find
from edge_runtime.tables import parse_toml
from tests import sparkplug
from tests.brokers import free_port
from tests.messages import IDENTITY, INFO, OUTCOMES, result
from tests.needs import ROOT

KINDS = tuple(BUILT_IN["sink"])


@dataclass
class Case:
    """A sink of one kind that works, and the numbers of the frames that it brought away."""

    make: Callable[[], Sink]
    arrived: Callable[[], list[int]]
    events: bool = True  # whether it has a place for what monitors find


@pytest.fixture(params=KINDS)
def case(request, tmp_path) -> Case:
    if request.param == "mqtt":
        broker = request.getfixturevalue("mosquitto")()
        listener = request.getfixturevalue("listen")(broker.url)

        def heard() -> list[int]:
            time.sleep(0.3)
            told = [
                item for item in listener.messages if item.topic.endswith(("/result", "/event"))
            ]
            return [json.loads(item.payload)["seq"] for item in told]

        return Case(lambda: find("sink", "mqtt")(identity=IDENTITY, url=broker.url), heard)
    if request.param == "jsonl":
        path = tmp_path / "results.jsonl"

        def written() -> list[int]:
            return [json.loads(line)["seq"] for line in path.read_text().splitlines()]

        return Case(lambda: find("sink", "jsonl")(identity=IDENTITY, path=str(path)), written)
    if request.param == "console":
        capsys = request.getfixturevalue("capsys")

        def shown() -> list[int]:
            lines = capsys.readouterr().out.splitlines()
            return [int(line.split("#")[1].split()[0]) for line in lines if "#" in line]

        return Case(lambda: find("sink", "console")(identity=IDENTITY, max_per_s=0.0), shown)
    if request.param == "sparkplug":
        broker = request.getfixturevalue("mosquitto")()
        listener = request.getfixturevalue("listen")(broker.url)

        def metered() -> list[int]:
            time.sleep(0.3)
            births = [
                sparkplug.decode(payload) for payload in listener.on("DBIRTH/bed-7-ward/port")
            ]
            names = (
                {metric["alias"]: metric["name"] for metric in births[0].metrics} if births else {}
            )
            data = [sparkplug.decode(payload) for payload in listener.on("DDATA/bed-7-ward/port")]
            return [
                metric["value"]
                for payload in data
                for metric in payload.metrics
                if names[metric["alias"]] == "Result/Sequence"
            ]

        options = {"url": broker.url, "state": str(tmp_path / "state")}
        return Case(
            lambda: find("sink", "sparkplug")(identity=IDENTITY, **options), metered, events=False
        )
    pytest.fail(f"sink {request.param} needs a case here")


def test_it_delivers_every_result_once_and_in_order(case: Case):
    sink = case.make()
    sink.open()
    sink.announce(INFO)
    for seq, outcome in enumerate(OUTCOMES.values()):
        assert sink.ready()
        sink.publish(result(seq, outcome))
    sink.close()

    assert case.arrived() == [
        seq
        for seq, outcome in enumerate(OUTCOMES.values())
        if case.events or not isinstance(outcome, Events)
    ]


def test_close_may_come_before_open_and_twice(case: Case):
    sink = case.make()
    sink.close()
    sink.open()
    sink.publish(result())
    sink.close()
    sink.close()

    assert case.arrived() == [0]


def test_it_may_be_opened_and_closed_without_a_result(case: Case):
    sink = case.make()
    sink.open()
    sink.close()

    assert case.arrived() == []


def test_a_result_before_open_is_an_error_and_not_a_silent_loss(case: Case):
    with pytest.raises(SinkError):
        case.make().publish(result())


@pytest.mark.parametrize("kind", KINDS)
def test_making_one_touches_nothing_and_loads_no_driver(kind: str, tmp_path):
    options = {"jsonl": {"path": str(tmp_path / "a.jsonl")}, "mqtt": {"ca_file": "none"}}
    options["mqtt"]["url"] = f"mqtts://localhost:{free_port()}"
    code = (
        "import sys, threading\n"
        "from edge_runtime.frame import Identity\n"
        "from edge_runtime.registry import find\n"
        f"find('sink', {kind!r})(identity=Identity('d', 'p'), **{options.get(kind, {})!r})\n"
        "assert 'paho' not in sys.modules and 'numpy' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_can_be_written_in_a_run_file(kind: str):
    """Options are keyword-only, of plain types, and an unknown one is named with its place."""
    cls = find("sink", kind)
    parameters = inspect.signature(cls).parameters

    assert all(item.kind is item.KEYWORD_ONLY for item in parameters.values())
    lines = ['path = "-"'] if kind == "jsonl" else []
    for name, item in parameters.items():
        if isinstance(item.default, bool):
            lines.append(f"{name} = {str(item.default).lower()}")
        elif isinstance(item.default, (int, float, str)):
            lines.append(f"{name} = {item.default!r}".replace("'", '"'))
    made = parse_toml("\n".join(lines), "run.toml").make(cls, identity=IDENTITY)
    assert isinstance(made, cls)

    with pytest.raises(ConfigError, match=r"run.toml:1: colour_: unknown key"):
        parse_toml("colour_ = 1", "run.toml").make(cls, identity=IDENTITY)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_option_is_a_line_with_file_key_and_remedy(kind: str):
    wrong = {
        "mqtt": "window = 0",
        "jsonl": 'path = ""',
        "console": "max_per_s = -1",
        "sparkplug": "rows = 0",
    }[kind]
    key = wrong.split()[0]

    with pytest.raises(ConfigError, match=f"run.toml:1: {key}: "):
        parse_toml(wrong, "run.toml").make(find("sink", kind), identity=IDENTITY)


def test_a_name_that_is_no_topic_level_is_refused_before_anything_is_published():
    with pytest.raises(BadOptionError):
        find("sink", "mqtt")(identity=Identity("a+b", "p"))
