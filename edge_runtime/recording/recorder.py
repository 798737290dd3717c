"""The monitor `recorder`: keeps the pictures around what the model found."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame, Result, SourceState
from edge_runtime.opencv import opencv
from edge_runtime.outcome import Detections, Keypoints, Labels, Outcome

from .writer import Picture, Writer

_CLIP_MAX_S = 60.0  # a longer event goes on in the next clip
_OTHER = re.compile(r"[^A-Za-z0-9-]+")


class Recorder:
    """A clip (Motion JPEG in AVI) or a picture of every trigger, with its facts beside it as JSON.

    A trigger is a label, a detection or a pose with one of `labels` and at least
    `score_min`. Pictures are kept in memory as JPEG for `before_s`; a clip ends `after_s` behind
    the last trigger, or after a minute. Files lie in a folder for each source below `path`; the
    oldest are deleted when they are more than `bytes_max` or older than `days_max`. The masks of
    [source.mask] are in the pictures.

    Args:
        path: the folder.
        what: "clip", or "picture" of the frame in question.
        labels: what triggers; none named means every label.
        score_min: a lower score triggers nothing.
        before_s, after_s: what a clip shows around its triggers.
        rate_hz: pictures a second in a clip.
        width: wider pictures are made so wide; 0 leaves them as they are.
        quality: of the JPEGs, 1 to 100.
        bytes_max: of all files of one source.
        days_max: age of the oldest file.
    """

    def __init__(
        self,
        *,
        path: str,
        what: Literal["clip", "picture"] = "clip",
        labels: tuple[str, ...] = (),
        score_min: float = 0.5,
        before_s: float = 5.0,
        after_s: float = 5.0,
        rate_hz: float = 5.0,
        width: int = 640,
        quality: int = 80,
        bytes_max: int = 1_000_000_000,
        days_max: float = 30.0,
    ) -> None:
        if not path:
            raise BadOptionError("path", "is empty; give a folder")
        for key, value, least, most in (
            ("score_min", score_min, 0, 1),
            ("before_s", before_s, 0, 60),
            ("after_s", after_s, 0, 60),
            ("rate_hz", rate_hz, 0.1, 60),
            ("width", width, 0, 16_384),
            ("quality", quality, 1, 100),
            ("bytes_max", bytes_max, 1_000_000, 1e15),
            ("days_max", days_max, 0.01, 36_500),
        ):
            if not least <= value <= most:
                raise BadOptionError(key, f"{value} is not within {least}..{most}")
        self._path, self._clips, self._labels = Path(path), what == "clip", frozenset(labels)
        self._score_min, self._after_ns = score_min, round(after_s * 1e9)
        self._width, self._quality, self._period_ns = width, quality, round(1e9 / rate_hz)
        self._bounds = bytes_max, days_max
        self._held: deque[Picture] = deque(maxlen=1 + round(before_s * rate_hz))
        self._latest: Frame | None = None
        self._kept_ns = -(10**20)
        self._writer: Writer | None = None
        self._triggers: list[dict[str, object]] = []  # of the clip at work
        self._begun_ns = self._trigger_ns = 0

    def frame(self, frame: Frame) -> Iterable[Outcome]:
        """Keep the picture, in memory or in the clip at work."""
        self._latest = frame
        if self._clips and not 0 <= frame.timestamp_ns - self._kept_ns < self._period_ns:
            self._kept_ns = frame.timestamp_ns
            picture = self._encoded(frame)
            if self._triggers:
                self._go_on(picture)
            else:
                self._held.append(picture)
        return ()

    def result(self, result: Result) -> Iterable[Outcome]:
        """Begin a clip, or make the one at work longer."""
        found = [
            {"label": label, "score": score}
            for label, score in _named(result.outcome)
            if score >= self._score_min and (not self._labels or label in self._labels)
        ]
        if found and self._latest is not None:
            facts = {"id": result.id, "timestamp_ns": result.timestamp_ns, "found": found}
            self._trigger(result, str(found[0]["label"]), facts)
        return ()

    def state(self, state: SourceState) -> Iterable[Outcome]:
        """A clip of a camera that is lost ends."""
        if state.state in ("lost", "ended"):
            self._end()
        return ()

    def flush(self) -> Iterable[Outcome]:
        """Finish what is being written."""
        self._end()
        if self._writer:
            self._writer.close()
        return ()

    def _trigger(self, result: Result, label: str, facts: dict[str, object]) -> None:
        assert self._latest is not None
        source = self._latest.source
        if self._writer is None:
            self._writer = Writer(self._path / source, *self._bounds)
        name = _file_name(result.timestamp_ns, label)
        if not self._clips:
            picture = self._encoded(self._latest)
            self._writer.still(name, picture, {"source": source, "triggers": [facts]})
            return
        if not self._triggers:
            self._begun_ns = result.timestamp_ns
            self._writer.begin(name)
            for picture in self._held:
                self._writer.add(picture)
            self._held.clear()
        self._trigger_ns = result.timestamp_ns
        self._triggers.append(facts)

    def _go_on(self, picture: Picture) -> None:
        assert self._writer is not None
        self._writer.add(picture)
        now_ns = picture.timestamp_ns
        over = not 0 <= now_ns - self._trigger_ns < self._after_ns
        if over or now_ns - self._begun_ns > _CLIP_MAX_S * 1e9:
            self._end()

    def _end(self) -> None:
        if self._triggers and self._writer and self._latest:
            self._writer.end({"source": self._latest.source, "triggers": self._triggers})
            self._triggers = []

    def _encoded(self, frame: Frame) -> Picture:
        cv2 = opencv("monitor recorder")
        image = frame.data
        height, width = image.shape[:2]
        if self._width and width > self._width:
            size = (self._width, max(1, round(height * self._width / width)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        parameters = [cv2.IMWRITE_JPEG_QUALITY, self._quality]
        jpeg: Any = cv2.imencode(".jpg", image, parameters)[1]
        return Picture(jpeg.tobytes(), frame.timestamp_ns, image.shape[1], image.shape[0])


def _named(outcome: Outcome) -> Iterator[tuple[str, float]]:
    """What an outcome names, with its score; a pose is named so, with that of its best point."""
    if isinstance(outcome, Labels):
        yield from ((label.label, label.score) for label in outcome.labels)
    elif isinstance(outcome, Detections):
        yield from ((detection.label, detection.score) for detection in outcome.detections)
    elif isinstance(outcome, Keypoints) and outcome.keypoints:
        yield "pose", max(point.score for point in outcome.keypoints)


def _file_name(timestamp_ns: int, label: str) -> str:
    """Sorts by time and holds no sign that a file system or a shell minds."""
    moment = datetime.fromtimestamp(timestamp_ns / 1e9, timezone.utc)
    return f"{moment:%Y-%m-%dT%H-%M-%S.%f}Z_{_OTHER.sub('-', label)[:40]}"
