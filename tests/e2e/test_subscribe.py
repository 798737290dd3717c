"""`edge_runtime.subscribe` against a real broker: what comes, what is confirmed, what survives."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time

import pytest

from edge_runtime.errors import BadOptionError, EdgeRunError
from edge_runtime.events import Alert, Announcement, Gap, ReceivedResult, Status
from edge_runtime.subscribe import subscribe
from tests.brokers import free_port, wait_until
from tests.messages import INFO
from tests.needs import ROOT, program


def take(results, number: int) -> list[int]:
    """The numbers of the frames of the next results."""
    taken = []
    while len(taken) < number:
        event = results.receive(timeout_s=10)
        assert event is not None, f"{len(taken)} of {number} results"
        if isinstance(event, ReceivedResult):
            taken.append(event.seq)
    return taken


def test_the_ten_lines_of_the_manual_print_what_comes(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    speaker.introduce()
    program_text = (
        "from edge_runtime.subscribe import subscribe\n"
        f"with subscribe({broker.url!r}) as results:\n"
        "    for event in results:\n"
        "        print(event, flush=True)\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", program_text], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    lines = [reader.stdout.readline() for _ in range(2)]  # it has subscribed
    speaker.results([7])
    lines.append(reader.stdout.readline())
    reader.kill()
    reader.communicate()

    assert sorted(line.partition("(")[0] for line in lines) == [
        "Announcement",
        "ReceivedResult",
        "Status",
    ]
    assert "seq=7" in lines[2]


@pytest.mark.parametrize("encoding", ["json", "cbor", "msgpack"])
def test_events_are_of_the_type_of_what_was_published(mosquitto, device, encoding):
    broker = mosquitto()
    speaker = device(broker.port, "bed-7", encoding)
    speaker.introduce()
    with subscribe(broker.url, timeout_s=10) as results:
        greeting = {type(results.receive(10)) for _ in range(2)}
        speaker.results([4])
        speaker.gap()
        speaker.alert("no room")
        events = [results.receive(10) for _ in range(3)]

    assert greeting == {Status, Announcement}
    result, gap, alert = events
    assert (type(result), type(gap), type(alert)) == (ReceivedResult, Gap, Alert)
    assert (result.device, result.pipeline, result.source, result.seq) == (
        "bed-7",
        "ward",
        "port",
        4,
    )
    assert result.outcome.labels[0].label == "person"
    assert (gap.run, gap.first_seq, gap.last_seq, gap.count) == ("boot-port", 3, 12, 9)
    assert (alert.kind, alert.text, alert.cleared) == ("outbox-full", "no room", False)


def test_an_encoding_is_known_without_a_content_type(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port, "bed-7", "msgpack")
    with subscribe(broker.url) as results:
        speaker.publish(speaker.topics.info, speaker.encoder.info(INFO, 0, "5"), typed=False)
        speaker.results([1])

        assert isinstance(results.receive(10), Announcement)
        assert take(results, 1) == [1]


def test_a_repeat_is_left_out_and_order_is_kept(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url) as results:
        speaker.results([1, 2, 1, 3, 2, 4])

        assert take(results, 4) == [1, 2, 3, 4]
        assert results.repeats == 2


def test_only_the_wanted_device_is_heard(mosquitto, device):
    broker = mosquitto()
    one, other = device(broker.port), device(broker.port, "bed-8")
    with subscribe(broker.url, device="bed-8", timeout_s=0.3) as results:
        one.results([1])
        other.results([2])

        assert [(event.device, event.seq) for event in results] == [("bed-8", 2)]


def test_iteration_ends_when_nothing_comes_for_so_long_and_can_go_on(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, timeout_s=0.2) as results:
        began = time.monotonic()
        assert list(results) == []
        assert 0.2 <= time.monotonic() - began < 3
        speaker.results([1])

        assert [event.seq for event in results] == [1]


def test_another_thread_may_close_and_iteration_ends(mosquitto):
    with subscribe(mosquitto().url) as results:
        threading.Timer(0.2, results.close).start()

        assert list(results) == []
    results.close()


def test_messages_of_others_are_counted_and_told_once(mosquitto, device, caplog):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url) as results:
        for payload in (b"", b"\xff\x1b[2J", b"{}", b"\xa1\x61", b"x" * 100):
            speaker.publish("edge/d/p/s/result", payload, typed=False)
        speaker.results([1])

        assert take(results, 1) == [1]
        assert results.unreadable == 5
    warnings = [
        record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
    ]
    assert 1 <= len(warnings) <= 3
    assert all(line.isprintable() for line in warnings)


def test_it_comes_back_after_the_broker_does(mosquitto, device, caplog):
    caplog.set_level(logging.INFO)
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url) as results:
        speaker.results([1])
        assert take(results, 1) == [1]
        broker.kill()
        broker.start()
        wait_until(lambda: caplog.text.count("connected, MQTT") == 2)
        later = device(broker.port)
        later.results([2])

        assert take(results, 1) == [2]
    assert "trying again" in caplog.text


def test_a_broker_out_of_reach_is_one_error_at_once():
    port = free_port()

    with pytest.raises(EdgeRunError, match=rf"localhost:{port}: nothing listens there"):
        subscribe(f"mqtt://localhost:{port}").open()


def test_a_wrong_password_is_one_error_without_the_password(mosquitto, tmp_path):
    passwords = tmp_path / "passwords"
    tool = program("mosquitto_passwd", "mosquitto")
    subprocess.run([tool, "-b", "-c", str(passwords), "ward", "s3cret"], check=True)
    broker = mosquitto(f"password_file {passwords}", anonymous=False)

    with pytest.raises(EdgeRunError, match="refused") as caught:
        subscribe(broker.url, username="ward", password="wr0ng").open()
    assert "wr0ng" not in str(caught.value)
    with subscribe(broker.url, username="ward", password="s3cret"):
        pass


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "broker"}, "url"),
        ({"url": "mqtt://10.0.0.1"}, "url"),
        ({"device": "a/b"}, "device"),
        ({"pipeline": "#"}, "pipeline"),
        ({"prefix": "edge//x"}, "prefix"),
        ({"prefix": "+"}, "prefix"),
        ({"shared": "a/b"}, "shared"),
        ({"session_expiry_s": 60}, "client_id"),
    ],
)
def test_an_option_that_cannot_be_is_named(options, key):
    with pytest.raises(BadOptionError) as caught:
        subscribe(**options)
    assert caught.value.key == key


def test_a_durable_consumer_gets_what_was_published_while_it_was_away(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    options = {"client_id": "store", "session_expiry_s": 3600}
    with subscribe(broker.url, **options):
        pass
    speaker.results(range(30))

    with subscribe(broker.url, **options) as results:
        assert take(results, 30) == list(range(30))


def test_one_that_is_not_durable_misses_it(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, client_id="store"):
        pass
    speaker.results(range(3))

    with subscribe(broker.url, client_id="store", timeout_s=0.3) as results:
        assert list(results) == []


def test_a_group_divides_results_and_each_hears_who_is_there(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    speaker.introduce()
    with (
        subscribe(broker.url, shared="store", timeout_s=0.3) as one,
        subscribe(broker.url, shared="store", timeout_s=0.3) as other,
    ):
        speaker.results(range(40))
        heard = [list(one), list(other)]

    numbers = [[event.seq for event in part if isinstance(event, ReceivedResult)] for part in heard]
    assert sorted(numbers[0] + numbers[1]) == list(range(40))
    assert numbers[0] and numbers[1]
    assert all(Status("bed-7", "ward", "online") in part for part in heard)


def test_a_group_needs_mqtt_5_and_says_so(mosquitto):
    with pytest.raises(EdgeRunError, match="shared subscriptions"):
        subscribe(mosquitto().url, shared="store", protocol="3.1.1").open()


def test_a_result_is_confirmed_when_the_next_one_is_asked_for_and_not_before(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, confirm=True) as results:
        speaker.results([1, 2])
        assert take(results, 1) == [1]
        time.sleep(0.5)  # more than a confirmation may wait for others
        assert speaker.confirmed == []

        assert take(results, 1) == [2]
        wait_until(lambda: speaker.confirmed == ["boot-port-1"])
    time.sleep(0.2)
    assert speaker.confirmed == ["boot-port-1"]  # the last one was not said to be handled


def test_who_leaves_the_loop_can_say_that_the_last_one_is_handled(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, confirm=True) as results:
        speaker.results([1])
        assert take(results, 1) == [1]
        results.handled()

    wait_until(lambda: speaker.confirmed == ["boot-port-1"])


def test_a_handler_that_raises_confirms_nothing(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with pytest.raises(ZeroDivisionError), subscribe(broker.url, confirm=True) as results:
        speaker.results([1])
        for event in results:
            event.seq / 0

    with subscribe(broker.url, confirm=True) as results:
        speaker.results([2])
        assert take(results, 1) == [2]
        results.handled()
    wait_until(lambda: speaker.confirmed)
    assert speaker.confirmed == ["boot-port-2"]


def test_confirmations_go_in_batches_of_a_hundred_at_most(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, confirm=True) as results:
        speaker.results(range(1000))
        assert take(results, 1000) == list(range(1000))
        results.handled()
        wait_until(lambda: len(speaker.confirmed) == 1000)

    assert speaker.confirmed == [f"boot-port-{number}" for number in range(1000)]
    assert max(speaker.batches) <= 100
    assert len(speaker.batches) <= 30


def test_gaps_and_alerts_are_confirmed_too_each_to_its_own_device(mosquitto, device):
    broker = mosquitto()
    one, other = device(broker.port), device(broker.port, "bed-8")
    with subscribe(broker.url, confirm=True) as results:
        one.gap()
        other.alert()
        for _ in range(2):
            assert results.receive(10) is not None
        results.handled()
        wait_until(lambda: (one.confirmed, other.confirmed) == (["gap-7"], ["alert-False"]))


def test_a_repeat_of_what_was_handled_is_confirmed_again(mosquitto, device):
    """As when the first confirmation did not reach the device."""
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, confirm=True) as results:
        speaker.results([1])
        assert take(results, 1) == [1]
        results.handled()
        wait_until(lambda: len(speaker.confirmed) == 1)
        speaker.results([1, 2])
        assert take(results, 1) == [2]
        wait_until(lambda: speaker.confirmed == ["boot-port-1", "boot-port-1"])


def test_a_repeat_of_what_is_still_in_hand_is_not_confirmed(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, confirm=True) as results:
        speaker.results([1, 1, 1])
        assert take(results, 1) == [1]
        assert results.repeats == 0
        time.sleep(0.4)
        assert speaker.confirmed == []


def test_confirmations_wait_while_the_broker_is_out_of_reach(mosquitto, device, gate, caplog):
    broker = mosquitto()
    speaker = device(broker.port)
    verdicts = {"now": "pass"}
    way = gate(broker.port, lambda first: verdicts["now"])
    with subscribe(way.url, confirm=True) as results:
        speaker.results([1])
        assert take(results, 1) == [1]
        verdicts["now"] = "close"
        way.cut()
        wait_until(lambda: "trying again" in caplog.text)
        results.handled()
        verdicts["now"] = "pass"

        wait_until(lambda: speaker.confirmed == ["boot-port-1"], timeout_s=40)


def test_without_confirm_nothing_is_said(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url) as results:
        speaker.results([1])
        assert take(results, 1) == [1]
        results.handled()

    speaker.publish(speaker.topics.ack, b'{"ids":["end"]}').wait_for_publish(10)
    wait_until(lambda: speaker.confirmed)
    assert speaker.confirmed == ["end"]


def test_a_slow_reader_holds_no_more_than_it_may_and_loses_nothing(mosquitto, device, monkeypatch):
    monkeypatch.setattr("edge_runtime.mqtt.receiver.HELD_MAX", 50)
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url) as results:
        speaker.results(range(2000))
        held = results._receiver._waiting
        wait_until(lambda: len(held) >= 50)
        time.sleep(0.3)
        assert len(held) < 100

        assert take(results, 2000) == list(range(2000))


def test_five_thousand_results_are_kept_in_order(mosquitto, device):
    broker = mosquitto()
    speaker = device(broker.port)
    with subscribe(broker.url, confirm=True) as results:
        threading.Thread(target=speaker.results, args=(range(5000),)).start()

        assert take(results, 5000) == list(range(5000))


def test_importing_it_loads_no_driver():
    heavy = "numpy", "paho", "cbor2", "msgpack"
    code = f"import sys, edge_runtime.subscribe\nprint(set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.stdout.strip() == "set()", done.stderr
