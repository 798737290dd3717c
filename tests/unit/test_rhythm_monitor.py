"""The monitor `rhythm`: from frames and results to events with their evidence."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Quality, SourceState
from edge_runtime.monitors.rhythm import Rhythm
from edge_runtime.outcome import Event

from .rhythm_kit import (
    RATE_HZ,
    START_NS,
    beat_result,
    beats,
    frames,
    monitored,
    named,
    s,
    signal,
    times,
    told,
    unsure,
)

QUIET = {"rules": ("rate", "asystole", "ventricular", "af")}
SCRIPT = "NNNVNNVVNNVVVVVNNNVNVNVNNN"
RR = [
    0.8,
    0.8,
    0.5,
    1.1,
    0.8,
    0.45,
    0.45,
    2.1,
    0.8,
    *[0.4] * 5,
    0.9,
    0.8,
    *[0.6] * 6,
    5.2,
    0.8,
    0.8,
]
AT = times(RR)[: len(SCRIPT)]
SECONDS = AT[-1] + 3.0


def plain(event: Event) -> tuple:
    strip = event.evidence
    shape = None if strip is None else (strip.timestamp_ns, strip.leads, strip.data.tobytes())
    return (*event._replace(evidence=None), shape)


def scripted(sizes: list[int], gaps: list[tuple[float, float]], **options: object) -> list[Event]:
    monitor = Rhythm(**{**QUIET, **options})
    stream = frames(signal(AT, SCRIPT, SECONDS), sizes, gaps)
    return monitored(monitor, stream, list(beats(AT, SCRIPT)))


def test_every_rule_speaks_on_a_strip_of_known_truth_and_no_other() -> None:
    found = [(e.name, s(e.onset_ns)) for e in scripted([10], []) if e.phase == "onset"]

    first_v, vt = AT[SCRIPT.index("V")], AT[SCRIPT.index("VVVVV")]
    assert found == [
        ("pause", pytest.approx(AT[7])),
        ("couplet", pytest.approx(AT[6])),
        ("run", pytest.approx(vt)),
        ("vt", pytest.approx(vt)),
        ("bigeminy", pytest.approx(AT[18])),
        ("pvc-frequent", pytest.approx(first_v)),
        ("asystole", pytest.approx(AT[22])),
        ("extreme-brady", pytest.approx(AT[23])),
        ("pause", pytest.approx(AT[22])),
    ]


@settings(max_examples=8, deadline=None)
@example(sizes=[1], gap=None)
@example(sizes=[7], gap=(9.0, 9.3))
@example(sizes=[5], gap=(11.0, 13.0))
@example(sizes=[250], gap=(14.2, 17.0))
@example(sizes=[10**6], gap=None)
@given(
    sizes=st.lists(st.integers(5, 2000), min_size=1, max_size=4),
    gap=st.one_of(st.none(), st.tuples(st.floats(2.0, 12.0), st.floats(12.1, 20.0))),
)
def test_events_do_not_depend_on_how_frames_are_cut(
    sizes: list[int], gap: tuple[float, float] | None
) -> None:
    gaps = [gap] if gap else []
    assert list(map(plain, scripted(sizes, gaps))) == list(map(plain, scripted([50], gaps)))


@pytest.mark.parametrize("chunk", [1, 250, 10**6])
def test_events_of_the_own_detector_do_not_depend_on_it_either(chunk: int) -> None:
    at = times([0.8] * 15 + [0.42] * 30 + [6.0] + [0.8] * 5)
    samples = signal(at, "N", at[-1] + 2)

    found = monitored(Rhythm(beats="detector"), frames(samples, [chunk]))

    other = monitored(Rhythm(beats="detector"), frames(samples, [40]))
    assert list(map(plain, found)) == list(map(plain, other))
    (tachy,) = named(found, "tachy")
    assert at[15] < s(tachy.onset_ns) < at[15] + 10
    (asystole,) = named(found, "asystole")
    assert s(asystole.onset_ns) == pytest.approx(at[45], abs=0.02)
    assert [e.detail for e in named(found, "ventricular", "cannot-say")] == [
        "classes: a detector alone tells none"
    ]


def test_a_strip_holds_the_seconds_up_to_the_decision_of_the_leads_asked_for() -> None:
    samples = signal(AT, SCRIPT, SECONDS)
    found = scripted([50], [], evidence_s=5.0, evidence_leads=("Lead MLII",))

    (asystole,) = named(found, "asystole")
    strip = asystole.evidence
    assert strip is not None
    assert (strip.leads, strip.rate_hz, strip.data.shape) == (("MLII",), RATE_HZ, (1250, 1))
    first = round((strip.timestamp_ns - START_NS) * RATE_HZ / 1e9)
    assert np.array_equal(strip.data, samples[first : first + 1250])
    assert s(strip.timestamp_ns) + 5 == pytest.approx(s(asystole.onset_ns) + 4.15, abs=0.005)


def test_a_strip_begins_after_a_gap_and_may_be_left_out() -> None:
    found = scripted([50], [(8.0, 8.5)])
    (run,) = named(found, "run")
    assert run.evidence is not None
    assert s(run.evidence.timestamp_ns) == 8.5

    assert all(event.evidence is None for event in scripted([50], [], evidence_s=0.0))


def test_a_line_without_life_is_an_electrode_and_one_with_noise_is_a_heart() -> None:
    at = times([0.8] * 6)
    samples = signal(at, "N", 14.0)
    dead = samples.copy()
    dead[round(7 * RATE_HZ) :] = 0.1

    alive, flat = (
        [e for e in monitored(Rhythm(beats="detector"), frames(x, [50])) if e.name == "asystole"]
        for x in (samples, dead)
    )

    assert [(e.phase, e.priority) for e in alive] == [("onset", "high"), ("end", "high")]
    assert {(e.phase, e.detail, e.latched) for e in flat} == {("cannot-say", "flat", False)}


def test_a_lost_electrode_is_told_once_per_family_and_never_as_asystole() -> None:
    monitor = Rhythm(rules=(*QUIET["rules"], "summary"))
    at = times([0.8] * 40)
    stream = list(frames(signal(at, "N", 33.0), [50], [(6.0, 20.0)]))
    script = list(beats(at, "N"))
    made = []
    for frame in stream:
        if frame.timestamp_ns >= START_NS + 20e9 and made == []:
            for state in ("lead-off", "lead-off", "live"):
                made += told(monitor.state(SourceState("chest", state)))
        made += told(monitor.frame(frame))
        end_ns = frame.timestamp_ns + 200_000_000
        while script and script[0].at_ns < end_ns - 600_000_000:
            beat = script.pop(0)
            if not 5.5 < s(beat.at_ns) < 20.0:
                made += told(monitor.result(beat_result(frame, beat)))

    assert [(e.name, e.phase, e.detail, e.end_ns and s(e.end_ns)) for e in made] == [
        *((name, "cannot-say", "lead-off", None) for name in QUIET["rules"]),
        *((name, "cannot-say", "lead-off", 20.0) for name in QUIET["rules"]),
    ]


def test_limited_quality_leaves_the_rate_and_silences_the_shapes() -> None:
    monitor = Rhythm(**QUIET)
    at = times([0.4] * 30)
    stream = list(frames(signal(at, "V", 14.0), [50]))
    limited = Quality("limited", 0.7, ("noise",))
    made = []
    script = list(beats(at, "V"))
    for frame in stream:
        made += told(monitor.frame(frame._replace(quality=limited)))
        while script and script[0].at_ns < frame.timestamp_ns - 500_000_000:
            made += told(monitor.result(beat_result(frame, script.pop(0), limited)))

    assert {e.name for e in made if e.phase == "onset"} == {"tachy", "extreme-tachy"}
    assert {e.name for e in made if e.phase == "cannot-say"} == {"ventricular", "af"}
    assert all(event.quality == limited for event in named(made, "tachy"))


def test_what_the_model_cannot_say_the_rules_cannot_either() -> None:
    monitor = Rhythm(**QUIET)
    stream = list(frames(signal(times([0.8] * 20), "N", 18.0), [250]))
    made = []
    for index, frame in enumerate(stream):
        made += told(monitor.frame(frame))
        if 3 <= index < 12:
            made += told(monitor.result(unsure(frame, "noise")))

    assert [(e.name, e.detail) for e in made] == [(name, "noise") for name in QUIET["rules"]]
    assert {e.phase for e in made} == {"cannot-say"}


@pytest.mark.parametrize(
    ("highpass_hz", "calibrated", "reason"),
    [
        (0.5, True, "band: the high-pass corner 0.5 Hz is above 0.05 Hz"),
        (-1.0, True, "band: the high-pass corner is not stated"),
        (0.05, False, "gain: the source is not calibrated"),
    ],
)
def test_st_is_refused_once_where_the_chain_does_not_allow_it(
    highpass_hz: float, calibrated: bool, reason: str
) -> None:
    at, monitor = times([0.8] * 80), Rhythm(highpass_hz=highpass_hz, calibrated=calibrated)
    found = monitored(monitor, st_stream(at, 0.3, 50), list(beats(at, "N")))

    assert [(e.phase, e.detail) for e in found if e.name == "st"] == [("cannot-say", reason)]


@pytest.mark.parametrize(("stated_hz", "claimed_hz"), [(0.5, 0.05), (0.5, -1.0), (0.01, 0.5)])
def test_of_two_statements_about_the_band_the_higher_corner_counts(stated_hz, claimed_hz) -> None:
    at = times([0.8] * 80)
    stream = [frame._replace(highpass_hz=stated_hz) for frame in st_stream(at, 0.3, 50)]
    monitor = Rhythm(rules=("st",), highpass_hz=claimed_hz, calibrated=True)

    (refusal,) = monitored(monitor, stream, list(beats(at, "N")))

    assert refusal.detail == "band: the high-pass corner 0.5 Hz is above 0.05 Hz"


def test_a_source_that_states_its_band_needs_no_word_in_the_run_file() -> None:
    at = times([0.8] * 100)
    stream = [frame._replace(highpass_hz=0.05) for frame in st_stream(at, 0.3, 20)]
    found = monitored(Rhythm(rules=("st",), calibrated=True), stream, list(beats(at, "N")))
    assert [event.phase for event in found] == ["onset", "end"]


def st_stream(at: list[float], shift_mv: float, since: int) -> list:
    """Beats whose ST segment is moved from beat number `since` to 20 beats before the end."""
    samples = signal(at, "N", at[-1] + 2)
    for peak_s in at[since:-20]:
        first = round((peak_s + 0.06) * RATE_HZ)
        samples[first : first + round(0.12 * RATE_HZ)] += shift_mv
    return list(frames(samples, [50]))


@pytest.mark.parametrize("shift_mv", [0.2, -0.3])
def test_an_st_deviation_is_told_after_30_s_with_its_sign(shift_mv: float) -> None:
    at = times([0.8] * 100)
    monitor = Rhythm(rules=("st",), highpass_hz=0.05, calibrated=True)

    onset, end = monitored(monitor, st_stream(at, shift_mv, 20), list(beats(at, "N")))

    assert s(onset.onset_ns) == pytest.approx(at[22], abs=1.7)
    assert 30 <= onset.delay_s < 31
    assert onset.values["st_mv"] == pytest.approx(shift_mv, abs=0.06)
    assert onset.limits == {"st_mv": 0.1, "seconds": 30.0}
    assert s(end.end_ns) == pytest.approx(at[-20], abs=2.5)


def test_a_short_or_small_st_deviation_is_none() -> None:
    at = times([0.8] * 100)
    for shift_mv, since in ((0.06, 20), (0.3, 50)):
        monitor = Rhythm(rules=("st",), highpass_hz=0.05, calibrated=True)
        found = monitored(monitor, st_stream(at, shift_mv, since), list(beats(at, "N")))
        assert found == []


def test_a_clock_that_is_set_back_begins_the_watch_anew() -> None:
    monitor = Rhythm(beats="detector", **QUIET)
    at = times([0.4] * 60)
    early = list(frames(signal(at, "N", 12.0), [50]))
    late = [f._replace(timestamp_ns=f.timestamp_ns - 10**15, seq=f.seq + 60) for f in early]
    made = []
    for frame in early + late:
        made += told(monitor.frame(frame))
    made += told(monitor.flush())

    tachys = named(made, "tachy")
    assert len(tachys) == 2
    assert tachys[0].onset_ns - tachys[1].onset_ns == pytest.approx(10**15, abs=2 * 10**9)
    assert len(named(made, "tachy", "end")) == 2


def test_a_lead_that_is_not_there_and_wrong_options_are_refused_by_name() -> None:
    frame = next(frames(signal([1.0], "N", 2.0), [50]))
    with pytest.raises(ConfigError, match="chest: has no lead V1; it has MLII"):
        Rhythm(lead="v1").frame(frame)
    for key, options in (
        ("rules", {"rules": ("rhythm",)}),
        ("evidence_s", {"evidence_s": 61}),
        ("summary_s", {"summary_s": 0.5}),
        ("low_bpm", {"low_bpm": -1}),
    ):
        with pytest.raises(BadOptionError) as refused:
            Rhythm(**options)
        assert refused.value.key == key


def test_a_day_of_beats_leaves_no_more_behind_than_twenty_minutes() -> None:
    monitor, sizes, minute = Rhythm(evidence_s=5.0), [], 0
    frame = next(frames(np.zeros((60, 1), np.float32), [60]))
    random = np.random.default_rng(3)
    at = np.cumsum(random.choice([0.8, 1.2, 1.6, 2.0], 62_000)).tolist()
    script = list(beats(at, "".join(random.choice(list("NNNNVS?"), 997))))
    for index, beat in enumerate(script):
        while START_NS + minute * 60 * 10**9 < beat.at_ns:
            noise = random.normal(size=(60, 1)).astype(np.float32)
            ns = START_NS + minute * 60 * 10**9
            monitor.frame(frame._replace(data=noise, timestamp_ns=ns, seq=minute, rate_hz=1.0))
            minute += 1
        monitor.result(beat_result(frame, beat))
        if index in (900, len(script) - 1):
            sizes.append(deep_size(monitor, set()))

    assert minute >= 24 * 60
    assert sizes[1] < 1.5 * sizes[0]


def deep_size(thing: object, seen: set[int]) -> int:
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    size = sys.getsizeof(thing)
    inner = list(thing) if isinstance(thing, list | tuple | set) else []
    if isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    elif hasattr(thing, "maxlen"):
        inner = list(thing)
    inner += list(getattr(thing, "__dict__", {}).values())
    return size + sum(deep_size(part, seen) for part in inner)
