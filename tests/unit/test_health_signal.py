"""The health of a signal source: what is called, how soon, and what is not called."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.ecg.runs import EqualRuns, FlagRuns
from edge_runtime.ecg.synthetic import Player, SyntheticEcg
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.frame import Frame, Verdict
from edge_runtime.health.signal import SignalHealth

RATE_HZ = 250.0
RAIL_MV = 5.0
COUNT_MV = 0.005  # one step of the converter


def ecg(seconds: float, leads: int = 2) -> np.ndarray:
    one = Player(SyntheticEcg(RATE_HZ, seconds, seed=8)).next(10**9)
    return np.stack([one] * leads, axis=1).astype(np.float32)


def frames(signal: np.ndarray, size: int = 10, first_seq: int = 0, after_s: float = 0.0):
    for seq, at in enumerate(range(0, len(signal), size), first_seq):
        at_ns = round((after_s + at / RATE_HZ) * 1e9)
        data = signal[at : at + size]
        leads = ("II", "v1")[: signal.shape[1]]
        yield Frame(data, at_ns, at_ns, seq, "chest", RATE_HZ, leads)


def states(health: SignalHealth, signal: np.ndarray, size: int = 10) -> list[tuple[float, Verdict]]:
    """Time of the end of each frame, and its verdict."""
    verdicts = [health(frame) for frame in frames(signal, size)]
    return [(min((n + 1) * size, len(signal)) / RATE_HZ, v) for n, v in enumerate(verdicts)]


def first(found: list[tuple[float, Verdict]], state: str, after_s: float = 0.0) -> float:
    return next(at for at, verdict in found if at > after_s and verdict.state == state)


@pytest.mark.parametrize(
    ("value_mv", "state"),
    [(0.0, "flat"), (0.7, "flat"), (RAIL_MV, "lead-off"), (-RAIL_MV, "lead-off")],
)
@pytest.mark.parametrize("size", [7, 63, 250])
def test_s08_a_lost_lead_is_called_within_2_s_and_is_back_within_2_s(
    value_mv: float, state: str, size: int
) -> None:
    signal = ecg(20.0)
    signal[1250:2500, 1] = value_mv  # 5 s to 10 s, one lead of two

    found = states(SignalHealth(rail_mv=RAIL_MV), signal, size)

    assert 5.0 < first(found, state) <= 7.0
    assert first(found, "live", after_s=10.0) <= 12.0
    during = [verdict for at, verdict in found if 7.0 <= at <= 10.0]
    assert {verdict.state for verdict in during} == {state}
    assert not any(verdict.usable for verdict in during)
    assert all("V1" in verdict.detail for verdict in during)
    assert all(verdict.usable for at, verdict in found if at > 10.0 + size / RATE_HZ)
    assert {verdict.state for at, verdict in found if at > 12.0} == {"live"}


def test_s08_an_electrode_at_the_rail_is_off_although_its_noise_moves_it() -> None:
    signal = ecg(10.0, leads=1)
    random = np.random.default_rng(1)
    signal[1000:, 0] = RAIL_MV + random.integers(0, 2, 1500) * COUNT_MV
    found = states(SignalHealth(rail_mv=RAIL_MV), signal)
    assert first(found, "lead-off") <= 6.0


def test_s08_a_heart_that_stands_still_is_not_flat() -> None:
    random = np.random.default_rng(2)
    asystole = (random.integers(-1, 2, (2500, 2)) * COUNT_MV).astype(np.float32)
    signal = np.concatenate([ecg(5.0), asystole])
    found = states(SignalHealth(rail_mv=RAIL_MV), signal)
    assert {verdict.state for at, verdict in found if at > 2.0} == {"live"}


def test_s08_a_signal_that_leaves_its_range_is_clipped_until_it_is_back() -> None:
    signal = ecg(12.0, leads=1)
    at_s = np.arange(1000) / RATE_HZ
    signal[1000:2000, 0] += 8 * np.sin(2 * np.pi * 1.3 * at_s)  # 4 s to 8 s
    signal = np.clip(signal, -RAIL_MV, RAIL_MV)
    found = states(SignalHealth(rail_mv=RAIL_MV), signal)
    assert first(found, "clipped") <= 5.5
    assert not any(verdict.usable for at, verdict in found if 5.5 < at < 8.0)
    assert all(verdict.usable for at, verdict in found if at > 9.1)


def test_beats_that_touch_the_rail_are_not_yet_clipping() -> None:
    signal = np.clip(ecg(12.0), -0.6, 0.6)
    assert np.mean(signal == np.float32(0.6)) > 0.005
    found = states(SignalHealth(rail_mv=0.6), signal)
    assert {verdict.state for at, verdict in found if at > 2.0} == {"live"}


def test_without_a_known_rail_nothing_is_clipped_and_a_constant_is_flat() -> None:
    signal = np.clip(10 * ecg(6.0), -RAIL_MV, RAIL_MV)
    signal[750:] = RAIL_MV
    found = {verdict.state for at, verdict in states(SignalHealth(), signal) if at > 2.0}
    assert found == {"live", "flat"}


@pytest.mark.parametrize("flat_s", [0.4, 3.0])
def test_how_long_a_value_may_stand_is_an_option(flat_s: float) -> None:
    signal = ecg(12.0)
    signal[1000:2250] = 0.0  # 4 s to 9 s
    found = states(SignalHealth(flat_s=flat_s), signal, size=5)
    assert first(found, "flat") == pytest.approx(4.0 + flat_s, abs=0.021)


def test_a_short_constant_is_no_loss() -> None:
    signal = ecg(8.0)
    signal[1000:1245] = 0.2
    found = states(SignalHealth(), signal)
    assert {verdict.state for at, verdict in found if at > 2.0} == {"live"}


def test_a_flat_piece_inside_one_long_frame_makes_it_unusable() -> None:
    signal = ecg(12.0)
    signal[1000:1500, 0] = 0.1
    (only,) = (verdict for _, verdict in states(SignalHealth(), signal, size=3000))
    assert only.state == "flat"
    assert not only.usable


def test_only_the_named_leads_are_watched() -> None:
    signal = ecg(8.0)
    signal[:, 1] = 0.0
    found = states(SignalHealth(leads=("Lead II",)), signal)
    assert {verdict.state for _, verdict in found} == {"settling", "live"}


def test_a_lead_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="chest: health: leads: there is no V5; it has II, V1"):
        next(map(SignalHealth(leads=("V5",)), frames(ecg(1.0))))


def test_a_derived_lead_is_as_well_as_those_that_it_is_derived_from() -> None:
    signal = ecg(8.0, leads=3)
    signal[:, 0] = 0.0
    named = [f._replace(leads=("V1", "I", "II")) for f in frames(signal)]
    assert {v.state for v in map(SignalHealth(leads=("aVF",)), named)} == {"settling", "live"}
    signal[:, 2] = 0.0
    assert "flat" in {v.state for v in map(SignalHealth(leads=("aVF",)), named)}


def test_a_source_settles_after_its_start_and_after_a_reopening() -> None:
    health = SignalHealth(settle_s=1.0)
    for _ in range(2):
        found = states(health, ecg(3.0))
        assert [verdict.state for _, verdict in found] == ["settling"] * 25 + ["live"] * 50
        assert all(verdict.usable for _, verdict in found)
        health.restart()


def test_s09_a_gap_is_a_state_that_says_how_much_is_missing() -> None:
    health = SignalHealth(settle_s=1.0)
    signal = ecg(3.0)
    states(health, signal)
    after = [health(f) for f in frames(signal, first_seq=80, after_s=3.5)]
    assert [verdict.state for verdict in after] == ["gap"] * 25 + ["live"] * 50
    assert after[0] == Verdict("gap", "0.50 s are missing")


def test_s09_a_number_that_goes_back_is_a_gap_too() -> None:
    health = SignalHealth()
    states(health, ecg(3.0))
    assert health(next(frames(ecg(1.0)))) == Verdict("gap", "samples are missing")


def test_s09_a_constant_across_a_gap_is_not_counted_together() -> None:
    health, still = SignalHealth(settle_s=0.0), np.zeros((200, 1), np.float32)
    states(health, still)
    after = [health(f).state for f in frames(still, first_seq=40, after_s=9.0)]
    assert "flat" not in after


def test_an_image_is_not_for_this_judge() -> None:
    image = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0, 0, "door")
    assert SignalHealth()(image) == Verdict("live")


@pytest.mark.parametrize(
    ("key", "value"), [("flat_s", 0.0), ("rail_mv", -1.0), ("clip_share", 0.0), ("settle_s", -1.0)]
)
def test_an_impossible_option_is_refused(key: str, value: float) -> None:
    with pytest.raises(BadOptionError, match=key):
        SignalHealth(**{key: value})


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 1), min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 59), max_size=6),
)
def test_runs_are_those_that_a_count_by_hand_finds(values: list[int], cuts: list[int]) -> None:
    lengths, ends = [], []
    for value, group in itertools.groupby(values):
        lengths += [(value, n + 1) for n, _ in enumerate(group)]
    equal, flags, at = EqualRuns(), FlagRuns(), 0
    for end in sorted({c for c in cuts if c < len(values)} | {len(values)}):
        piece = np.array(values[at:end], np.float32)
        ends = lengths[at:end]
        assert equal(piece) == max(n for _, n in ends)
        assert flags(piece > 0) == max((n for value, n in ends if value), default=0)
        at = end
