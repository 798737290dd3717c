"""The rules of rhythm on beats of a script: exactly what is there, exactly when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.ecg.rhythm.heartbeat import Condition, beat_class
from edge_runtime.ecg.rhythm.limits import Limits
from edge_runtime.ecg.rhythm.rate import mean_rate
from edge_runtime.ecg.rhythm.rules import rules_of
from edge_runtime.ecg.rhythm.summary import mute_in_fibrillation
from edge_runtime.ecg.rhythm.watch import Watch
from edge_runtime.errors import BadOptionError

from .rhythm_kit import START_NS, beats, events, named, s, times, watch


def test_the_rate_is_the_mean_of_12_intervals_and_of_4_when_three_are_slow() -> None:
    assert mean_rate([9.0] + [0.75] * 12) == pytest.approx(80)
    assert mean_rate([0.5] * 12 + [1.5] * 2) == pytest.approx(60 / (8 / 12))
    assert mean_rate([0.75] * 9 + [1.5] * 3) == pytest.approx(60 / ((0.75 + 4.5) / 4))


@pytest.mark.parametrize(("name", "after"), [("tachy", 120.0), ("brady", 40.0)])
def test_a_step_of_the_rate_from_80_alarms_within_10_s(name: str, after: float) -> None:
    at = times([60 / 80] * 40 + [60 / after] * 20)

    found = events(at, low_bpm=60, high_bpm=100)

    (alarm,) = named(found, name)
    assert 0 < s(alarm.onset_ns) - at[40] < 10
    assert {event.name for event in found} == {name}


def test_a_rate_at_its_limit_is_none_and_one_beyond_it_ends_inside() -> None:
    steady = events(times([0.5] * 40), high_bpm=120)
    back = events(times([0.8] * 20 + [0.45] * 20 + [0.8] * 20), high_bpm=120)

    assert steady == []
    assert [(e.name, e.phase) for e in back] == [("tachy", "onset"), ("tachy", "end")]
    assert back[0].values["rate_bpm"] > back[0].limits["rate_bpm"] == 120


def test_extremes_need_5_slow_and_17_fast_beats() -> None:
    slow = times([0.8] * 5 + [1.6] * 3)
    assert not named(events(slow), "extreme-brady")
    (found,) = named(events(times([0.8] * 5 + [1.6] * 4)), "extreme-brady")
    assert found.latched
    assert found.priority == "high"
    assert not named(events(times([0.4] * 15)), "extreme-tachy")
    (found,) = named(events(times([0.4] * 16)), "extreme-tachy")
    assert s(found.onset_ns) == pytest.approx(1 + 16 * 0.4)


def test_a_pause_comes_whole_with_both_of_its_beats() -> None:
    at = times([0.8] * 5 + [2.0] + [0.8] * 5 + [1.99] + [0.8])

    (pause,) = named(events(at), "pause")

    assert (s(pause.onset_ns), s(pause.end_ns)) == (at[5], at[6])
    assert pause.values["rr_s"] == pytest.approx(2.0)
    assert pause.rule == "pause/1"
    assert pause.delay_s == pytest.approx(2.0)


def test_asystole_begins_4_s_after_the_last_beat_and_ends_with_the_next() -> None:
    at = [*times([0.8] * 5), 12.0]

    onset, end = (event for event in events(at) if event.name == "asystole")

    assert (onset.phase, end.phase) == ("onset", "end")
    assert s(onset.onset_ns) == s(end.onset_ns) == 5.0
    assert s(end.end_ns) == 12.0
    assert onset.delay_s == 4.0
    assert end.values["without_beat_s"] == pytest.approx(7.0)


def test_asystole_needs_no_beat_at_all() -> None:
    assert not events([], until_s=3.9)
    (alarm,) = events([], until_s=4.0)
    assert (alarm.name, s(alarm.onset_ns), alarm.priority) == ("asystole", 0.0, "high")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("NNNVNNN", []),
        ("NNVVNNN", ["couplet"]),
        ("NNVVVNN", ["run"]),
        ("NNVVVVN", ["run"]),
        ("NVVVVVN", ["run", "vt"]),
        ("NVV?VVN", ["couplet", "couplet"]),
        ("NVVFVNN", ["couplet"]),
        ("NNVV", []),
    ],
)
def test_ventricular_beats_in_a_row(labels: str, expected: list[str]) -> None:
    found = events(times([0.5] * (len(labels) - 1)), labels, high_bpm=200, extreme_high_bpm=200)

    assert [event.name for event in found if event.phase == "onset"] == expected
    for event in found:
        first = labels.index("VV")
        if event.name in ("run", "vt"):
            assert s(event.onset_ns) == 1 + first * 0.5
        if event.phase == "end":
            assert s(event.end_ns) == 1 + labels.rindex("V") * 0.5


def test_a_slow_run_is_no_tachycardia_until_5_beats_of_it_are_fast() -> None:
    slow = [0.8] * 6
    assert not named(events(times([0.8, *slow, 0.8]), "NVVVVVVN"), "vt")
    at = times([0.8, *slow, *[0.4] * 6])

    (found,) = named(events(at, "N" + "V" * 13), "vt")

    assert found.values["rate_bpm"] > 100
    assert s(found.onset_ns) == pytest.approx(at[at.index(s(found.onset_ns))])
    assert found.delay_s < 3


# The irregular patterns of IEC 60601-2-27 (A1 to A4), as the beat times that their rates say.
@pytest.mark.parametrize(
    ("bpm", "short_share", "labels", "pattern"),
    [
        (80, 0.33, "NV", "bigeminy"),  # A1: ventricular bigeminy
        (60, 0.40, "NV", "bigeminy"),  # A2: slow alternating
        (120, 0.40, "NV", "bigeminy"),  # A3: rapid alternating
        (90, 0.45, "VV", "vt"),  # A4: bidirectional systoles, every beat ventricular
    ],
)
def test_the_irregular_patterns_of_the_monitor_standard(
    bpm: float, short_share: float, labels: str, pattern: str
) -> None:
    pair_s = 120 / bpm
    at = times([pair_s * short_share, pair_s * (1 - short_share)] * 30)

    found = events(at, labels, vt_bpm=80, high_bpm=140, pvc_per_minute=200)

    first = named(found, pattern)
    assert len(first) == 1
    assert s(first[0].onset_ns) == at[labels.index("V")]
    assert not named(found, "brady") + named(found, "tachy") + named(found, "pause")
    alarm = named(events(at, labels, high_bpm=bpm - 2), "tachy")
    assert alarm[0].values["rate_bpm"] == pytest.approx(bpm, rel=0.05)
    assert s(alarm[0].onset_ns) < 11


@pytest.mark.parametrize(("name", "labels"), [("bigeminy", "NV"), ("trigeminy", "NNV")])
def test_a_pattern_begins_at_its_first_beat_and_ends_at_its_last(name: str, labels: str) -> None:
    script = "NNNN" + labels * 4 + "NNNN"
    at = times([0.7] * (len(script) - 1))

    found = [event for event in events(at, script) if event.name in ("bigeminy", "trigeminy")]

    assert [(event.name, event.phase) for event in found] == [(name, "onset"), (name, "end")]
    assert s(found[0].onset_ns) == pytest.approx(at[script.index("V")])
    assert s(found[1].end_ns) == pytest.approx(at[script.rindex("V")])
    assert found[1].values["beats"] == 4


def test_two_repeats_are_no_pattern_and_an_unsure_beat_breaks_one() -> None:
    assert not named(events(times([0.7] * 7), "NNVNVNNN"), "bigeminy")
    assert not named(events(times([0.7] * 8), "NVNV?VNVN"), "bigeminy")


def test_frequent_ventricular_beats_are_those_of_the_last_minute() -> None:
    script = "NNNV" * 11 + "N" * 90
    at = times([0.8] * (len(script) - 1))

    found = [event for event in events(at, script) if event.name == "pvc-frequent"]

    assert [event.phase for event in found] == ["onset", "end"]
    assert found[0].values == {"pvc_per_minute": 11}
    assert found[0].limits == {"pvc_per_minute": 10}
    assert s(found[1].end_ns) == pytest.approx(at[3] + 60, abs=0.8)


def test_a_gap_breaks_intervals_and_runs_and_is_no_pause() -> None:
    rules = watch()
    made = []
    first, second = times([0.5] * 8), times([0.5] * 8, 9.0)
    for beat in beats(first, "NNNNNNNVV"):
        made += rules.beat(beat)
    rules.condition(START_NS + 5_100_000_000, Condition("bad", "gap"))
    rules.condition(START_NS + 8_900_000_000, Condition("good"))
    for beat in beats([first[-1], *second], "VVNNNNNNNN"):
        if beat.at_ns > START_NS + 6_000_000_000:
            made += rules.beat(beat)

    assert made == []


def test_a_family_says_once_why_it_cannot_judge_and_once_that_it_can() -> None:
    rules = watch()
    for at_s, grade, reason in [
        (1, "limited", "noise"),
        (2, "limited", "noise"),
        (3, "bad", "lead-off"),
        (6, "good", ""),
    ]:
        rules.condition(START_NS + at_s * 1_000_000_000, Condition(grade, reason))

    found = [decision.event for decision in rules.until(START_NS + 9_500_000_000)]

    told = [(e.name, e.detail, s(e.onset_ns), e.end_ns and s(e.end_ns)) for e in found]
    assert told == [
        ("ventricular", "noise", 1, None),
        ("af", "noise", 1, None),
        ("rate", "lead-off", 3, None),
        ("asystole", "lead-off", 3, None),
        ("ventricular", "noise", 1, 3),
        ("ventricular", "lead-off", 3, None),
        ("af", "noise", 1, 3),
        ("af", "lead-off", 3, None),
        ("rate", "lead-off", 3, 6),
        ("asystole", "lead-off", 3, 6),
        ("ventricular", "lead-off", 3, 6),
        ("af", "lead-off", 3, 6),
    ]
    assert {event.phase for event in found} == {"cannot-say"}


def test_an_episode_is_ended_when_the_signal_is_lost_and_at_the_end() -> None:
    rules = watch()
    for beat in beats(times([0.4] * 20), "N"):
        rules.beat(beat)
    rules.condition(START_NS + 9_200_000_000, Condition("bad", "lead-off"))
    ends = [d.event for d in rules.until(START_NS + 9_500_000_000) if d.event.phase == "end"]
    assert {(e.name, s(e.end_ns), e.detail) for e in ends} == {
        ("tachy", 9.2, "lead-off"),
        ("extreme-tachy", 9.2, "lead-off"),
    }

    again = watch()
    for beat in beats(times([0.4] * 10), "N"):
        again.beat(beat)
    (end,) = again.finish(START_NS + 6_000_000_000)
    assert (end.event.phase, end.event.detail) == ("end", "end of the stream")


def test_summaries_count_every_beat_once() -> None:
    rules = Watch(rules_of(("summary",), Limits()), {})
    rules.condition(START_NS, Condition("good"))
    script = "NNNVNSN?"
    at = times([0.75] * 239)
    found = [d.event for beat in beats(at, script) for d in rules.beat(beat)]
    found += [d.event for d in rules.until(START_NS + 240_000_000_000)]

    assert [s(e.end_ns) - s(e.onset_ns) for e in found] == [60, 60, 60, 60]
    total = {key: sum(e.values[key] for e in found) for key in ("beats", "pvc", "sve", "unsure")}
    assert total == {"beats": 240, "pvc": 30, "sve": 30, "unsure": 30}
    assert found[1].values["pvc_percent"] == pytest.approx(12.5, abs=1)
    assert found[1].values["rate_bpm"] == pytest.approx(80)


def test_supraventricular_beats_inside_fibrillation_are_muted() -> None:
    labels, muted = mute_in_fibrillation([(1, "S"), (5, "S"), (6, "V"), (9, "S")], [(4, 8)])

    assert (labels, muted) == (["S", "N", "V", "S"], 1)


def test_labels_of_many_models_become_the_classes_of_the_rules() -> None:
    given = ("N", "LBBB", "S", "A", "PVC", "V", "E", "F", "Q", "unsure", "/", "whatever")
    assert "".join(map(beat_class, given)) == "NNSSVVVF????"


@pytest.mark.parametrize(
    ("key", "limits"),
    [
        ("low_bpm", {"low_bpm": 130}),
        ("extreme_low_bpm", {"extreme_low_bpm": 60}),
        ("extreme_high_bpm", {"extreme_high_bpm": 110}),
        ("pause_s", {"pause_s": 5}),
        ("asystole_s", {"asystole_s": 31}),
        ("vt_beats", {"vt_beats": 2}),
        ("af_enter", {"af_enter": 0.3}),
        ("pvc_per_minute", {"pvc_per_minute": 0}),
        ("st_mv", {"st_mv": float("nan")}),
    ],
)
def test_limits_that_no_rule_can_use_are_refused(key: str, limits: dict[str, float]) -> None:
    with pytest.raises(BadOptionError) as refused:
        Limits(**limits)
    assert refused.value.key == key


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.25, 6.0), st.sampled_from("NNNVVSF?")), min_size=1, max_size=80)
)
def test_no_event_without_its_limit_crossed_and_none_ends_before_it_begins(
    script: list[tuple[float, str]],
) -> None:
    at = times([rr for rr, _ in script])[1:]
    labels = "".join(label for _, label in script)
    open_: set[str] = set()
    for event in events(at, labels, until_s=at[-1] + 10):
        assert event.end_ns is None or event.onset_ns <= event.end_ns
        assert event.delay_s >= 0
        if event.phase == "end":
            open_.remove(event.name)
            continue
        if event.end_ns is None:
            assert event.name not in open_
            open_.add(event.name)
        for key, limit in event.limits.items():
            below = event.name in ("brady", "extreme-brady")
            crossed = event.values[key] < limit if below else event.values[key] >= limit
            assert crossed, event
