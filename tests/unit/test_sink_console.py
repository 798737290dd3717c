"""Sink console: a line that a person can read, and not more of them than that."""

from __future__ import annotations

import io

import pytest

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import BackendInfo, Info, Latency
from edge_runtime.outcome import Label, Labels
from edge_runtime.sinks.console import Console
from tests.messages import IDENTITY, INFO, MODEL, OUTCOMES, result


def shown(capsys, results=(), infos=(), **options) -> list[str]:
    sink = Console(identity=IDENTITY, **{"max_per_s": 0.0, **options})
    sink.open()
    for info in infos:
        sink.announce(info)
    for item in results:
        sink.publish(item)
    sink.close()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("heads", "rhythm: af 0.90, find/ings: MI 0.75"),
        ("labels", 'person 0.75, no "one"? 0.25'),
        ("no labels", "no label"),
        ("detections", "Käfer 0.50 at 2,2..3,4"),
        ("nothing found", "nothing found"),
        ("keypoints", "2 keypoints, mean score 0.38"),
        ("beats", "N 0.90, 75 bpm, V 0.60"),
        ("float tensors", "y [2, 3]"),
    ],
)
def test_a_result_is_one_line_that_says_what_when_and_how_fast(capsys, kind, what):
    (line,) = shown(capsys, [result(7, OUTCOMES[kind])])

    assert line == f"09:30:00.123 port #7  {what}  [4.5 ms, tflite/xnnpack]"


def test_a_label_with_a_line_break_stays_on_one_line(capsys):
    lines = shown(capsys, [result(0, Labels((Label(0, "a\nb\x1b[2J", 0.5),)))])

    assert len(lines) == 1
    assert "\x1b" not in lines[0]


def test_many_labels_are_cut_short(capsys):
    labels = Labels(tuple(Label(index, f"c{index}", 0.1) for index in range(9)))

    assert "c3 0.10 and 5 more" in shown(capsys, [result(0, labels)])[0]


def test_a_terminal_that_knows_few_letters_shows_question_marks(monkeypatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", ascii_only)
    sink = Console(identity=IDENTITY)
    sink.open()

    sink.publish(result(0, OUTCOMES["detections"]))

    assert b"K?fer 0.50" in ascii_only.buffer.getvalue()


def test_numbers_that_are_none_are_question_marks(capsys):
    odd = result(0, Labels((Label(0, "x", float("nan")),)))
    odd = odd._replace(latency_ms=Latency(float("nan"), 0, 0, 0))

    assert "x ?  [tflite/xnnpack]" in shown(capsys, [odd])[0]


def test_a_degraded_backend_is_said_in_every_line(capsys):
    degraded = result()._replace(backend=BackendInfo("onnx", "cpu", "no cuda"))
    info = Info(MODEL, degraded.backend, ())

    told, line = shown(capsys, [degraded], [info])

    assert "degraded: no cuda" in told
    assert "degraded: no cuda" in line


def test_an_announcement_names_the_model_and_the_state_of_each_source(capsys):
    (line,) = shown(capsys, infos=[INFO])

    assert line == (
        "bed-7/ward: beats 1.2.0 on tflite/xnnpack; sources: port live, file lost (gone)"
    )


def test_a_fast_stream_is_thinned_out_and_says_how_much(capsys, monkeypatch):
    clock = iter([0.0, 0.05, 0.09, 0.11, 0.12, 0.3])
    monkeypatch.setattr("edge_runtime.sinks.console.time.monotonic", lambda: next(clock))

    lines = shown(capsys, [result(seq) for seq in range(6)], max_per_s=10.0)

    assert [line.split()[2] for line in lines] == ["#0", "#3", "#5"]
    assert [line.partition(" +")[2] for line in lines] == ["", "2 unshown", "1 unshown"]


def test_colours_are_for_terminals(capsys):
    assert "\x1b" not in shown(capsys, [result()])[0]
    assert "\x1b[1m" in shown(capsys, [result()], colour="always")[0]
    assert "\x1b" not in shown(capsys, [result()], colour="never")[0]


def test_a_rate_below_zero_is_refused():
    with pytest.raises(BadOptionError) as caught:
        Console(identity=IDENTITY, max_per_s=-1)
    assert caught.value.key == "max_per_s"
