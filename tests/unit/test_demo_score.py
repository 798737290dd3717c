"""The demo's counting: results against the truth, and against what was published."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.demo.hearing import About, Heard, parse_info, parse_result, parse_time
from edge_runtime.demo.process import Summary, parse_summary
from edge_runtime.demo.score import TrueBeat, pair, score_beats, score_labels, table
from edge_runtime.demo.tally import Percentiles, Tally, percentiles
from edge_runtime.frame import BackendInfo, Identity, Info, Latency, ModelInfo, Result, SourceState
from edge_runtime.outcome import Beat, Beats, Label, Labels
from edge_runtime.times import rfc3339
from edge_runtime.wire import Encoder


def beats(*rows):
    return [TrueBeat(time_s, label) for time_s, label in rows]


def by_label(score):
    return {found.label: found for found in score.classes}


def test_a_beat_within_150_ms_is_found_and_one_beyond_is_not():
    score = score_beats(beats((1.0, "N"), (2.0, "N")), beats((1.149, "N"), (2.151, "N")))

    assert (score.truth, score.found, score.right, score.extra) == (2, 1, 1, 1)


def test_a_wrong_label_is_missed_for_one_class_and_wrong_for_the_other():
    score = score_beats(beats((1.0, "V"), (2.0, "N")), beats((1.0, "N"), (2.0, "N")))

    classes = by_label(score)
    assert (score.found, score.right) == (2, 1)
    assert (classes["V"].missed, classes["V"].wrongly) == (1, 0)
    assert (classes["N"].right, classes["N"].wrongly) == (1, 1)
    assert classes["N"].sensitivity == 1.0
    assert classes["N"].predictivity == 0.5
    assert classes["V"].predictivity is None


def test_a_beat_that_is_not_there_counts_against_its_label():
    score = score_beats(beats((1.0, "N")), beats((1.0, "N"), (5.0, "V")))

    assert by_label(score)["V"].wrongly == 1
    assert by_label(score)["V"].sensitivity is None


def test_two_results_for_one_beat_are_one_hit_and_one_extra():
    found = beats((0.9, "N"), (1.01, "N"))

    assert pair(beats((1.0, "N")), found) == [(0, 1)]
    assert score_beats(beats((1.0, "N")), found).extra == 1


@given(
    st.lists(st.floats(0, 20), max_size=30),
    st.lists(st.floats(0, 20), max_size=30),
)
def test_no_beat_is_matched_twice(truth_s, found_s):
    truth = beats(*((time_s, "N") for time_s in sorted(truth_s)))
    found = beats(*((time_s, "N") for time_s in sorted(found_s)))

    score = score_beats(truth, found)

    assert score.found + score.extra == len(found)
    assert score.found <= len(truth)


def test_labels_are_scored_per_class():
    scores = {row.label: row for row in score_labels([("a", "a"), ("a", "b"), ("b", "b")])}

    assert (scores["a"].truth, scores["a"].right, scores["a"].wrongly) == (2, 1, 0)
    assert (scores["b"].truth, scores["b"].right, scores["b"].wrongly) == (1, 1, 1)


def test_the_table_says_a_dash_where_there_is_no_share():
    rows = table(score_beats(beats((1.0, "V")), []).classes, "beats")

    assert rows[1].split() == ["V", "1", "0", "1", "0", "0.0", "%", "-"]


def heard(number, seq=None, received_ns=1_000_000):
    return Heard(
        id=f"run-{number}",
        source="ecg",
        seq=number if seq is None else seq,
        timestamp_ns=0,
        received_ns=received_ns,
        latency_ms=1.0,
        inference_ms=0.5,
    )


SUMMARY = Summary(read=9, dropped=0, bad=0, frames=9, results=3)


def test_what_was_published_and_not_heard_is_lost():
    tally = Tally()

    for number in (0, 2):
        tally.hear(heard(number), 0)

    assert tally.lost(SUMMARY) == 1
    assert tally.skipped == 1
    assert tally.lost(None) is None


def test_a_repeat_is_counted_and_does_not_hide_a_loss():
    tally = Tally()

    told = [tally.hear(heard(number), 0) for number in (0, 0, 1)]

    assert told == [True, False, True]
    assert (tally.received, tally.repeated, tally.lost(SUMMARY)) == (2, 1, 1)


def test_the_age_is_from_what_happened_to_its_reception():
    tally = Tally()

    tally.hear(heard(0, received_ns=5_000_000), 2_000_000)

    assert tally.age_ms == [3.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], None), ([4.0], Percentiles(4.0, 4.0)), (range(1, 101), Percentiles(50, 99))],
)
def test_percentiles_are_values_that_occurred(values, expected):
    assert percentiles(values) == expected


def test_the_last_lines_of_start_are_understood():
    text = (
        "12:00:00 INFO hello\n"
        "ecg: 60 frames read, 2 dropped, 1 bad, 0 reopened\n"
        "35 results from 58 frames, 4 bad\n"
    )

    assert parse_summary(text) == Summary(read=60, dropped=2, bad=5, frames=58, results=35)


def test_a_pipeline_that_says_nothing_has_no_summary():
    assert parse_summary("Traceback\n") is None


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_are_read_back_as_they_were_written(time_ns):
    assert parse_time(rfc3339(time_ns)) == time_ns


def test_a_payload_that_is_no_result_is_refused():
    for payload in (b"", b"{}", b"[]", b"null", json.dumps({"id": 1}).encode()):
        with pytest.raises((ValueError, KeyError, TypeError)):
            parse_result(payload, 0)


MODEL, BACKEND = ModelInfo("m", "1.0.0", "ab"), BackendInfo("tflite", "xnnpack")
ENCODER = Encoder(Identity("demo", "ecg"))


@pytest.mark.parametrize(
    ("outcome", "beats", "labels"),
    [
        (Beats((Beat(2, "V", 0.75, 5_000_000_001, 0.5, None),)), True, False),
        (Labels((Label(1, "star", 0.5), Label(0, "cross", 0.25))), False, True),
    ],
)
def test_a_result_is_read_back_as_it_was_published(outcome, beats, labels):
    latency = Latency(12.5, 0.25, 0.5, 0.125)
    result = Result("run-1", "src", 7, 1_234_567_890, 0, MODEL, BACKEND, latency, outcome)

    told = parse_result(ENCODER.result(result), 99)

    assert told == Heard(
        id="run-1",
        source="src",
        seq=7,
        timestamp_ns=1_234_567_890,
        received_ns=99,
        latency_ms=12.5,
        inference_ms=0.5,
        beats=outcome.beats if beats else (),
        labels=outcome.labels if labels else (),
    )


def test_an_announcement_is_read_back_as_it_was_published():
    info = Info(MODEL, BACKEND, (SourceState("src", "live"),))

    told = parse_info(ENCODER.info(info, 5_000_000_000, "3.1.1"))

    assert told == About("m", "1.0.0", "tflite", "xnnpack", "", "3.1.1", ("live",), 5_000_000_000)
