"""The source `shapes`: generated pictures of one shape each, whose truth is known.

Every picture is drawn from its seed and number alone: a textured background with light from one
side, and on it, in most pictures, one shape of a random colour, size, angle and place. Edges are
smoothed over one pixel by the distance to them.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_runtime.errors import BadOptionError, EndOfStream, SourceLostError
from edge_runtime.frame import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Plane = NDArray[np.float32]

SHAPES = ("circle", "square", "triangle", "star", "cross", "none")

_CONTRAST_MIN = 60.0  # between shape and background, in steps of 255, on the strongest channel


class Shapes:
    """Gives `count` pictures, the same ones for the same `seed`, then ends.

    Args:
        name: the source's name.
        count: pictures to give.
        seed: another seed gives other pictures.
        width, height: of a picture, in pixels.
        pace: "real" gives `rate_hz` pictures a second, "flat" as many as are read.
        rate_hz: pictures a second on the wall clock of the frames, whatever the pace.
    """

    live = False

    def __init__(
        self,
        *,
        name: str = "shapes",
        count: int = 200,
        seed: int = 1,
        width: int = 320,
        height: int = 240,
        pace: Literal["flat", "real"] = "real",
        rate_hz: float = 10.0,
    ) -> None:
        for key, value in (("count", count), ("rate_hz", rate_hz)):
            if not value > 0:
                raise BadOptionError(key, f"{value} must be above 0")
        for key, value in (("width", width), ("height", height)):
            if not 32 <= value <= 4096:
                raise BadOptionError(key, f"{value} is not within 32..4096")
        if seed < 0:
            raise BadOptionError("seed", f"{seed} must not be below 0")
        self.name = name
        self._count, self._seed = count, seed
        self._size = (width, height)
        self._real, self._period_ns = pace == "real", round(1e9 / rate_hz)
        self._stop = threading.Event()
        self._seq = 0
        self._start: tuple[int, int] | None = None  # wall and monotonic time of picture 0

    @property
    def truth(self) -> tuple[str, ...]:
        """The shape in each picture, by `seq`."""
        return tuple(shape_of(self._seed, seq) for seq in range(self._count))

    def open(self) -> None:
        self._stop.clear()
        self._seq = 0
        self._start = (time.time_ns(), time.monotonic_ns())

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture. Raises EndOfStream after the last one."""
        if self._start is None:
            raise SourceLostError(f"{self.name}: is not open")
        if self._seq >= self._count:
            raise EndOfStream
        due_ns = self._seq * self._period_ns
        if self._real and not self._wait(self._start[1] + due_ns, timeout_s):
            return None
        seq, self._seq = self._seq, self._seq + 1
        return Frame(
            data=draw(self._seed, seq, *self._size),
            timestamp_ns=self._start[0] + due_ns,
            monotonic_ns=time.monotonic_ns(),
            seq=seq,
            source=self.name,
        )

    def _wait(self, due_ns: int, timeout_s: float) -> bool:
        left_s = (due_ns - time.monotonic_ns()) / 1e9
        if left_s > 0:
            self._stop.wait(min(left_s, timeout_s))
        return time.monotonic_ns() >= due_ns

    def close(self) -> None:
        self._stop.set()
        self._start = None


def shape_of(seed: int, seq: int) -> str:
    """Which shape picture `seq` of a seed holds."""
    return SHAPES[int(np.random.default_rng((seed, seq)).integers(len(SHAPES)))]


def draw(seed: int, seq: int, width: int, height: int) -> Picture:
    """Picture `seq` of a seed, (height, width, 3) uint8 in BGR."""
    rng = np.random.default_rng((seed, seq))
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    back = rng.uniform(20, 235, 3)
    picture = _background(rng, back, width, height)
    if shape != "none":
        cover = _cover(rng, shape, width, height)[:, :, None]  # 0 outside, 1 inside
        picture += cover * (_colour_unlike(rng, back) - picture)
    light = _slope(rng, width, height)[:, :, None]
    picture *= np.float32(1) + np.float32(rng.uniform(0.0, 0.3)) * light
    picture += rng.normal(0, rng.uniform(1, 8), picture.shape).astype(np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _background(
    rng: np.random.Generator, back: NDArray[np.float64], width: int, height: int
) -> Plane:
    """A colour, mottled in blocks and in waves."""
    block = int(rng.integers(4, 24))
    coarse = rng.normal(0, rng.uniform(0, 14), (height // block + 1, width // block + 1, 3))
    texture = coarse.astype(np.float32).repeat(block, axis=0).repeat(block, axis=1)
    waves = np.sin(_slope(rng, width, height) * np.float32(rng.uniform(3, 40)))
    waves *= np.float32(rng.uniform(0, 12))
    mottled: Plane = texture[:height, :width] + waves[:, :, None] + back.astype(np.float32)
    return mottled


def _slope(rng: np.random.Generator, width: int, height: int) -> Plane:
    """A plane that rises from -1 to 1, or less, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(np.cos(angle))
    y = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(np.sin(angle))
    slope: Plane = (x[None, :] + y[:, None]) / np.float32(np.sqrt(2))
    return slope


def _colour_unlike(rng: np.random.Generator, back: NDArray[np.float64]) -> Plane:
    while True:
        colour = rng.uniform(0, 255, 3)
        if np.abs(colour - back).max() >= _CONTRAST_MIN:
            chosen: Plane = colour.astype(np.float32)
            return chosen


def _cover(rng: np.random.Generator, shape: str, width: int, height: int) -> Plane:
    """How much of each pixel the shape covers, (height, width) in 0..1."""
    radius = rng.uniform(0.18, 0.42) * min(width, height)
    x0, y0 = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    angle = rng.uniform(0, 2 * np.pi)
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5 - x0))[None, :]
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5 - y0))[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    outside = _distance(shape, x * cos + y * sin, y * cos - x * sin, np.float32(radius))
    cover: Plane = np.clip(np.float32(0.5) - outside, 0, 1)
    return cover


def _distance(shape: str, x: Plane, y: Plane, radius: np.float32) -> Plane:
    """Signed distance to the edge, in pixels, below 0 inside; the shape fits in `radius`."""
    distance: Plane
    if shape == "circle":
        distance = np.hypot(x, y) - np.float32(0.9) * radius
    elif shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - radius * np.float32(np.sqrt(0.5))
    elif shape == "cross":
        long, short = np.float32(0.95) * radius, np.float32(0.27) * radius
        upright = np.maximum(np.abs(x) - short, np.abs(y) - long)
        distance = np.minimum(upright, np.maximum(np.abs(x) - long, np.abs(y) - short))
    elif shape == "triangle":
        distance = _half_planes(x, y, 3, radius * np.float32(0.5)).max(axis=0)
    else:
        # A five-pointed star is where at least four half-planes of a pentagon overlap.
        inner = radius * np.float32(np.cos(2 * np.pi / 5))
        distance = np.partition(_half_planes(x, y, 5, inner), 3, axis=0)[3]
    return distance


def _half_planes(x: Plane, y: Plane, count: int, distance: np.float32) -> Plane:
    """Signed distances to `count` lines all around, each `distance` from the centre."""
    angles = (np.arange(count) * 2 * np.pi / count).astype(np.float32)[:, None, None]
    planes: Plane = x * np.cos(angles) + y * np.sin(angles) - distance
    return planes
