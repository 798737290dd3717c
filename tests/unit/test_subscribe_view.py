"""What `edge-run watch` makes of messages: counts, lines, a page, a record."""

from __future__ import annotations

import json
import random
import re

import pytest

from edge_runtime.demo.ink import plain as characters
from edge_runtime.encoding import encode
from edge_runtime.errors import ConfigError
from edge_runtime.frame import BackendInfo, Identity, Info, SourceState
from edge_runtime.mqtt.message import Message
from edge_runtime.mqtt.receiver import Arrival, wanted
from edge_runtime.notices import Notices
from edge_runtime.outcome import Label, Labels
from edge_runtime.repeats import REMEMBERED, Repeats
from edge_runtime.wire import Encoder, Topics, as_historical
from edge_runtime.workbench.overview import PIPELINES_MAX, Overview, Rate
from edge_runtime.workbench.page import Heading, View, cut, fit, page, width_of
from edge_runtime.workbench.record import Player, Recorder
from edge_runtime.workbench.viewer import Viewer, json_line, text_line
from tests.devices import GAP
from tests.messages import IDENTITY, INFO, MODEL, OUTCOMES, TIME_NS, result

TOPICS, ENCODER, NOTICES = Topics(IDENTITY), Encoder(IDENTITY), Notices(IDENTITY)
EVERYTHING = wanted("edge", "+", "+")
SECOND = 10**9
EVIL = "\x1b[2J\x1b]0;title\x07 \x9b31m\r\n\x7f\u202e"
STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def arrival(topic: str, payload: bytes, time_ns: int = TIME_NS, content_type: str = "") -> Arrival:
    return Arrival(time_ns, Message(topic, payload, content_type=content_type))


def a_result(number: int = 0, time_ns: int = TIME_NS, outcome: str = "labels") -> Arrival:
    made = ENCODER.result(result(number, OUTCOMES[outcome]))
    return arrival(TOPICS.result("port"), made, time_ns)


def overview_of(*arrivals: Arrival) -> Overview:
    overview, viewer = Overview(), Viewer()
    for item in arrivals:
        overview.note(viewer.see(item))
    return overview


def shown(
    overview: Overview, width: int = 140, height: int = 40, now_ns: int = TIME_NS
) -> list[str]:
    lines = page(overview, Heading("mqtt://broker", "summary"), View(width, height, now_ns))
    return characters(lines)


def test_a_repeat_is_counted_and_not_shown():
    viewer = Viewer()

    first, again = viewer.see(a_result(1)), viewer.see(a_result(1))

    assert (viewer.results, viewer.repeats) == (1, 1)
    assert text_line(first) and json_line(first)
    assert text_line(again) is None and json_line(again) is None


def test_the_same_id_of_another_pipeline_is_no_repeat():
    viewer, other = Viewer(), Identity("bed-8", "ward")
    viewer.see(a_result(1))

    sight = viewer.see(arrival(Topics(other).result("port"), Encoder(other).result(result(1))))

    assert not sight.repeat
    assert viewer.results == 2


def test_a_malformed_message_takes_no_id_from_the_result_that_follows():
    viewer = Viewer()
    broken = json.loads(ENCODER.result(result(1)))
    del broken["model"]

    viewer.see(arrival(TOPICS.result("port"), json.dumps(broken).encode()))

    assert not viewer.see(a_result(1)).repeat
    assert (viewer.results, viewer.unreadable) == (1, 1)


def test_whatever_comes_is_counted_and_raises_nothing():
    chance, viewer, overview = random.Random(3), Viewer(), Overview()
    whole = [ENCODER.result(result(0, outcome)) for outcome in OUTCOMES.values()]
    whole += [encode(payload, "cbor") for payload in whole] + [b"online", b"", b"{}"]
    topics = [
        TOPICS.result("port"),
        TOPICS.info,
        TOPICS.status,
        TOPICS.alert,
        TOPICS.gap("port"),
        "x",
    ]
    for _ in range(3000):
        damaged = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(3) if damaged else 0):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        sight = viewer.see(arrival(chance.choice(topics), bytes(damaged)))
        overview.note(sight)
        for line in (text_line(sight), json_line(sight)):
            assert line is None or not STEERING.search(line)

    assert viewer.unreadable > 1000
    assert viewer.results + viewer.repeats > 100


def test_the_oldest_ids_are_forgotten_first():
    known = Repeats()
    for number in range(REMEMBERED + 1):
        assert not known.hear("root", str(number))

    assert known.hear("root", str(REMEMBERED))
    assert known.hear("root", "1")
    assert not known.hear("root", "0")


@pytest.mark.parametrize("encoding", ["json", "cbor", "msgpack"])
def test_a_line_of_json_is_the_document_whatever_its_encoding(encoding):
    payload = ENCODER.result(result(3, OUTCOMES["detections"]))

    line = json_line(Viewer().see(arrival(TOPICS.result("port"), encode(payload, encoding))))

    assert json.loads(line) == json.loads(payload)
    assert "Käfer" in line


def test_a_line_of_json_steers_no_terminal():
    made = result(0, Labels((Label(0, EVIL + "\x85", 0.5),)))

    line = json_line(Viewer().see(arrival(TOPICS.result("port"), ENCODER.result(made))))

    assert line.isascii() and line.isprintable()
    assert json.loads(line)["result"]["labels"][0]["label"] == EVIL + "\x85"


@pytest.mark.parametrize("width", [80, 140])
def test_nothing_that_a_message_says_steers_the_terminal(width):
    made = result(0, Labels((Label(0, EVIL, 0.5),)))._replace(
        model=MODEL._replace(name=EVIL, version=EVIL), backend=BackendInfo(EVIL, EVIL, EVIL)
    )
    info = Info(made.model, made.backend, (SourceState(EVIL, EVIL, EVIL),))
    messages = [
        arrival(TOPICS.result("port"), ENCODER.result(made)),
        arrival(TOPICS.info, ENCODER.info(info, TIME_NS, EVIL)),
        arrival(TOPICS.alert, NOTICES.alert("a", TIME_NS, EVIL, EVIL, cleared=False)),
        arrival(TOPICS.gap("port"), NOTICES.gap(GAP._replace(run=EVIL, reason=EVIL))),
        arrival(f"edge/{EVIL}/p/s/result", b"{}"),
    ]
    viewer = Viewer()

    lines = shown(overview_of(*messages), width) + [
        text_line(viewer.see(item)) for item in messages
    ]

    assert viewer.unreadable == 1
    assert not [line for line in lines if STEERING.search(line)]
    assert any("title" in line for line in lines)


def test_the_page_has_a_line_of_everything_for_each_pipeline():
    lines = shown(
        overview_of(
            arrival(TOPICS.status, b"online"),
            arrival(TOPICS.info, ENCODER.info(INFO, TIME_NS, "5")),
            *(a_result(number, TIME_NS - SECOND * (4 - number), "beats") for number in range(4)),
            arrival(TOPICS.result("port"), as_historical(ENCODER.result(result(9)))),
            a_result(2),
            arrival(TOPICS.gap("port"), NOTICES.gap(GAP)),
        ),
        now_ns=TIME_NS + 2 * SECOND,
    )

    (row,) = [line for line in lines if line.startswith("bed-7/ward  online")]
    (head,) = [line for line in lines if line.startswith("PIPELINE")]
    cells = dict(zip(head.split()[:8], row.split()[:8], strict=True))
    assert cells == {
        "PIPELINE": "bed-7/ward", "STATUS": "online", "/S": "0.8", "AGE": "2.0s",
        "RESULTS": "5", "HIST.": "1", "REPEATS": "1", "LOST": "9",
    }  # fmt: skip
    assert "beats 1.2.0  tflite/xnnpack  person 0.75" in row
    assert "  ! source file lost: gone" in lines
    assert "bed-7/ward port lost 9 results of #3..#12 (full), 09:30:00.123 to 09:30:01.123" in lines


def test_a_narrow_page_says_the_same_on_two_lines():
    lines = shown(overview_of(arrival(TOPICS.status, b"offline"), a_result()), width=80)

    row = next(number for number, line in enumerate(lines) if line.startswith("bed-7/ward"))
    assert "offline" in lines[row]
    assert lines[row + 1] == '  beats 1.2.0 on tflite/xnnpack: person 0.75, no "one"? 0.25'


@pytest.mark.parametrize("width", [1, 20, 80, 119, 120, 200])
@pytest.mark.parametrize("height", [1, 3, 7, 24])
def test_the_page_stays_within_the_terminal(width, height):
    names = [Identity(f"心電図-{number}", "ward") for number in range(30)]
    made = result(0, OUTCOMES["detections"])
    many = [arrival(Topics(name).result("port"), Encoder(name).result(made)) for name in names]
    lines = shown(overview_of(*many), width, height)

    assert len(lines) <= height
    assert max(map(width_of, lines)) <= width


def test_pipelines_that_have_no_room_are_counted():
    many = [arrival(f"edge/d{number:02}/ward/status", b"online") for number in range(30)]
    lines = shown(overview_of(*many), height=20)

    listed = [line for line in lines if re.match(r"d\d\d/ward", line)]
    assert f"and {30 - len(listed)} pipelines more" in lines


def test_no_more_pipelines_are_kept_than_anybody_has():
    flood = [arrival(f"edge/d{number}/p/status", b"online") for number in range(PIPELINES_MAX + 5)]

    overview = overview_of(*flood)

    assert len(overview.pipelines) == PIPELINES_MAX
    assert overview.unlisted == 5


def test_an_alert_stands_until_it_is_cleared():
    def alert(key: str, *, cleared: bool) -> Arrival:
        text = NOTICES.alert(key, TIME_NS, "outbox-full", "no room", cleared=cleared)
        return arrival(TOPICS.alert, text)

    assert "  ! outbox-full: no room" in shown(overview_of(alert("1", cleared=False)))
    over = shown(overview_of(alert("1", cleared=False), alert("2", cleared=True)))
    assert "  ! outbox-full: no room" not in over
    assert "bed-7/ward 09:30:00.123 over: outbox-full: no room" in over


def test_a_rate_is_that_of_the_last_whole_seconds():
    rate = Rate()
    for tenth in range(100):
        rate.count(TIME_NS + tenth * SECOND // 10)

    now_ns = TIME_NS // SECOND * SECOND + 10 * SECOND
    assert rate.at(now_ns) == pytest.approx(10.0)
    assert rate.at(now_ns + 20 * SECOND) == 0.0


@pytest.mark.parametrize(
    ("text", "width", "kept"), [("abc", 2, "ab"), ("心電図", 5, "心電"), ("e\u0301x", 1, "e\u0301")]
)
def test_texts_are_cut_by_columns(text, width, kept):
    assert cut(text, width) == kept
    assert width_of(fit(text, 9)) == 9


MIXED = [
    arrival(TOPICS.status, b"online", TIME_NS),
    arrival(
        TOPICS.info,
        encode(ENCODER.info(INFO, TIME_NS, "5"), "cbor"),
        TIME_NS + 5,
        "application/cbor",
    ),
    a_result(1, TIME_NS + 6),
    arrival(TOPICS.result("port"), encode(ENCODER.result(result(2)), "msgpack"), TIME_NS + 7),
    arrival(TOPICS.result("port"), b'{"not":\n"ours"}', TIME_NS + 8),
    arrival(TOPICS.result("port"), b"\xff\x00\xfe", TIME_NS + 9),
    arrival(TOPICS.result("port"), "Käfer \x1b \ud7ff".encode(), TIME_NS + 10),
    arrival(TOPICS.result("port"), b"", TIME_NS + 11),
    a_result(1, TIME_NS + 12),
]


def recorded(path, arrivals) -> None:
    recorder, viewer = Recorder(path), Viewer()
    for item in arrivals:
        recorder.keep(viewer.see(item))
    recorder.close()


def played(path, topics=EVERYTHING) -> list[Arrival]:
    player, arrivals = Player(path, topics, 0.0), []
    while not player.ended:
        arrivals += player.take(1.0)
    player.close()
    return arrivals


def test_a_record_holds_every_message_as_it_was(tmp_path):
    recorded(tmp_path / "r.jsonl", MIXED)

    again = played(tmp_path / "r.jsonl")

    viewers = Viewer(), Viewer()
    for before, after in zip(MIXED, again, strict=True):
        assert after.time_ns == before.time_ns
        assert after.message._replace(payload=b"") == before.message._replace(payload=b"")
        first, second = viewers[0].see(before), viewers[1].see(after)
        assert (first.event, first.document) == (second.event, second.document)
    assert (
        viewers[0].summary
        == viewers[1].summary
        == "2 results, 1 repeat left out, 4 unreadable messages"
    )


def test_a_record_is_json_in_which_documents_can_be_read(tmp_path):
    recorded(tmp_path / "r.jsonl", MIXED)

    entries = [json.loads(line) for line in (tmp_path / "r.jsonl").read_bytes().splitlines()]

    assert entries[0]["payload"] == "online"
    assert entries[2]["payload"]["result"]["labels"][0]["label"] == "person"
    assert entries[2]["time"] == "2026-11-21T09:30:00.123456795Z"
    assert "base64" in entries[3]


def test_a_line_that_a_power_cut_left_half_costs_that_line_alone(tmp_path):
    recorded(tmp_path / "r.jsonl", [a_result(number) for number in range(5)])
    whole = (tmp_path / "r.jsonl").read_bytes()
    (tmp_path / "r.jsonl").write_bytes(whole[:-40])

    assert len(played(tmp_path / "r.jsonl")) == 4


def test_each_message_is_in_the_file_before_the_next_one_comes(tmp_path):
    recorder = Recorder(tmp_path / "r.jsonl")

    for number in range(1, 4):
        recorder.keep(Viewer().see(a_result(number)))
        assert (tmp_path / "r.jsonl").read_bytes().count(b"\n") == number
    recorder.close()


def test_a_record_is_played_at_its_own_speed_or_a_faster_one(tmp_path):
    import time

    recorded(
        tmp_path / "r.jsonl", [a_result(number, TIME_NS + number * SECOND) for number in range(3)]
    )
    player = Player(tmp_path / "r.jsonl", EVERYTHING, 20.0)
    began, came = time.monotonic(), []
    while not player.ended:
        taken = player.take(0.5)
        came += [time.monotonic() - began] * len(taken)
    player.close()

    assert len(came) == 3
    assert came[1] >= 0.05
    assert 0.1 <= came[2] < 5


def test_a_record_waits_no_longer_than_it_is_asked_to(tmp_path):
    import time

    recorded(tmp_path / "r.jsonl", [a_result(1, TIME_NS), a_result(2, TIME_NS + 3600 * SECOND)])
    player = Player(tmp_path / "r.jsonl", EVERYTHING, 1.0)
    began = time.monotonic()

    assert [len(player.take(0.05)), len(player.take(0.05))] == [1, 0]
    player.close()

    assert time.monotonic() - began < 1.0
    assert not player.ended


def test_only_the_wanted_topics_of_a_record_are_played(tmp_path):
    other = Identity("bed-8", "ward")
    foreign = arrival(Topics(other).result("port"), Encoder(other).result(result(1)))
    recorded(tmp_path / "r.jsonl", [a_result(1), foreign])

    (only,) = played(tmp_path / "r.jsonl", wanted("edge", "bed-8", "+"))

    assert only.message.topic == foreign.message.topic


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    (tmp_path / "r.jsonl").write_text("mine")

    with pytest.raises(ConfigError, match="is already there|is there already"):
        Recorder(tmp_path / "r.jsonl")
    assert (tmp_path / "r.jsonl").read_text() == "mine"


@pytest.mark.parametrize("text", ["no record\n", "{}\n", '{"time":1}\n[]\n', "\xff" * 9])
def test_a_file_that_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "r.jsonl").write_text(text)

    with pytest.raises(ConfigError, match="is no record of edge-run watch"):
        Player(tmp_path / "r.jsonl", EVERYTHING, 0.0)


def test_a_record_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--replay: .*: No such file"):
        Player(tmp_path / "none", EVERYTHING, 0.0)
