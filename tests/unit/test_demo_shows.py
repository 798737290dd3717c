"""The demo's shows: what they make of results, with no broker and no process."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import build
from edge_runtime.config import load
from edge_runtime.demo import ink
from edge_runtime.demo.alignment import Alignment
from edge_runtime.demo.camera import SEED, Camera
from edge_runtime.demo.ecg import RATE_HZ, Ecg
from edge_runtime.demo.hearing import Heard
from edge_runtime.demo.show import Canvas
from edge_runtime.outcome import Beat, Label
from edge_runtime.sources.generators.shapes import shape_of

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
PEN = ink.Pen(0)


def at(seconds, width=80, height=20, pen=PEN):
    return Canvas(width, height, START_NS + round(seconds * SECOND_NS), pen)


def result(number, **outcome):
    blank = Heard("", "x", number, START_NS, START_NS, 2.0, 0.1)
    return replace(blank, id=f"run-{number}", **outcome)


def beat_result(number, time_s, label):
    time_ns = START_NS + round(time_s * SECOND_NS)
    return result(number, beats=(Beat(0, label, 0.9, time_ns, 0.85, 71.0),))


def ecg_after(count, *, wrong=()):
    """A show that heard the first `count` beats, those in `wrong` under another label."""
    show = Ecg(30.0)
    show.live(START_NS + 20_000_000)
    truth = ecg_truth(show)[:count]
    for number, (time_s, label) in enumerate(truth):
        said = ("V" if label != "V" else "N") if number in wrong else label
        show.hear(beat_result(number, time_s, said))
    return show


def ecg_truth(show):
    """The truth of the source that the run file names."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.toml"
        file.write_text(show.run_file("mqtt://127.0.0.1:1"))
        (source,) = build.sources(load(file, {}))
    return [(sample / RATE_HZ, label) for sample, label in source.truth]


@pytest.mark.parametrize("show", [Ecg(6.0), Camera(6.0)])
def test_the_run_file_of_a_show_is_one_that_start_reads(show, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(show.run_file("mqtt://127.0.0.1:1883"))

    config = load(file, {})

    assert config.identity.device == "demo"
    assert [sink.kind for sink in config.sinks] == ["mqtt"]


def test_the_labels_stand_under_the_r_peaks_of_the_trace():
    show = ecg_after(8)
    rows = ink.plain(show.picture(at(7.5)))

    trace = rows[: next(i for i, row in enumerate(rows) if "┴" in row)]
    model = next(row for row in rows if row.startswith("model"))
    places = [i for i, sign in enumerate(model) if sign in "NSV"]
    assert places
    for place in places:
        around = {row for row, text in enumerate(trace) if text[place - 1 : place + 2].strip()}
        elsewhere = {row for row, text in enumerate(trace) if text[place + 6 : place + 7].strip()}
        assert min(around) < min(elsewhere, default=len(trace))


def test_a_wrong_label_is_marked_without_colours_too():
    show = ecg_after(8, wrong=(6,))

    rows = ink.plain(show.picture(at(7.5)))

    assert "V!" in next(row for row in rows if row.startswith("model"))
    assert any("7 labels right" in row for row in rows)


@pytest.mark.parametrize("size", [(80, 20), (40, 12), (200, 60), (20, 5), (10, 2)])
@pytest.mark.parametrize("pen", [PEN, ink.Pen(16777216), ink.Pen(8, unicode=False)])
def test_a_picture_is_never_larger_than_its_canvas(size, pen):
    camera = Camera(6.0)
    camera.hear(result(0, labels=(Label(0, "star", 0.9),)))

    for show in (ecg_after(8), camera, Ecg(6.0)):
        assert len(show.picture(at(7.0, *size, pen))) <= size[1]


def test_without_unicode_a_picture_is_ascii():
    camera = Camera(6.0)
    camera.hear(result(0, labels=(Label(0, "star", 0.9),)))

    for show in (ecg_after(8), camera):
        text = "\n".join(ink.plain(show.picture(at(7.0, pen=ink.Pen(0, unicode=False)))))
        assert text.isascii()


def test_beats_near_the_end_that_have_no_window_are_not_asked_for():
    show = Ecg(30.0)
    show.live(START_NS)
    truth = ecg_truth(show)
    for number, (time_s, label) in enumerate(truth):
        if time_s < 29.4:
            show.hear(beat_result(number, time_s, label))

    report = "\n".join(show.report(complete=True))

    assert "(100.0%); 0 extra" in report


def test_a_beat_that_nobody_heard_lowers_the_score():
    show = Ecg(30.0)
    show.live(START_NS)
    truth = [row for row in ecg_truth(show) if row[0] < 29.4]
    for number, (time_s, label) in enumerate(truth):
        if number not in (5, len(truth) - 1):
            show.hear(beat_result(number, time_s, label))

    report = "\n".join(show.report(complete=True))

    assert f"{len(truth) - 2} of {len(truth)} beats found" in report


def test_an_interrupted_stream_is_scored_up_to_the_last_beat_heard():
    report = "\n".join(ecg_after(8).report(complete=False))

    assert "8 of 8 beats found, 8 labels right" in report


PEAKS_S = tuple(0.8 * number + 0.03 * np.sin(number) for number in range(1, 40))


@pytest.mark.parametrize("late_s", [0.0, 0.004, 0.25, 1.1, 3.0])
def test_the_start_is_found_however_late_the_announcement_came(late_s):
    alignment = Alignment(PEAKS_S)

    alignment.announced(START_NS + round(late_s * SECOND_NS))
    for peak_s in PEAKS_S[2:9]:
        alignment.found(START_NS + round((peak_s + 0.002) * SECOND_NS))

    assert abs(alignment.start_ns - START_NS) < 5_000_000


def test_one_false_beat_does_not_move_the_start():
    alignment = Alignment(PEAKS_S)

    alignment.announced(START_NS + 10_000_000)
    for time_s in (0.31, *PEAKS_S[1:6]):
        alignment.found(START_NS + round(time_s * SECOND_NS))

    assert abs(alignment.start_ns - START_NS) < 5_000_000


def test_before_the_announcement_there_is_no_start():
    alignment = Alignment(PEAKS_S)

    alignment.found(START_NS)

    assert alignment.start_ns is None


def test_a_picture_is_scored_by_its_number():
    show = Camera(6.0)
    for number in range(10):
        said = shape_of(SEED, number) if number else "nonsense"
        show.hear(result(number, labels=(Label(0, said, 0.9),)))

    assert any("9 of 10 pictures right (90.0%)" in line for line in show.report(complete=True))
    assert "(right), 9 of 10 right" in show.line()


def test_a_wrong_picture_shows_the_truth_and_a_cross():
    show = Camera(6.0)
    show.hear(result(0, labels=(Label(0, "nonsense", 0.9),)))

    rows = ink.plain(show.picture(at(0)))

    assert any("nonsense" in row for row in rows)
    assert any(f"{shape_of(SEED, 0)} ✗" in row for row in rows)
