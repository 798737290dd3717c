"""CPU time of every signal step and of the whole chain, in percent of one core at real time.

    python benchmarks/signal_steps.py [SECONDS]

An artificial ECG is fed in chunks of 40 ms, as a live source gives it; 100 % would be a core that
is busy all the time. The best of three runs counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from edge_runtime.ecg.synthetic import Player, SyntheticEcg
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Step
from edge_runtime.preprocess.bandpass import Bandpass
from edge_runtime.preprocess.beats import Beats
from edge_runtime.preprocess.leads import Leads
from edge_runtime.preprocess.quality import QualityStep
from edge_runtime.preprocess.resample import Resample
from edge_runtime.preprocess.window import Window

CHUNK_S = 0.04
STREAMS = {"2 leads x 360 Hz": (("II", "V1"), 360.0), "12 leads x 500 Hz": ((), 500.0)}
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def frames(leads: tuple[str, ...], rate_hz: float, seconds: float) -> list[Frame]:
    one = Player(SyntheticEcg(rate_hz, seconds, seed=1)).next(10**9).astype(np.float32)
    signal = np.stack([one * np.float32(1 - 0.05 * k) for k in range(len(leads))], axis=1)
    chunk, made = round(CHUNK_S * rate_hz), []
    for at in range(0, len(signal), chunk):
        now = round(at * 1e9 / rate_hz)
        data = np.ascontiguousarray(signal[at : at + chunk])
        made.append(Frame(data, now, now, len(made), "bench", rate_hz, leads))
    return made


def run(steps: list[Step], given: list[Frame]) -> float:
    """CPU seconds."""
    began = time.process_time()
    for frame in given:
        held = [frame]
        for step in steps:
            held = [out for one in held for out in step(one)]
    return time.process_time() - began


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    for name, (few, rate_hz) in STREAMS.items():
        leads = few or TWELVE
        given = frames(leads, rate_hz, seconds)
        eight = ("I", "II", *TWELVE[6:])
        kinds: dict[str, Callable[[], list[Step]]] = {
            "leads": lambda leads=leads: [Leads(names=leads)],
            "leads, inverted": lambda leads=leads: [Leads(names=leads, inverted=leads[:1])],
            "bandpass": lambda: [Bandpass()],
            "bandpass + mains": lambda: [Bandpass(mains_hz=50)],
            "resample to 250": lambda: [Resample(rate_hz=250)],
            "window 10 s": lambda: [Window(length_s=10)],
            "quality": lambda: [QualityStep()],
            "beats": lambda leads=leads: [Beats(lead=leads[1])],
            "leads, bandpass + mains, resample, beats": lambda leads=leads: [
                Leads(names=leads),
                Bandpass(mains_hz=50),
                Resample(rate_hz=250),
                Beats(lead=leads[1]),
            ],
        }
        for kind, make in kinds.items():
            share = 100 * min(run(make(), given) for _ in range(3)) / seconds
            print(f"{name:18} {kind:42} {share:6.2f} %")
        if not few:
            given = frames(eight, rate_hz, seconds)
            cost = min(run([Leads(names=TWELVE)], given) for _ in range(3))
            print(f"{name:18} {'leads, 12 from 8':42} {100 * cost / seconds:6.2f} %")


if __name__ == "__main__":
    main()
