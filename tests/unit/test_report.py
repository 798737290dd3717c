from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from edge_runtime.errors import ConfigError
from edge_runtime.holter import report_plots, report_strips
from edge_runtime.holter.report_events import doubts, episodes, said, tallied
from edge_runtime.holter.report_page import _page, report
from edge_runtime.holter.report_pieces import strips
from edge_runtime.holter.report_read import COLUMNS_S, Window, collect, examine
from edge_runtime.holter.report_strips import Caption, full_disclosure, strip
from edge_runtime.holter.report_study import (
    Facts,
    Overview,
    SeenBeat,
    Span,
    Study,
    extremes,
    normal_intervals,
)
from edge_runtime.holter.report_svg import bars, clock, curve, number, ticks, time_ticks
from edge_runtime.outcome import Event
from edge_runtime.replay.recording import Wanted, source_of

WANTED = Wanted("ecgsyn:40", seed=3)
VOID = {"meta", "br", "path", "rect", "circle"}


@pytest.fixture(scope="module")
def study() -> Study:
    return examine(WANTED, "ecg-beats")


@pytest.fixture(scope="module")
def page() -> str:
    return report(WANTED, "ecg-beats")


def made(seconds: float, beats=(), quality=(), events=()) -> Study:
    facts = Facts("record", ("MLII",), 250.0, seconds, "MLII", "", "0", ())
    overview = Overview(COLUMNS_S)
    return Study(facts, list(beats), list(quality), list(events), 0, overview)


def event(rule: str, phase: str, onset_s: float, end_s: float | None = None, **more) -> Event:
    given = {"priority": "medium", "delay_s": 0.0, "values": {}, "limits": {}, **more}
    return Event(
        name=rule.partition("/")[0],
        phase=phase,
        rule=rule,
        onset_ns=round(onset_s * 1e9),
        end_ns=None if end_s is None else round(end_s * 1e9),
        **given,
    )


# --- what is read


def test_the_beats_of_a_study_are_those_of_the_record(study):
    truth = [(at / 360, label) for at, label in source_of(WANTED).truth]
    found = np.array([beat.at_s for beat in study.beats])
    missed = [t for t, _ in truth if np.abs(found - t).min() > 0.05]
    assert len(missed) <= 2  # at the ends, where no whole beat is
    assert abs(len(found) - len(truth)) <= 2
    assert study.facts.seconds == pytest.approx(40.0)
    assert study.facts.model.startswith("ecg-beats 1.1.0 (")
    assert {beat.label for beat in study.beats} <= {"N", "S", "V", "?"}


def test_without_a_model_beats_have_no_class_and_rules_use_the_detector(study):
    bare = examine(WANTED, "")
    assert not bare.named
    assert bare.facts.model == ""
    assert len(bare.beats) == len(study.beats)


def test_pieces_of_the_signal_are_those_of_the_record_though_it_has_no_date(study):
    source = source_of(WANTED)
    source.open()
    whole = np.concatenate([source.read(1.0).data for _ in range(40)])
    windows = [Window(3.0, 5.0), Window(20.5, 21.5), Window(38.0, 41.0)]
    collect(WANTED, study, windows)
    assert np.array_equal(windows[0].data, whole[1080:1800])
    assert np.array_equal(windows[1].data, whole[7380:7740])
    assert np.array_equal(windows[2].data[:720], whole[13680:])
    assert np.isnan(windows[2].data[720:]).all()


def test_the_overview_holds_the_extremes_of_every_column():
    random = np.random.default_rng(1)
    signal = random.normal(0, 0.5, 5000).astype(np.float32)
    overview = Overview(0.05)
    for at in range(0, 5000, 333):
        overview.add(at, signal[at : at + 333], 250.0)
    low, high = overview.between(0, 20.0)
    column = (np.arange(5000) / 250.0 / 0.05).astype(int)
    for at in (0, 7, 399):
        assert low[at] == int(1000 * signal[column == at].min())
        assert high[at] == int(1000 * signal[column == at].max())
    empty_low, empty_high = overview.between(30, 31)
    assert (empty_low > empty_high).all()


def test_a_lead_that_is_not_there_and_a_model_of_another_kind_are_refused():
    with pytest.raises(ConfigError, match="has no lead V9; it has MLII"):
        examine(Wanted("ecgsyn:5", leads=("V9",)), "")
    with pytest.raises(ConfigError, match="is a model for"):
        examine(WANTED, "shapes")


# --- what is reckoned


def beats_at(*intervals_s: float, label: str = "N") -> list[SeenBeat]:
    times = np.cumsum([1.0, *intervals_s])
    return [
        SeenBeat(float(at), label, rr_s)
        for at, rr_s in zip(times, [None, *intervals_s], strict=True)
    ]


def test_the_slowest_and_the_fastest_are_means_of_eight_intervals_in_a_row():
    beats = beats_at(*[1.0] * 8, *[0.5] * 8)
    (slow, _), (fast, at_s) = extremes(beats)
    assert (slow, fast) == (pytest.approx(60.0), pytest.approx(120.0))
    assert at_s == pytest.approx(beats[-1].at_s)
    broken = [*beats[:5], beats[5]._replace(rr_s=None), *beats[6:9]]
    assert extremes(broken) is None


def test_intervals_beside_premature_beats_are_not_normal():
    beats = beats_at(1.0, 0.6, 1.4, 1.0)
    beats[2] = beats[2]._replace(label="V")
    assert normal_intervals(beats).tolist() == [1.0, 1.0]


def test_an_episode_has_the_end_that_its_rule_told_later():
    events = [
        event("af/1", "onset", 10),
        event("pause/1", "onset", 12, 14.5, values={"rr_s": 2.5}),
        event("af/1", "end", 10, 60, values={"score": 0.3}),
        event("vt/1", "onset", 70, priority="high"),
        event("rate/1", "cannot-say", 20, detail="noise"),
        event("rate/1", "cannot-say", 20, 25, detail="noise"),
        event("st/1", "cannot-say", 0, detail="band"),
    ]
    study = made(100, events=events)
    found = episodes(study)
    assert [(e.name, e.begin_s, e.end_s) for e in found] == [
        ("af", 10.0, 60.0),
        ("pause", 12.0, 14.5),
        ("vt", 70.0, None),
    ]
    unsaid = [(doubt.rule, doubt.why, doubt.times, doubt.seconds) for doubt in doubts(study)]
    assert unsaid == [("st/1", "band", 1, 100.0), ("rate/1", "noise", 1, 5.0)]
    rows = tallied(found, 100)
    assert rows[0][:4] == ("high: Ventricular tachycardia", "1", "00:01:10", "30.0 s")


def test_values_are_said_with_their_units():
    assert said({"rate_bpm": 121.34, "beats": 3, "rr_s": 2.5}) == "rate 121 bpm, beats 3, rr 2.5 s"


# --- what is drawn


def test_a_strip_is_25_mm_a_second_and_10_mm_a_millivolt():
    rate_hz = 250.0
    samples = np.zeros((int(report_strips.STRIP_S * rate_hz), 1), np.float32)
    for second in (1, 3, 6):
        samples[int(second * rate_hz)] = 1.0
    window = Window(100.0, 107.0, samples, ("II",), rate_hz)
    drawn = strip(window, [], Caption("<title>"))
    assert "<title>" not in drawn
    path = re.search(r'class="trace" transform="scale\(0.01\)" d="([^"]+)"', drawn)[1]
    x, y = points(path)
    tops = np.flatnonzero(y < y.max() - 500)
    assert (x[tops] - x[tops[0]]).tolist() == [0, 5000, 12500]  # hundredths of a millimetre
    assert y.max() - y.min() == 1000


def points(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The points of a path of one M and one l."""
    start, moves = path[1:].split("l")
    first = [int(part) for part in start.split()]
    steps = [int(part) for part in re.findall(r"-?\d+", moves)]
    pairs = np.array([first, *zip(steps[::2], steps[1::2], strict=True)])
    return tuple(np.cumsum(pairs, axis=0).T)


def test_a_curve_breaks_where_there_is_no_signal():
    drawn = curve(np.arange(5.0), np.array([1.0, 2.0, np.nan, 3.0, 4.0]), "k")
    assert drawn.count("M") == 2
    assert 'd="M0 100l100 100M300 300l100 100"' in drawn


def test_bars_stand_where_they_belong_however_many_there_are():
    high, low = np.zeros(1200), np.ones(1200)
    high[600] = np.nan
    path = re.search(r'd="([^"]+)"', bars(14.0, 172.0, high, low, "k"))[1]
    across = np.cumsum([int(step) for step in re.findall(r"m(-?\d+)", path)])
    assert len(across) == 1199
    assert across[0] == 1400
    assert across[-1] == pytest.approx(100 * (14 + 172 * 1199 / 1200), abs=1)


def test_a_lane_shows_the_gravest_of_what_falls_together():
    spans = [Span(0, 100, "good"), Span(50.0, 50.01, "bad")]
    lane = report_plots._lane(spans, 100.0, ("bad", "good"))
    assert [state for _, _, state in lane] == ["good", "bad", "good"]
    assert lane[0][0] == 0
    assert lane[-1][1] == 1
    for (_, end, _), (begin, _, _) in pairwise(lane):
        assert end == begin


def test_numbers_and_axes_are_round():
    assert [number(value) for value in (1.0, -0.001, 2.345, 10)] == ["1", "0", "2.35", "10"]
    assert ticks(42, 118, 6) == [60, 80, 100]
    assert time_ticks(1800) == [0, 300, 600, 900, 1200, 1500, 1800]
    assert clock(3725.4) == "01:02:05"


# --- the page


class Checker(HTMLParser):
    """Collects tags, and looks that each that opens closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def test_a_page_needs_nothing_else_and_says_what_it_is(page):
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert checker.links == []
    assert not re.search(r"https?:|@import|<script", page)
    for words in (
        "ecgsyn:40",
        "ecg-beats 1.1.0",
        "not a medical device",
        "25 mm/s, 10 mm/mV",
        "Full disclosure",
        "360 samples per second",
    ):
        assert words in checker.words


def test_the_same_record_gives_the_same_page(page):
    assert report(WANTED, "ecg-beats") == page


def test_every_grave_episode_has_a_strip_and_few_of_a_kind_are_shown():
    beats = beats_at(*[0.8] * 120)
    events = [event("pause/1", "onset", 5.0 * at, 5.0 * at + 2) for at in range(1, 15)]
    events.append(event("vt/1", "onset", 50, 55, priority="high"))
    study = made(100, beats, events=events)
    titles = [caption.title for caption, _ in strips(study, episodes(study))]
    assert titles.count("Pause") == 3
    assert titles.index("Ventricular tachycardia") < titles.index("Pause")


def test_a_record_without_beats_still_gives_a_page():
    study = made(30.0, quality=[Span(0, 30, "bad")])
    study.overview.add(0, np.zeros(7500, np.float32), 250.0)
    text = "".join(_page(study, [], [], report_plots.shapes([])))
    assert "no two beats in a row" in text
    assert "bad 100%" in text


def test_a_day_fits_a_page_that_a_browser_opens():
    random = np.random.default_rng(1)
    count = 100_000
    times = np.linspace(1, 86_399, count) + random.normal(0, 0.05, count)
    labels = random.choice(["N", "S", "V"], count, p=[0.8, 0.05, 0.15])
    rr_s = np.diff(times, prepend=0.2)
    beats = [
        SeenBeat(*one) for one in zip(times.tolist(), labels.tolist(), rr_s.tolist(), strict=True)
    ]
    quality = [Span(at, at + 5.0, "good" if at % 3 else "bad") for at in range(0, 86_400, 5)]
    events = [event("couplet/1", "onset", at, at + 0.6) for at in range(0, 86_400, 9)]
    study = made(86_400.0, beats, quality, events)
    noise = random.normal(0, 0.3, 25 * 600).astype(np.float32)
    for at in range(144):
        study.overview.add(at * 25 * 600, noise, 25.0)
    found = episodes(study)
    text = "".join(_page(study, found, [], report_plots.shapes([])))
    assert len(text) < 12e6
    pictures, scale = full_disclosure(study)
    assert len(pictures) == 40  # 720 lines of two minutes, 18 in a picture
    assert scale.startswith("120 s a line")
