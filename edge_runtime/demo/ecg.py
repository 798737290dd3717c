"""The ECG show: a generated heart, the beats that the model names, and those that were there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from .alignment import Alignment
from .hearing import Heard
from .ink import CYAN, GREEN, GREY, RED, Line, Pen, Span, fill, line
from .plot import Mark, Strip, axis, labels, trace
from .score import BeatScore, TrueBeat, pair, score_beats, table
from .show import DEVICE, Canvas, rows
from .tally import milliseconds

if TYPE_CHECKING:
    from edge_runtime.frame import Signal
    from edge_runtime.outcome import Beat
    from edge_runtime.sources.generators.ecgsyn import EcgSyn

MODEL = "ecg-beats"
SEED = 11  # by its rhythm: S and V beats within the first ten seconds
RATE_HZ = 360.0
CHUNK_S = 0.1  # a short frame keeps the delay small
PREMATURE = 0.2  # many, so that there is something to see
TAIL_S = 0.6  # a beat this near to the end has no whole window, and gets no result
SPAN_S = 4.0  # of the strip
GUTTER = 7  # characters beside the strip
LOW_MV, HIGH_MV = -0.9, 1.7

RUN_FILE = f"""\
name = "ecg"
device = "{DEVICE}"

[model]
path = "{MODEL}"      # comes with the package

[[source]]
kind = "ecgsyn"         # generated; a real one: "serial", "csv", "wfdb"
pace = "real"
seconds = {{seconds}}
seed = {SEED}
rate_hz = {RATE_HZ}
chunk_s = {CHUNK_S}
premature = {PREMATURE}

[[step]]
kind = "resample"
rate_hz = 250.0

[[step]]
kind = "bandpass"
low_hz = 0.5
high_hz = 40.0

[[step]]
kind = "beats"

[[sink]]
kind = "mqtt"
url = "{{url}}"
protocol = "3.1.1"      # all that this small broker speaks

[sink.outbox]
durability = "memory"   # a demo leaves nothing behind
"""


class Ecg:
    """The same signal as in the pipeline, made again from its seed; times settle by the beats."""

    kind = "ecg"
    model = MODEL

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._source = _source(seconds)
        self._truth = [TrueBeat(at / RATE_HZ, label) for at, label in self._source.truth]
        self._alignment = Alignment([beat.time_s for beat in self._truth])
        self._beats: list[Beat] = []
        self._inference_ms: list[float] = []
        self._tape = _Tape(self._source)

    def run_file(self, url: str) -> str:
        return RUN_FILE.format(seconds=self.seconds, url=url)

    def age_name(self) -> str:
        return "R peak to subscriber"

    def per_frame(self) -> str:
        return "(one for each beat)"

    def live(self, time_ns: int) -> None:
        self._alignment.announced(time_ns)

    def happened_ns(self, heard: Heard) -> int:
        return heard.beats[0].timestamp_ns if heard.beats else heard.timestamp_ns

    def hear(self, heard: Heard) -> None:
        self._beats += heard.beats
        self._inference_ms.append(heard.inference_ms)
        for beat in heard.beats:
            self._alignment.found(beat.timestamp_ns)

    def picture(self, canvas: Canvas) -> list[Line]:
        facts = rows(self.facts(canvas.pen))
        height = canvas.height - len(facts) - 4  # two rows of labels, the axis, a blank
        if self._alignment.start_ns is None:
            return [line("waiting for the pipeline ...")]
        if height < 3:
            return facts[: canvas.height]
        now_s = (canvas.now_ns - self._alignment.start_ns) / 1e9
        strip = Strip(
            columns=max(canvas.width - GUTTER, 10),
            rows=height,
            span_s=SPAN_S,
            end_s=min(max(now_s, 0.0), self.seconds),
            low_mv=LOW_MV,
            high_mv=HIGH_MV,
            unicode=canvas.pen.unicode,
        )
        return [*self._strip(strip), (), *facts]

    def _strip(self, strip: Strip) -> list[Line]:
        samples = self._tape.until(strip.end_s)
        gutter = {0: f"{HIGH_MV} mV", strip.rows - 1: f"{LOW_MV}"}
        drawn = [
            line(Span(f"{gutter.get(row, ''):<{GUTTER}}", GREY), Span(text, CYAN))
            for row, text in enumerate(trace(samples, RATE_HZ, strip))
        ]
        said, there = self._marks(strip.end_s)
        return [
            *drawn,
            line(Span(f"{f'{SPAN_S:g} s':<{GUTTER}}", GREY), *axis(strip)),
            line(Span(f"{'model':<{GUTTER}}", GREY), *labels(said, strip)),
            line(Span(f"{'truth':<{GUTTER}}", GREY), *labels(there, strip)),
        ]

    def _marks(self, end_s: float) -> tuple[list[Mark], list[Mark]]:
        """What the model said, a wrong one with "!"; and what there is, up to now."""
        found = self._found()
        pairs = {said: true for true, said in pair(self._truth, found)}
        said = []
        for position, beat in enumerate(found):
            true = self._truth[pairs[position]].label if position in pairs else ""
            right = beat.label == true
            text = beat.label if right else f"{beat.label}!"
            said.append(Mark(beat.time_s, text, GREEN if right else RED))
        there = [Mark(b.time_s, b.label, GREY) for b in self._truth if b.time_s <= end_s]
        return said, there

    def _found(self) -> list[TrueBeat]:
        """What was heard, in seconds after the start of the signal, in order of time."""
        start_ns = self._alignment.start_ns
        if start_ns is None:
            return []
        found = [TrueBeat((b.timestamp_ns - start_ns) / 1e9, b.label) for b in self._beats]
        return sorted(found, key=lambda beat: beat.time_s)

    def _score(self, *, complete: bool) -> BeatScore:
        """Over the beats that can have a result by now."""
        found = self._found()
        last_s = found[-1].time_s + 0.2 if found else 0.0
        end_s = self.seconds - TAIL_S if complete else last_s
        return score_beats([b for b in self._truth if b.time_s <= max(end_s, last_s)], found)

    def facts(self, pen: Pen) -> list[tuple[str, Line]]:
        if not self._beats:
            return [("heart", fill("listening: the first beats take two seconds"))]
        score = self._score(complete=False)
        heart = "♥ " if pen.unicode else ""
        return [
            ("heart", line(Span(f"{heart}{self._rate()}", RED, bold=True), f"   {self._counts()}")),
            ("truth", fill(_found_text(score))),
            ("inference", fill(milliseconds(self._inference_ms))),
        ]

    def _rate(self) -> str:
        rate_bpm = self._beats[-1].rate_bpm
        return "-- bpm" if rate_bpm is None else f"{rate_bpm:.0f} bpm"

    def _counts(self) -> str:
        counts = Counter(beat.label for beat in self._beats)
        classes = "  ".join(f"{label} {counts[label]}" for label in sorted(counts))
        return f"{len(self._beats)} beats: {classes}"

    def line(self) -> str:
        if not self._beats:
            return "no beat yet"
        score = self._score(complete=False)
        last = self._beats[-1]
        return f"{self._rate()}  last beat {last.label}  {self._counts()}; {_found_text(score)}"

    def report(self, *, complete: bool) -> list[str]:
        score = self._score(complete=complete)
        share = f" ({score.right / score.truth:.1%})" if score.truth else ""
        return [
            f"inference    {milliseconds(self._inference_ms)}",
            f"score        {_found_text(score)}{share}; {score.extra} extra",
            *table(score.classes, "beats"),
        ]


def _found_text(score: BeatScore) -> str:
    return f"{score.found} of {score.truth} beats found, {score.right} labels right"


def _source(seconds: float) -> EcgSyn:
    from edge_runtime.sources.generators.ecgsyn import EcgSyn

    return EcgSyn(
        name="ecgsyn",
        rate_hz=RATE_HZ,
        seconds=seconds,
        seed=SEED,
        chunk_s=CHUNK_S,
        premature=PREMATURE,
        pace="flat",
    )


class _Tape:
    """The signal from its start, made as far as it is needed."""

    def __init__(self, source: EcgSyn) -> None:
        self._source = source
        self._samples = np.empty(0, np.float32)
        self._ended = False
        source.open()

    def until(self, end_s: float) -> Signal:
        """(samples,) in mV, to `end_s` or a little further."""
        from edge_runtime.errors import EndOfStream

        pieces = [self._samples]
        count = len(self._samples)
        while count < end_s * RATE_HZ and not self._ended:
            try:
                frame = self._source.read(0.0)
            except EndOfStream:
                self._ended = True
                break
            if frame is not None:
                pieces.append(frame.data[:, 0])
                count += len(frame.data)
        self._samples = np.concatenate(pieces)
        return self._samples
