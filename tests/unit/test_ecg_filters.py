"""Filters: corners, steadiness, and bit-identity however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.ecg.filters import Fir, SectionFilter, highpass, lowpass, notch, phase_delay_s
from edge_runtime.ecg.resampler import Resampler


def gain(sections: tuple, hz: float, rate_hz: float = 500.0) -> float:
    time_s = np.arange(20_000) / rate_hz
    out = SectionFilter(sections)(np.sin(2 * np.pi * hz * time_s)[:, None])[10_000:, 0]
    return float(np.sqrt(2 * np.mean(out**2)))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("corner_hz", [5.0, 40.0])
def test_butterworth_is_minus_3_db_at_its_corner(order: int, corner_hz: float) -> None:
    assert gain(lowpass(order, corner_hz, 500.0), corner_hz) == pytest.approx(2**-0.5, abs=2e-3)
    assert gain(highpass(order, corner_hz, 500.0), corner_hz) == pytest.approx(2**-0.5, abs=2e-3)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_butterworth_falls_by_its_order(order: int) -> None:
    expected = (1 + 4.0 ** (2 * order)) ** -0.5  # two octaves above the corner, far from Nyquist
    assert gain(lowpass(order, 5.0, 500.0), 20.0) == pytest.approx(expected, rel=0.05)


def test_notch_takes_out_its_centre() -> None:
    assert gain(notch(50.0, 500.0), 50.0) < 1e-3
    assert gain(notch(50.0, 500.0), 45.0) > 0.95


def test_phase_delay_is_that_of_a_sine() -> None:
    sections = highpass(2, 0.5, 500.0) + lowpass(2, 40.0, 500.0)
    delay_s = phase_delay_s(sections, 10.0, 500.0)
    time_s = np.arange(20_000) / 500.0
    out = SectionFilter(sections)(np.sin(20 * np.pi * time_s)[:, None])[10_000:, 0]
    np.testing.assert_allclose(out, np.sin(20 * np.pi * (time_s[10_000:] - delay_s)), atol=0.01)


@settings(max_examples=30, deadline=None)
@given(chunk=st.integers(1, 400), seed=st.integers(0, 99))
def test_filters_are_identical_to_the_bit_for_every_chunk_size(chunk: int, seed: int) -> None:
    signal = np.random.default_rng(seed).normal(size=(900, 2))
    taps = np.hanning(41)
    sections = highpass(2, 0.5, 360.0) + lowpass(4, 40.0, 360.0)

    whole, cut = SectionFilter(sections), SectionFilter(sections)
    fir, fir_cut = Fir(taps), Fir(taps)
    even, even_cut = Resampler(360, 250), Resampler(360, 250)
    pieces = [signal[at : at + chunk] for at in range(0, len(signal), chunk)]

    np.testing.assert_array_equal(np.concatenate([cut(p) for p in pieces]), whole(signal))
    np.testing.assert_array_equal(
        np.concatenate([fir_cut(p[:, 0]) for p in pieces]), fir(signal[:, 0])
    )
    np.testing.assert_array_equal(
        np.concatenate([even_cut.feed(p)[0] for p in pieces]), even.feed(signal)[0]
    )


def test_resampler_gives_the_position_of_each_output() -> None:
    resampler = Resampler(360, 250)
    first, at = resampler.feed(np.zeros((400, 1)))
    more, then = resampler.feed(np.zeros((400, 1)))
    rest, last = resampler.flush()
    assert at == 0
    assert then == pytest.approx(len(first) * 1.44)
    assert last == pytest.approx((len(first) + len(more)) * 1.44)
    assert last + (len(rest) - 1) * 1.44 == pytest.approx(799, abs=1.44)
    assert 400 - then <= resampler.look_ahead + 1.44


def test_resampler_keeps_a_constant() -> None:
    resampler = Resampler(499.31, 250)
    out = np.concatenate([resampler.feed(np.full((700, 1), 2.5))[0], resampler.flush()[0]])
    np.testing.assert_allclose(out, 2.5, atol=1e-12)


def test_resampler_holds_only_its_look_back() -> None:
    resampler = Resampler(360, 250)
    for _ in range(200):
        resampler.feed(np.zeros((360, 1)))
    assert len(resampler._held) < 3 * resampler.look_ahead + 360


def test_resampler_refuses_a_ratio_that_it_cannot_hold() -> None:
    with pytest.raises(ValueError, match="cannot resample"):
        Resampler(1_000_000, 1)
