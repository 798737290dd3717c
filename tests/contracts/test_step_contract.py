"""What every step promises of gaps and numbering; see also test_chunk_invariance.

A step of your own is held to it by an entry in STEPS.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest

from edge_runtime.ecg.synthetic import Player, SyntheticEcg
from edge_runtime.errors import FrameError
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Step
from edge_runtime.preprocess.bandpass import Bandpass
from edge_runtime.preprocess.beats import Beats
from edge_runtime.preprocess.leads import Leads
from edge_runtime.preprocess.quality import QualityStep
from edge_runtime.preprocess.resample import Resample
from edge_runtime.preprocess.window import Window

RATE_HZ = 360.0
START_NS = 1_700_000_000_000_000_000
STEPS: dict[str, Callable[[], Step]] = {
    "bandpass": Bandpass,
    "bandpass with mains": lambda: Bandpass(low_hz=0.05, high_hz=60, mains_hz=50, low_order=1),
    "resample down": lambda: Resample(rate_hz=250),
    "resample up": lambda: Resample(rate_hz=500),
    "resample to itself": lambda: Resample(rate_hz=RATE_HZ),
    "window": lambda: Window(length_s=1.0, hop_s=0.25),
    "window with holes": lambda: Window(length_s=0.2, hop_s=0.7),
    "beats": Beats,
    "quality": QualityStep,
    "leads": lambda: Leads(names=("V1", "MLII")),
    "leads, absent": lambda: Leads(names=("V1", "V2", "MLII"), absent="zero"),
    "leads, inverted": lambda: Leads(names=("V1", "MLII"), inverted=("MLII",)),
}


def ecg(seconds: float = 12.0, leads: int = 2) -> np.ndarray:
    one = Player(SyntheticEcg(RATE_HZ, seconds, seed=5)).next(10**9)
    return np.stack([one * (1 - 0.3 * k) for k in range(leads)], axis=1).astype(np.float32)


def frames(
    signal: np.ndarray, cuts: Sequence[int], rate_hz: float = RATE_HZ, first_seq: int = 0
) -> list[Frame]:
    """The signal cut before each sample in `cuts`."""
    edges = [0, *cuts, len(signal)]
    made = []
    for at, end in itertools.pairwise(edges):
        after_ns = round(at * 1e9 / rate_hz)
        made.append(
            Frame(
                data=signal[at:end],
                timestamp_ns=START_NS + after_ns,
                monotonic_ns=after_ns,
                seq=first_seq + len(made),
                source="chest",
                rate_hz=rate_hz,
                leads=("MLII", "v1")[: signal.shape[1]],
            )
        )
    return made


def through(step: Step, given_frames: Iterable[Frame]) -> list[Frame]:
    made = [out for frame in given_frames for out in step(frame)]
    return [*made, *step.flush()]


def samples_and_times(made: list[Frame], *, joined: bool) -> tuple[np.ndarray, list[int]]:
    """All samples; and the time of each one (`joined`), or of each frame's first."""
    times = []
    for frame in made:
        count = len(frame.data) if joined else 1
        times += [frame.timestamp_ns + round(k * 1e9 / frame.rate_hz) for k in range(count)]
    return np.concatenate([frame.data for frame in made]), times


@pytest.mark.parametrize("name", STEPS)
def test_a_gap_restarts_the_step_and_shows_in_seq(name: str) -> None:
    first, second = ecg(12.0), ecg(11.0) * np.float32(0.9)
    after_gap = [
        f._replace(timestamp_ns=f.timestamp_ns + 60 * 10**9)
        for f in frames(second, range(500, len(second), 500), first_seq=100)
    ]
    step = STEPS[name]()

    made = through(step, [*frames(first, range(500, len(first), 500)), *after_gap])

    alone = through(STEPS[name](), frames(first, range(500, len(first), 500)))
    fresh = through(STEPS[name](), after_gap)
    assert len(made) == len(alone) + len(fresh)
    for frame, expected in zip(made, [*alone, *fresh], strict=True):
        np.testing.assert_array_equal(frame.data, expected.data)
        assert frame.timestamp_ns == expected.timestamp_ns
    jumps = np.diff([frame.seq for frame in made])
    if "leads" not in name:  # it passes frames on as they are
        assert made[0].seq == 0
        assert list(np.flatnonzero(jumps != 1)) == [len(alone) - 1]
        assert jumps[len(alone) - 1] == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [name for name in STEPS if "leads" not in name])
def test_a_sample_that_is_no_number_is_refused_and_becomes_a_gap(name: str, value: float) -> None:
    signal = ecg()
    bad = frames(signal, range(600, len(signal), 600))
    broken = bad[3].data.copy()
    broken[17, 0] = value
    bad[3] = bad[3]._replace(data=broken)
    step, made = STEPS[name](), []

    for frame in bad:
        if frame is bad[3]:
            with pytest.raises(FrameError, match="NaN or infinity"):
                list(step(frame))
        else:
            made += step(frame)

    made += step.flush()
    assert all(np.isfinite(frame.data).all() for frame in made)
    assert max(np.diff([frame.seq for frame in made])) == 2
