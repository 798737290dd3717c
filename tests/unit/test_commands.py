"""The rules that a command has to pass, one by one, and what is written of each."""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import time

import pytest

from edge_runtime.commands import audit, ledger
from edge_runtime.commands.bucket import Bucket
from edge_runtime.commands.commands import WRITTEN_NS, Commands
from edge_runtime.commands.options import CommandOptions, read_key
from edge_runtime.commands.request import encode
from edge_runtime.commands.verbs import Verb, standard
from edge_runtime.errors import BadOptionError, ConfigError, EdgeRunError
from edge_runtime.frame import Identity
from edge_runtime.mqtt.message import Message
from edge_runtime.tables import read_toml
from edge_runtime.times import rfc3339

from ..needs import program
from .commands_kit import (
    IDENTITY,
    KEY,
    SECOND_NS,
    TOPIC,
    Bench,
    command,
    letter,
    read_lines,
    signed,
)


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def in_s(seconds: float) -> str:
    return rfc3339(time.time_ns() + int(seconds * SECOND_NS))


def without(payload: bytes, key: str) -> bytes:
    document = json.loads(payload)
    del document[key]
    return json.dumps(document).encode()


def changed(payload: bytes, **parts) -> bytes:
    return json.dumps({**json.loads(payload), **parts}).encode()


def test_a_signed_command_runs_once_and_is_answered_and_logged(bench):
    given = letter(args={"n": 3})

    (post,) = bench.send(signed(given))

    assert bench.ran == [{"n": 3}]
    assert post.topic == f"{TOPIC}/mark/response"
    assert post.retain is False
    assert json.loads(post.payload) == {
        "device": "bed-7",
        "pipeline": "ward",
        "verb": "mark",
        "id": given.id,
        "accepted": True,
        "answer": {"marks": 1},
    }
    (line,) = bench.audit
    assert (line["verb"], line["id"], line["counter"], line["accepted"]) == (
        "mark",
        given.id,
        given.counter,
        True,
    )
    assert line["time"].endswith("Z")


OTHER = Identity("bed-8", "ward")
REFUSED = {
    "wrong device": (lambda: signed(letter(), identity=OTHER), "wrong-signature"),
    "wrong pipeline": (
        lambda: signed(letter(), identity=Identity("bed-7", "icu")),
        "wrong-signature",
    ),
    "signed for another verb": (lambda: signed(letter(), "look"), "wrong-signature"),
    "wrong key": (lambda: signed(letter(), key=bytes(32)), "wrong-signature"),
    "altered args": (lambda: changed(command(args={"n": 1}), args={"n": 2}), "wrong-signature"),
    "altered id": (lambda: changed(command(), id="other"), "wrong-signature"),
    "altered counter": (lambda: changed(command(), counter=2**62), "wrong-signature"),
    "altered expiry": (lambda: changed(command(), expires=in_s(31)), "wrong-signature"),
    "half a signature": (lambda: changed(command(), signature="ab"), "wrong-signature"),
    "a signature of no letters": (
        lambda: changed(command(), signature="\ud800"),
        "wrong-signature",
    ),
    "unsigned": (lambda: without(command(), "signature"), "unsigned"),
    "an empty signature": (lambda: changed(command(), signature=""), "unsigned"),
    "expired": (lambda: command(expires=in_s(-0.001)), "expired"),
    "valid for too long": (lambda: command(expires=in_s(61)), "expires-late"),
    "too large": (lambda: command(args={"n": "x" * 4096}), "too-large"),
    "an argument that nobody knows": (lambda: command(args={"m": 1}), "malformed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_m13_a_command_that_breaks_a_rule_is_refused_with_its_reason_and_logged(bench, case):
    make, reason = REFUSED[case]

    assert bench.why(make()) == reason

    assert bench.ran == []
    (line,) = bench.audit
    assert line["accepted"] is False
    assert line["reason"] == reason
    assert bench.commands.refused == {reason: 1}
    assert bench.commands.accepted == 0


def test_m13_a_command_that_was_had_before_is_refused_in_this_run_and_in_the_next(bench):
    payload = command()

    assert bench.why(payload) == ""
    assert bench.why(payload) == "replayed"
    bench.start()
    assert bench.why(payload) == "replayed"

    assert len(bench.ran) == 1


def test_m13_an_older_command_that_never_came_is_refused_after_a_newer_one(bench):
    older, newer = command(), command()

    assert bench.why(newer) == ""
    assert bench.why(older) == "replayed"


def test_m13_an_id_that_was_had_is_refused_with_a_new_counter_also_after_a_restart(bench):
    assert bench.why(command(id="same")) == ""
    assert bench.why(command(id="same")) == "duplicate-id"
    bench.start()
    assert bench.why(command(id="same")) == "duplicate-id"
    assert bench.why(command(id="new")) == ""

    assert len(bench.ran) == 2


def test_ids_are_remembered_for_the_last_64_commands(tmp_path):
    book = ledger.Ledger(tmp_path)
    for number in range(1, 66):
        book.enter(letter(id=f"id-{number}", counter=number), 0)

    for remembered in (book, ledger.Ledger(tmp_path)):
        assert remembered.refusal(letter(id="id-2", counter=66)) == "duplicate-id"
        assert remembered.refusal(letter(id="id-1", counter=66)) == ""
        assert remembered.refusal(letter(id="id-1", counter=65)) == "replayed"


def test_a_refused_command_uses_up_neither_its_counter_nor_its_id(bench):
    given = letter()

    assert bench.why(signed(given, key=bytes(32))) == "wrong-signature"
    assert bench.why(signed(given)) == ""


def test_m12_a_retained_command_is_ignored_without_an_answer(bench):
    payload = command()

    for _ in range(70):
        assert bench.send(payload, retained=True) == []

    assert bench.ran == []
    assert bench.commands.refused == {"retained": 70}
    assert bench.why(payload) == "", "the retained ones used up what the live one needs"


def test_a_verb_that_is_not_listed_is_refused_though_the_program_knows_it(bench):
    assert bench.why(command("other"), "other") == "verb-not-allowed"
    assert bench.why(command("MARK"), "MARK") == "verb-not-allowed"
    assert bench.ran == []


@pytest.mark.parametrize(
    "topic",
    [
        f"{TOPIC}",
        f"{TOPIC}/mark/response",
        "edge/bed-8/ward/command/mark",
        "mark",
        "",
        f"x{TOPIC}/mark",
    ],
)
def test_what_came_for_somebody_else_is_none_of_its_business(bench, topic):
    assert list(bench.commands.hear(Message(topic, command()))) == []
    assert bench.ran == []
    assert not bench.commands.refused


def test_no_verbs_means_no_subscription_and_no_file(tmp_path):
    commands = Commands(IDENTITY, CommandOptions(()), {}, tmp_path / "state")
    commands.open()

    assert commands.filters == ()
    assert list(commands.hear(Message(f"{TOPIC}/mark", command()))) == []
    commands.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_obeyed_before_the_key_was_read(bench):
    commands = Commands(
        IDENTITY, bench.options, dict.fromkeys(("mark", "look"), Verb(bench._mark)), bench.folder
    )

    assert list(commands.hear(Message(f"{TOPIC}/mark", signed(letter(), key=b"")))) == []
    assert bench.ran == []


def test_unsigned_commands_run_only_where_the_run_file_permits_them(tmp_path):
    bench = Bench(tmp_path, signed=False)

    assert bench.why(encode(letter(), "")) == ""
    assert bench.why(without(command(), "args")) == ""
    assert len(bench.ran) == 2


# --- clock


def test_a_clock_that_was_never_set_lets_only_reading_pass(bench):
    bench.now_ns = WRITTEN_NS - 1
    expired = "1971-01-01T00:00:00Z"

    assert bench.why(command(expires=expired)) == "clock-untrusted"
    assert bench.why(command("look", expires=expired), "look") == ""

    bench.now_ns = WRITTEN_NS
    assert bench.why(command(expires=rfc3339(WRITTEN_NS + SECOND_NS))) == ""


def test_a_clock_that_was_set_back_is_not_trusted_also_after_a_restart(bench):
    assert bench.why(command()) == ""
    before_ns = time.time_ns() - 90 * SECOND_NS
    bench.now_ns = before_ns
    bench.start()

    assert bench.why(command(expires=rfc3339(before_ns + SECOND_NS))) == "clock-untrusted"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2026-11-21T09:30:00Z", 0),
        ("2026-11-21t09:30:00.5z", 0.5),
        ("2026-11-21T11:30:00.000000001+02:00", 1e-9),
        ("2026-11-21T05:00:01-04:30", 1),
    ],
)
def test_every_way_to_write_a_time_is_understood(written, seconds):
    base_ns = 1_795_253_400 * SECOND_NS

    assert letter(expires=written).expires_ns == base_ns + round(seconds * SECOND_NS)


# --- form


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\xff", b"null", b"[]", b"7", b'"x"', b"{", b"{}", b"[" * 4000, b"\xef\xbb\xbf{}",
        '{"id":"a"}'.encode("utf-16"), b"1" * 4000, b"NaN",
    ],
)  # fmt: skip
def test_bytes_that_are_no_command_are_malformed(bench, payload):
    assert bench.why(payload) == "malformed"


@pytest.mark.parametrize(
    "parts",
    [
        {"id": ""}, {"id": "x" * 65}, {"id": "a b"}, {"id": "ä"}, {"id": 7}, {"id": None},
        {"counter": 0}, {"counter": -1}, {"counter": 2**63}, {"counter": 1.5}, {"counter": True},
        {"counter": "1"}, {"counter": 1e3},
        {"expires": "2026-11-21"}, {"expires": "2026-13-01T00:00:00Z"}, {"expires": 1},
        {"expires": "2026-11-21T09:30:00"}, {"expires": "2026-11-21T09:30:00.1234567890Z"},
        {"expires": "٢٠٢٦-11-21T09:30:00Z"},
        {"args": []}, {"args": None}, {"args": {"n": 0.5}}, {"args": {"n": 2**53}},
        {"args": {"n": {"ä": 1}}}, {"args": {"n": "\ud800"}}, {"args": {"n": [1e400]}},
        {"args": {"n": [[[[[[[[[1]]]]]]]]]}},
        {"signature": 7}, {"signature": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_part_that_is_not_what_it_has_to_be_is_malformed(bench, parts):
    assert bench.why(changed(command(), **parts)) == "malformed"


@pytest.mark.parametrize("key", ["id", "counter", "expires"])
def test_a_part_that_is_missing_is_malformed(bench, key):
    assert bench.why(without(command(), key)) == "malformed"


def test_a_key_that_stands_twice_is_malformed_as_readers_differ_on_which_counts(bench):
    payload = command().replace(b'"args": {}', b'"args": {"n": 1}, "args": {}')

    assert bench.why(payload) == "malformed"


def test_openssl_makes_the_same_signature(bench):
    """The recipe of docs/commands.md for programs in other languages."""
    given = letter(args={"n": ['Käfer "1"\n\u2028 \\', {"b": None, "a": -5}, True]})
    text = (
        f'["edge-run command 1","bed-7","ward","mark","{given.id}",{given.counter},'
        f'"{given.expires}",{{"n":["Käfer \\"1\\"\\n\u2028 \\\\",{{"a":-5,"b":null}},true]}}]'
    )
    words = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KEY.hex()}", "-r"]
    done = subprocess.run(
        [program("openssl", "openssl"), *words],
        input=text.encode(),
        capture_output=True,
        check=True,
    )

    assert bench.why(encode(given, done.stdout.split()[0].decode())) == ""


# --- answers


@pytest.mark.parametrize(
    "topic", [f"{TOPIC}/mark/response/console-1", f"{TOPIC}/mark/response", "reply/console-1"]
)
def test_an_answer_goes_where_it_was_asked_for_with_its_correlation(bench, topic):
    (post,) = bench.send(command(), response_topic=topic, correlation=b"\x00\xff")

    assert (post.topic, post.correlation) == (topic, b"\x00\xff")


@pytest.mark.parametrize(
    "topic",
    [
        "edge/bed-8/ward/status", "edge/bed-7/ward/status", "edge/bed-7/ward/port/result",
        "edge/bed-7/ward/command/stop", f"{TOPIC}/mark/responses", f"{TOPIC}/look/response",
        "reply", "reply/+", "reply/#", "reply//x", "reply/\x00", "$SYS/x", "homeassistant/x",
        "reply/" + "x" * 300, "reply/" + "/".join("x" * 200), "replying/x",
    ],
)  # fmt: skip
def test_an_answer_is_no_way_to_write_into_foreign_topics(bench, topic):
    (post,) = bench.send(command(), response_topic=topic, correlation=b"c")

    assert (post.topic, post.correlation) == (f"{TOPIC}/mark/response", b"c")


def test_correlation_data_of_any_size_is_not_sent_back(bench):
    (post,) = bench.send(command(), correlation=b"c" * 257)

    assert post.correlation == b""


def test_a_prefix_that_is_called_reply_is_not_open_to_all(tmp_path):
    bench = Bench(tmp_path)
    commands = Commands(
        IDENTITY,
        bench.options,
        dict.fromkeys(("mark", "look"), Verb(bench._mark)),
        bench.folder,
        prefix="reply/site",
    )
    commands.open()
    root = "reply/site/bed-7/ward/command"
    foreign = "reply/site/bed-8/ward/status"

    (post,) = commands.hear(Message(f"{root}/mark", command(), response_topic=foreign))

    assert post.topic == f"{root}/mark/response"


def test_a_verb_that_fails_is_answered_and_logged_and_not_run_again(tmp_path):
    bench = Bench(tmp_path)
    given = command()

    def fail(args):
        raise EdgeRunError("no")

    bench.commands._verbs = {"mark": Verb(fail)}

    assert bench.why(given) == "failed"
    assert [line.get("failed") for line in bench.audit] == [None, "no"]
    assert bench.why(given) == "replayed"


def test_what_a_sender_says_of_itself_is_kept_as_a_claim_and_cut_short(bench):
    bench.send(command(), user=(("sender", "eve\n" * 1000), *((str(n), "x") for n in range(99))))

    claims = bench.audit[0]["claims"]
    assert len(claims) == 4
    assert claims["sender"] == ("eve\n" * 16)


# --- floods


def test_a_flood_costs_little_is_not_answered_and_does_not_fill_the_log(bench, caplog):
    payload = command(expires=in_s(-1))

    began = time.process_time()
    posts = list(itertools.chain.from_iterable(bench.send(payload) for _ in range(10_000)))
    took_s = time.process_time() - began
    bench.commands.close()

    assert took_s < 1.0
    assert len(posts) == 5
    assert bench.commands.refused == {"expired": 5, "too-many": 9_995}
    assert [(line.get("reason"), line.get("more")) for line in bench.audit] == [
        ("expired", None),
        ("too-many", None),
        (None, {"expired": 4, "too-many": 9_994}),
    ]
    assert len(caplog.records) == 2


def test_large_messages_are_answered_no_more_often_than_others(bench):
    posts = [bench.send(b"x" * 5000) for _ in range(100)]

    assert sum(map(len, posts)) == 5
    assert bench.commands.refused == {"too-large": 100}


def test_ten_a_minute_pass_and_five_at_once():
    bucket = Bucket(10, 5)

    assert [bucket.take(100.0) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(105.9)
    assert bucket.take(106.1)
    assert not bucket.take(106.2)
    assert sum(bucket.take(200.0 + second) for second in range(60)) == 14


def test_each_minute_counts_its_own_refusals(tmp_path):
    log = audit.Audit(tmp_path)
    for now_s in (0.0, 1.0, 59.0, 61.0, 62.0, 200.0):
        log.refused(0, now_s, "retained", {"verb": "mark"})
    log.flush(0)

    lines = read_lines(tmp_path / audit.FILE)
    assert [line.get("reason") or line["more"] for line in lines] == [
        "retained",
        {"retained": 2},
        "retained",
        {"retained": 1},
        "retained",
    ]


# --- disks


def test_the_log_is_bounded_and_keeps_the_latest(tmp_path):
    log = audit.Audit(tmp_path, size_max=2000)
    for number in range(100):
        log.accepted(0, 0.0, {"verb": "mark", "id": str(number), "counter": number})

    files = [tmp_path / "commands.jsonl.1", tmp_path / "commands.jsonl"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size < 2200 for file in files)
    ids = [int(line["id"]) for file in files for line in read_lines(file)]
    assert ids == list(range(100 - len(ids), 100))
    assert len(ids) > 20


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path):
    (tmp_path / audit.FILE).write_bytes(b'{"time": "20')

    audit.Audit(tmp_path).accepted(0, 0.0, {"verb": "mark"})

    cut, whole = (tmp_path / audit.FILE).read_bytes().splitlines()
    assert cut == b'{"time": "20'
    assert json.loads(whole)["verb"] == "mark"


def test_a_command_that_cannot_be_remembered_is_refused_until_it_can_be(bench):
    blocked = bench.folder / "commands.json.new"
    blocked.mkdir()
    given = command()

    assert bench.why(given) == "not-remembered"
    assert bench.ran == []

    blocked.rmdir()
    assert bench.why(given) == ""


def test_a_command_that_cannot_be_logged_is_refused(bench):
    (bench.folder / "commands.jsonl").mkdir()

    assert bench.why(command()) == "not-logged"
    assert bench.ran == []


def test_a_full_disk_refuses_commands_and_nothing_else(bench):
    assert bench.why(command()) == ""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
        why = bench.why(command())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert why == "not-remembered"
    assert len(bench.ran) == 1
    bench.start()
    assert bench.why(command()) == ""


@pytest.mark.parametrize(
    "content", [b"", b'{"counter": 1', b"\xff\xfe\xfd", b"[]", b'{"counter": []}']
)
def test_a_damaged_memory_refuses_every_command_and_says_what_to_do(bench, caplog, content):
    (bench.folder / "commands.json").write_bytes(content)

    bench.start()

    assert "commands.json is damaged; remove it" in caplog.text
    assert bench.why(command()) == "not-remembered"
    (bench.folder / "commands.json").unlink()
    assert bench.why(command()) == ""


def test_files_are_for_our_user_alone(bench):
    bench.send(command())

    modes = {path.name: path.stat().st_mode & 0o777 for path in bench.folder.iterdir()}
    assert modes == {"commands.json": 0o600, "commands.jsonl": 0o600}
    assert bench.folder.stat().st_mode & 0o777 == 0o700


# --- options


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "key_file"),
        ({"key_file": "k", "allow_unsigned": True}, "allow_unsigned"),
        ({"verbs": ("a", "a"), "key_file": "k"}, "verbs"),
        ({"verbs": ("a/b",), "key_file": "k"}, "verbs"),
        ({"verbs": ("+",), "key_file": "k"}, "verbs"),
        ({"key_file": "k", "per_minute": 0}, "per_minute"),
        ({"key_file": "k", "size_max": 100}, "size_max"),
    ],
)
def test_an_impossible_option_is_named(given, key):
    with pytest.raises(BadOptionError) as caught:
        CommandOptions(**{"verbs": ("stop",), **given})
    assert caught.value.key == key


def test_a_verb_that_does_not_exist_is_an_error_with_the_nearest(tmp_path):
    options = CommandOptions(("anounce",), allow_unsigned=True)

    with pytest.raises(BadOptionError, match="commands: no verb .*did you mean .announce."):
        Commands(IDENTITY, options, standard(lambda: None, dict), tmp_path)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (KEY.hex().encode() + b"\n", KEY),
        (KEY.hex().upper().encode(), KEY),
        (b"correct horse battery staple and more\r\n", b"correct horse battery staple and more"),
        (b"\xff" * 32, b"\xff" * 32),
    ],
)
def test_a_key_is_hex_or_text(tmp_path, content, key):
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)

    assert read_key(str(file)) == key


@pytest.mark.parametrize("content", [b"", b"secret", KEY.hex().encode()[:31], b"x" * 5000])
def test_a_key_that_is_too_short_or_no_key_is_refused_and_not_repeated(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)

    with pytest.raises(ConfigError, match="openssl rand -hex 32") as caught:
        read_key(str(file))
    assert "secret" not in str(caught.value)


def test_a_key_that_others_may_read_or_that_is_not_there_is_refused(tmp_path):
    file = tmp_path / "key"
    with pytest.raises(ConfigError, match="No such file"):
        read_key(str(file))
    file.write_text(KEY.hex())
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_key(str(file))


def test_a_mistake_in_the_run_file_is_told_with_its_place(tmp_path):
    def sink(commands: CommandOptions | None = None) -> CommandOptions | None:
        return commands

    def make(lines: str) -> CommandOptions | None:
        file = tmp_path / "run.toml"
        file.write_text(f'[[sink]]\n[sink.commands]\nverbs = ["stop"]\n{lines}\n')
        return read_toml(file).children("sink")[0].make(sink)

    assert make('key_file = "k"') == CommandOptions(("stop",), key_file="k")
    for lines, message in (
        ('key_fil = "k"', "run.toml:4: [sink.commands] key_fil: unknown key; did you mean"),
        ("", "run.toml:2: [sink.commands] key_file: is missing"),
        ('key_file = "k"\nper_minute = 0', "run.toml:5: [sink.commands] per_minute: 0 is not"),
    ):
        with pytest.raises(ConfigError) as caught:
            make(lines)
        assert message in str(caught.value)


# --- the verbs


def test_the_standard_verbs_announce_count_and_stop(monkeypatch):
    announced = []
    verbs = standard(lambda: announced.append(1), lambda: {"published": 7})

    assert verbs["announce"].run({}) is None
    assert announced == [1]
    assert verbs["counters"].run({}) == {"published": 7}
    assert [name for name, verb in verbs.items() if verb.read_only] == ["announce", "counters"]


def test_stop_asks_this_process_as_a_service_manager_does_and_never_kills_it():
    import signal

    heard = []
    stop = standard(lambda: None, dict)["stop"].run
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(os.getpid()))
    try:
        stop({})
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(EdgeRunError, match="already stopping"):
            stop({})
    finally:
        signal.signal(signal.SIGTERM, before)

    assert heard == [os.getpid()]
