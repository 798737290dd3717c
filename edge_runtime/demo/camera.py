"""The camera show: generated pictures of shapes, what the model calls them, and what they are."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .hearing import Heard
from .ink import GREEN, RED, YELLOW, Line, Pen, Span, beside, line
from .score import score_labels, table
from .show import DEVICE, Canvas, rows
from .tally import milliseconds
from .thumbnail import thumbnail

if TYPE_CHECKING:
    from edge_runtime.sources.generators.shapes import Picture

MODEL = "shapes"
SEED = 7
RATE_HZ = 10.0
WIDTH, HEIGHT = 320, 240
RECENT = 24  # marks of right and wrong in the picture
BAR = 20  # characters of a full score

RUN_FILE = f"""\
name = "camera"
device = "{DEVICE}"

[model]
path = "{MODEL}"         # comes with the package

[[source]]
kind = "shapes"         # generated; a real one: kind = "camera"
pace = "real"
count = {{count}}
seed = {SEED}
rate_hz = {RATE_HZ}
width = {WIDTH}
height = {HEIGHT}

[[sink]]
kind = "mqtt"
url = "{{url}}"
protocol = "3.1.1"      # all that this small broker speaks

[sink.outbox]
durability = "memory"   # a demo leaves nothing behind
"""


class Camera:
    """Pictures by number: both the generator in the pipeline and this show know the seed."""

    kind = "camera"
    model = MODEL

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._count = max(round(seconds * RATE_HZ), 1)
        self._last: Heard | None = None
        self._pairs: list[tuple[str, str]] = []  # (truth, said)
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._latency_ms: list[float] = []
        self._inference_ms: list[float] = []
        self._drawn: tuple[int, Picture] | None = None

    def run_file(self, url: str) -> str:
        return RUN_FILE.format(count=self._count, url=url)

    def live(self, time_ns: int) -> None:
        """Nothing to do: a picture is known by its number."""

    def happened_ns(self, heard: Heard) -> int:
        return heard.timestamp_ns

    def age_name(self) -> str:
        return "picture due to subscriber"

    def per_frame(self) -> str:
        return "(one for each picture)"

    def hear(self, heard: Heard) -> None:
        from edge_runtime.sources.generators.shapes import shape_of

        truth = shape_of(SEED, heard.seq)
        said = heard.labels[0].label if heard.labels else "-"
        self._last = heard
        self._pairs.append((truth, said))
        self._recent.append(truth == said)
        self._latency_ms.append(heard.latency_ms)
        self._inference_ms.append(heard.inference_ms)

    def picture(self, canvas: Canvas) -> list[Line]:
        facts = rows(self.facts(canvas.pen))
        if self._last is None:
            return [line("waiting for the first result ...")]
        beneath = canvas.width < 60
        columns = canvas.width if beneath else max(canvas.width - 40, 20)
        height = canvas.height - len(facts) - 1 if beneath else canvas.height
        if height < 4:
            return facts[: canvas.height]
        image = thumbnail(self._image(self._last.seq), columns, height, canvas.pen)
        if beneath:
            return [*image, (), *facts]
        width = max(sum(len(span.text) for span in row) for row in image)
        return beside(image, [(), *facts], width + 2)[: canvas.height]

    def _image(self, seq: int) -> Picture:
        from edge_runtime.sources.generators.shapes import draw

        if self._drawn is None or self._drawn[0] != seq:
            self._drawn = (seq, draw(SEED, seq, WIDTH, HEIGHT))
        return self._drawn[1]

    def facts(self, pen: Pen) -> list[tuple[str, Line]]:
        if self._last is None or not self._last.labels:
            return [("model says", line("-"))]
        best, (truth, said) = self._last.labels[0], self._pairs[-1]
        right = sum(a == b for a, b in self._pairs)
        good, bad, block = ("✓", "✗", "█") if pen.unicode else ("+", "x", "#")
        verdict = Span(f" {good}", GREEN) if truth == said else Span(f" {bad}", RED)
        recent = [Span(good, GREEN) if mark else Span(bad, RED) for mark in self._recent]
        return [
            ("model says", line(Span(best.label, bold=True))),
            ("score", line(Span(block * round(best.score * BAR), YELLOW), f" {best.score:.0%}")),
            ("truth", line(truth, verdict)),
            ("", ()),
            ("so far", line(f"{right} of {len(self._pairs)} right")),
            ("recent", line(*recent)),
            ("latency", line(milliseconds(self._latency_ms))),
            ("inference", line(milliseconds(self._inference_ms))),
        ]

    def line(self) -> str:
        if not self._pairs:
            return "no result yet"
        truth, said = self._pairs[-1]
        right = sum(a == b for a, b in self._pairs)
        return (
            f"picture {self._last.seq if self._last else 0}: {said}"
            f" ({'right' if truth == said else f'WRONG, it is {truth}'}), "
            f"{right} of {len(self._pairs)} right, latency {milliseconds(self._latency_ms)}"
        )

    def report(self, *, complete: bool) -> list[str]:  # noqa: ARG002 - each picture counts alone
        right = sum(a == b for a, b in self._pairs)
        share = f" ({right / len(self._pairs):.1%})" if self._pairs else ""
        return [
            f"latency      capture to result {milliseconds(self._latency_ms)}",
            f"inference    {milliseconds(self._inference_ms)}",
            f"score        {right} of {len(self._pairs)} pictures right{share}",
            *table(score_labels(self._pairs), "pictures"),
        ]
