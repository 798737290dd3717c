from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterable
from typing import Any

import pytest

from edge_runtime import build
from edge_runtime.config import from_table
from edge_runtime.errors import BadOptionError, MissingExtraError
from edge_runtime.frame import Identity, Info, SourceState
from edge_runtime.outcome import Beat, Beats, Label, Labels, Outcome
from edge_runtime.sinks.sparkplug import Sparkplug
from edge_runtime.sparkplug import payload
from edge_runtime.sparkplug.counter import Counter
from edge_runtime.sparkplug.host import PrimaryHost
from edge_runtime.sparkplug.metrics import LABELS_MAX, of_node, of_results
from edge_runtime.sparkplug.node import Node, Outgoing
from edge_runtime.sparkplug.payload import Metric, Type, encode, wants_rebirth
from edge_runtime.sparkplug.waiting import Waiting, late
from edge_runtime.tables import parse_toml

from ..messages import BACKEND, IDENTITY, MODEL, OUTCOMES, TIME_NS, result
from ..needs import ROOT
from ..sparkplug import BOOLEAN, DATE_TIME, DOUBLE, INT64, STRING, UINT32, Payload, command, decode

NOW_MS = 1_800_000_000_000
CAPTURED_MS = TIME_NS // 1_000_000


def node() -> Node:
    return Node("hall", "n1", lambda: NOW_MS)


def info(task: str = "", *labels: str, **states: str) -> Info:
    sources = tuple(
        SourceState(name, state) for name, state in (states or {"port": "live"}).items()
    )
    return Info(MODEL, BACKEND, sources, task, labels)


def sent(messages: Iterable[Outgoing]) -> list[tuple[str, Payload]]:
    return [(topic.removeprefix("spBv1.0/hall/"), decode(payload)) for topic, payload in messages]


def born(task: str = "", *labels: str, **states: str) -> tuple[Node, Payload]:
    """A node after its birth, and the DBIRTH of its first device."""
    made = node()
    _, (_, birth) = sent(made.births(info(task, *labels, **states), 0))[:2]
    return made, birth


def said(made: Node, birth: Payload, outcome: Outcome, seq: int = 0) -> dict[str, Any]:
    """What a result's DDATA says, by the names that the birth gave to the aliases."""
    names = {metric["alias"]: metric["name"] for metric in birth.metrics}
    messages = sent(made.data(result(seq, outcome), historical=False))
    ((topic, payload),) = messages
    assert topic == "DDATA/n1/port"
    assert all(metric["name"] is None for metric in payload.metrics)
    return {names[metric["alias"]]: metric["value"] for metric in payload.metrics}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Type.INT64, -5),
        (Type.INT64, 2**63 - 1),
        (Type.UINT32, 2**32 - 1),
        (Type.UINT32, 0),
        (Type.DOUBLE, -1.5e300),
        (Type.BOOLEAN, False),
        (Type.STRING, "Käfer 😀"),
        (Type.STRING, ""),
        (Type.DATE_TIME, NOW_MS),
    ],
)
def test_a_value_is_read_back_as_it_was(kind: Type, value: Any):
    payload = decode(encode((Metric("m", kind, value, 7, 3),), 9, 255))

    assert payload.metrics == [
        {
            "name": "m",
            "alias": 3,
            "timestamp": 7,
            "datatype": int(kind),
            "is_historical": False,
            "is_null": False,
            "value": value,
        }
    ]
    assert (payload.timestamp, payload.seq) == (9, 255)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_null(value):
    (metric,) = decode(encode((Metric("m", Type.DOUBLE, value, 7),), 9, 0)).metrics
    assert metric["is_null"]


def test_what_is_not_unicode_is_said_without_it():
    made = node()
    odd = info("classification", "a\udcff")._replace(backend=BACKEND._replace(degraded="b\udcff"))
    (_, birth), (_, device) = sent(made.births(odd, 0))

    assert birth.values()["Backend/Degraded"] == "b?"
    assert "Scores/a?" in device.values()


def test_a_death_has_the_birth_number_and_no_sequence_number():
    death = decode(node().death(77))
    (metric,) = death.metrics

    assert death.seq is None
    assert (metric["name"], metric["datatype"], metric["value"]) == ("bdSeq", INT64, 77)


def test_a_birth_of_the_node_comes_first_and_names_everything():
    (topic, birth), (device_topic, device) = sent(node().births(info(), 5))
    by_name = {metric["name"]: metric for metric in birth.metrics}

    assert (topic, device_topic) == ("NBIRTH/n1", "DBIRTH/n1/port")
    assert (birth.seq, device.seq) == (0, 1)
    assert birth.timestamp == NOW_MS
    assert (by_name["bdSeq"]["value"], by_name["bdSeq"]["datatype"]) == (5, INT64)
    rebirth = by_name["Node Control/Rebirth"]
    assert (rebirth["value"], rebirth["datatype"], rebirth["alias"]) == (False, BOOLEAN, None)
    assert by_name["Model/Version"]["value"] == "1.2.0"
    assert by_name["Backend/Degraded"]["value"] == ""
    assert all(metric["timestamp"] for metric in birth.metrics + device.metrics)


def test_no_alias_stands_twice_in_a_node():
    births = sent(node().births(info("beats", "N", "V", a="live", b="live"), 0))
    aliases = [metric["alias"] for _, birth in births for metric in birth.metrics]
    aliases.remove(None)  # of the rebirth command

    assert len(births) == 3
    assert None not in aliases
    assert len(aliases) == len(set(aliases))


def test_a_device_is_null_before_its_first_result_and_itself_after():
    made, birth = born("classification", "person")
    assert set(birth.values().values()) == {None}

    said(made, birth, Labels((Label(0, "person", 0.75),)))

    again = dict(sent(made.births(info("classification", "person"), 0)))["DBIRTH/n1/port"]
    assert again.values()["Scores/person"] == 0.75
    assert again.values()["Label"] == "person"
    by_name = {metric["name"]: metric for metric in again.metrics}
    assert by_name["Label"]["timestamp"] == CAPTURED_MS
    assert not by_name["Label"]["is_historical"]


def test_data_says_what_has_changed_and_nothing_else():
    made, birth = born("classification", "person", "cat")
    first = said(made, birth, Labels((Label(0, "person", 0.75), Label(1, "cat", 0.25))))
    second = said(made, birth, Labels((Label(0, "person", 0.5), Label(1, "cat", 0.25))), seq=1)

    assert first["Scores/cat"] == 0.25
    assert first["Label"] == "person"
    assert first["Result/Sequence"] == 0
    assert set(second) == {"Result/Id", "Result/Sequence", "Score", "Scores/person"}


def test_a_label_that_is_not_among_the_best_has_no_score():
    made, birth = born("classification", "person", "cat")
    said(made, birth, Labels((Label(1, "cat", 0.9), Label(0, "person", 0.1))))
    assert said(made, birth, Labels((Label(1, "cat", 0.9),)), seq=1)["Scores/person"] is None


def test_heads_have_folders_of_their_own():
    heads = {"rhythm": ("sinus", "af"), "find/ings": ("MI",)}
    made = node()
    _, (_, birth) = sent(made.births(info("classification")._replace(heads=heads), 0))[:2]

    values = said(made, birth, OUTCOMES["heads"])

    assert values.keys() >= {"Heads/rhythm/Scores/sinus", "Heads/find%2Fings/Score"}
    assert values["Heads/rhythm/Label"] == "af"
    assert values["Heads/rhythm/Scores/sinus"] is None
    assert values["Heads/find%2Fings/Scores/MI"] == 0.75
    assert "Label" not in birth.values()


def test_detections_are_counted_by_label():
    made, birth = born("detection", "Käfer", "a/b")
    values = said(made, birth, OUTCOMES["detections"])

    assert {"Count": 1, "Counts/Käfer": 1, "Label": "Käfer", "Score": 0.5}.items() <= values.items()
    assert values["Counts/a%2Fb"] == 0
    nothing = said(made, birth, OUTCOMES["nothing found"], seq=1)
    assert (nothing["Count"], nothing["Counts/Käfer"], nothing["Label"]) == (0, 0, None)


def test_beats_are_a_heart_rate_each_at_its_own_time():
    made, birth = born("beats", "N", "V")
    names = {metric["alias"]: metric["name"] for metric in birth.metrics}
    beats = Beats(
        (Beat(0, "N", 0.9, TIME_NS - 10**9, 0.8, 75.0), Beat(1, "V", 0.6, TIME_NS, 0.5, 100.0))
    )
    ((_, payload),) = sent(made.data(result(0, beats), historical=False))
    rates = [m for m in payload.metrics if names[m["alias"]] == "Heart rate bpm"]

    assert [(m["value"], m["timestamp"]) for m in rates] == [
        (75.0, CAPTURED_MS - 1000),
        (100.0, CAPTURED_MS),
    ]
    times = [metric["timestamp"] for metric in payload.metrics]
    assert times == sorted(times)  # data-publish-dbirth-order


def test_a_pose_is_the_mean_of_its_scores():
    made, birth = born("keypoints")
    assert said(made, birth, OUTCOMES["keypoints"])["Score"] == 0.375


@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("task", ["classification", "detection", "beats", "keypoints", "tensors"])
def test_every_result_can_be_said_whatever_was_announced(task: str, name: str):
    made, birth = born(task, "person", "N")
    values = said(made, birth, OUTCOMES[name])
    assert values["Result/Id"] == "boot-port-0"
    assert values["Latency/Inference ms"] == 3.0


def test_types_are_those_of_the_specification():
    _, birth = born("beats", "N")
    types = {metric["name"]: metric["datatype"] for metric in birth.metrics}
    _, detection = born("detection", "N")

    assert types["Time"] == DATE_TIME
    assert types["Heart rate bpm"] == DOUBLE
    assert types["Label"] == STRING
    assert {m["datatype"] for m in detection.metrics if "Count" in m["name"]} == {UINT32}


def test_only_so_many_labels_get_a_metric():
    made, birth = born("classification", *map(str, range(LABELS_MAX + 1)))
    assert sum("Scores/" in metric["name"] for metric in birth.metrics) == LABELS_MAX
    assert said(made, birth, Labels((Label(LABELS_MAX, str(LABELS_MAX), 0.5),)))["Score"] == 0.5


def test_sequence_numbers_go_from_255_to_0():
    made, _ = born()
    seqs = [
        payload.seq
        for seq in range(600)
        for _, payload in sent(made.data(result(seq), historical=False))
    ]
    assert seqs == [(2 + number) % 256 for number in range(600)]


def test_a_rebirth_begins_again_at_0_with_the_same_birth_number():
    made, _ = born()
    list(made.data(result(), historical=False))
    (topic, birth), (_, device) = sent(made.births(info(), 0))

    assert (topic, birth.seq, device.seq) == ("NBIRTH/n1", 0, 1)
    assert birth.values()["bdSeq"] == 0


def test_a_late_result_is_historical_whole_and_changes_no_present_value():
    made, birth = born("classification", "person")
    old, new = Labels((Label(0, "person", 0.1),)), Labels((Label(0, "person", 0.9),))
    said(made, birth, new)
    ((_, payload),) = sent(made.data(result(1, old), historical=True))

    assert all(metric["is_historical"] for metric in payload.metrics)
    assert len(payload.metrics) == len(birth.metrics)
    assert "Scores/person" not in said(made, birth, new, seq=2)


def test_a_source_that_is_lost_dies_and_one_that_comes_back_is_born():
    made, _ = born("", a="live", b="live")

    death = sent(made.update(info("", a="lost", b="live"), 0))
    again = sent(made.update(info("", a="live", b="live"), 0))

    assert [(topic, payload.seq) for topic, payload in death] == [("DDEATH/n1/a", 3)]
    assert death[0][1].metrics == []
    assert death[0][1].timestamp == NOW_MS
    assert [(topic, payload.seq) for topic, payload in again] == [("DBIRTH/n1/a", 4)]


@pytest.mark.parametrize("state", ["opening", "lost", "lead-off"])
def test_a_source_that_is_not_live_is_not_born(state: str):
    assert [topic for topic, _ in sent(node().births(info("", port=state), 0))] == ["NBIRTH/n1"]


def test_a_source_is_born_before_its_first_result():
    made = node()
    list(made.births(info("", port="opening"), 0))
    messages = sent(made.data(result(), historical=False))
    assert [topic for topic, _ in messages] == ["DBIRTH/n1/port", "DDATA/n1/port"]


def test_a_recording_that_has_ended_lives_on_for_its_last_results():
    made, _ = born("", port="live")
    assert not list(made.update(info("", port="ended"), 0))
    messages = sent(made.data(result(), historical=False))
    assert [topic for topic, _ in messages] == ["DDATA/n1/port"]


def test_a_result_that_was_on_its_way_when_its_source_was_lost_is_said_in_between():
    made, _ = born("", port="live")
    list(made.update(info("", port="lost"), 0))
    messages = sent(made.data(result(), historical=False))
    topics = [topic for topic, _ in messages]
    assert topics == ["DBIRTH/n1/port", "DDATA/n1/port", "DDEATH/n1/port"]


def test_another_model_is_a_new_birth_of_everything():
    made, _ = born("classification", "person")
    other = info("classification", "cat")._replace(model=MODEL._replace(version="2.0.0"))
    (topic, birth), (_, device) = sent(made.update(other, 3))

    assert (topic, birth.seq) == ("NBIRTH/n1", 0)
    assert (birth.values()["Model/Version"], birth.values()["bdSeq"]) == ("2.0.0", 3)
    assert "Scores/cat" in device.values()
    assert "Scores/person" not in device.values()


def test_a_rebirth_is_asked_for_by_name_and_with_true():
    assert wants_rebirth(command("Node Control/Rebirth"))
    assert not wants_rebirth(command("Node Control/Rebirth", value=False))
    assert not wants_rebirth(command("Node Control/Reboot"))


@pytest.mark.parametrize("payload", [b"", b"\xff", b"rebirth", b"\x12\x05", b"\x0a" * 40])
def test_what_is_no_command_asks_for_nothing(payload: bytes):
    assert not wants_rebirth(payload)


def test_the_primary_host_is_online_when_its_newest_word_says_so():
    host = PrimaryHost("scada")
    heard = []
    for word in (
        b'{"online": true, "timestamp": 100}',
        b'{"online": false, "timestamp": 99}',  # of before: a will that comes late
        b"OFFLINE",
        b"[]",
        b'{"online": "no", "timestamp": 200}',
        b'{"online": false}',
        b"\xff",
        b'{"online": false, "timestamp": 100}',
        b'{"online": true, "timestamp": 101}',
    ):
        host.hear(word)
        heard.append(host.online)

    assert heard == [True] * 7 + [False, True]
    assert host.topic == "spBv1.0/STATE/scada"
    host.forget()
    assert not host.online


def test_without_a_primary_host_nobody_is_waited_for():
    host = PrimaryHost("")
    host.forget()
    assert host.online
    assert host.topic == ""


def test_birth_numbers_go_on_after_a_restart_and_from_255_to_0(tmp_path):
    first = Counter(tmp_path / "a" / "b", "g", "n")
    assert [first.advance() for _ in range(2)] == [0, 1]
    assert Counter(tmp_path / "a" / "b", "g", "n").advance() == 2
    assert Counter(tmp_path / "a" / "b", "g", "other").advance() == 0

    numbers = [first.advance() for _ in range(255)]
    assert numbers[-2:] == [255, 0]


@pytest.mark.parametrize("content", [b"", b"x\n", b"\xff\xfe"])
def test_a_damaged_birth_number_begins_again(tmp_path, content: bytes, caplog):
    Counter(tmp_path, "g", "n").advance()
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(content)

    assert Counter(tmp_path, "g", "n").advance() == 0
    assert "begin again at 0" in caplog.text


def test_the_oldest_results_go_when_too_many_wait():
    waiting = Waiting(2)
    results = [result(seq) for seq in range(4)]
    for item in results[:3]:
        waiting.put(item)

    assert (len(waiting), waiting.dropped, waiting.full) == (2, 1, True)
    row = waiting.take()
    assert row is not None
    assert row[0] is results[1]
    waiting.put_back(row)
    assert waiting.take() == row
    waiting.put(results[3])
    waiting.put_back(row)
    assert waiting.dropped == 2
    assert [waiting.take()[0].seq for _ in range(2)] == [2, 3]
    assert waiting.take() is None


def test_a_result_is_late_after_two_seconds():
    assert late(time.monotonic_ns() - 2_100_000_000)
    assert not late(time.monotonic_ns() - 1_000_000_000)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("group", "a/b"),
        ("node", "#"),
        ("primary_host", "+"),
        ("rows", 0),
        ("keepalive_s", 0),
        ("drain_s", -1.0),
        ("url", "mqtt://far.example:1883"),
    ],
)
def test_impossible_options_are_refused(key: str, wrong: Any):
    with pytest.raises(BadOptionError) as caught:
        Sparkplug(identity=IDENTITY, **{key: wrong})
    assert caught.value.key == key


def test_a_missing_extra_is_named(monkeypatch):
    payload._message.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(MissingExtraError, match=r"sink sparkplug needs the \[sparkplug\] extra"):
        payload.load()


def test_the_node_of_a_pipeline_is_named_after_it(tmp_path):
    sink = Sparkplug(identity=Identity("bed-7", "ward"), state=str(tmp_path))
    assert sink._node == "bed-7-ward"
    assert list(tmp_path.iterdir()) == []


def test_the_run_file_of_the_page_is_one():
    page = (ROOT / "docs/sparkplug.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    config = from_table(parse_toml(text, "page.toml"), {"EDGE_RUN_SPARKPLUG_PASSWORD": "x"})
    (sink,) = build.sinks(config)

    assert isinstance(sink, Sparkplug)


def test_the_page_names_every_metric():
    page = (ROOT / "docs/sparkplug.md").read_text()
    for task in ("classification", "detection", "beats", "keypoints"):
        names = {*of_node(info()), *of_results(info(task))}
        assert [name for name in names if f"`{name}`" not in page] == []
