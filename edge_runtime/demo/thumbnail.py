"""An image as characters: two pixels in each half-block, or a ramp of ASCII letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .ink import Line, Pen, Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

_RAMP = " .:-=+*#%@"  # by rising brightness
_LUMA = np.array([0.299, 0.587, 0.114])  # of red, green, blue: ITU-R BT.601, 2.5.1


def thumbnail(image: Image, columns: int, rows: int, pen: Pen) -> list[Line]:
    """`image` (H, W, 3) BGR in at most `columns` x `rows` characters, its proportions kept.

    A character is taken to be twice as high as wide.
    """
    height, width = image.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    across, down = max(round(width * scale), 1), max(round(height * scale / 2), 1)
    if pen.unicode and pen.depth >= 256:
        return _blocks(_shrunk(image, across, 2 * down))
    return _letters(_shrunk(image, across, down))


def _shrunk(image: Image, columns: int, rows: int) -> Image:
    """(rows, columns, 3) RGB: the mean of what each cell covers."""
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1, 3))
    np.cumsum(np.cumsum(image[:, :, ::-1], axis=0, dtype=float), axis=1, out=sums[1:, 1:])
    top, bottom = _cells(image.shape[0], rows)
    left, right = _cells(image.shape[1], columns)
    total = (
        sums[np.ix_(bottom, right)]
        - sums[np.ix_(top, right)]
        - sums[np.ix_(bottom, left)]
        + sums[np.ix_(top, left)]
    )
    area = np.outer(bottom - top, right - left)[:, :, None]
    return np.round(total / area).astype(np.uint8)


def _cells(size: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    start = np.arange(count) * size // count
    end = np.maximum((np.arange(count) + 1) * size // count, start + 1)
    return start, end


def _blocks(pixels: Image) -> list[Line]:
    lines: list[Line] = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        pairs = list(zip(map(tuple, upper), map(tuple, lower), strict=True))
        lines.append(_merged([Span("▀", above, below) for above, below in pairs]))
    return lines


def _merged(spans: list[Span]) -> Line:
    """Neighbours of one look as one span: fewer bytes for a slow terminal."""
    merged: list[Span] = []
    for span in spans:
        last = merged[-1] if merged else None
        if last and (last.colour, last.ground) == (span.colour, span.ground):
            merged[-1] = Span(last.text + span.text, span.colour, span.ground)
        else:
            merged.append(span)
    return tuple(merged)


def _letters(pixels: Image) -> list[Line]:
    bright = pixels @ _LUMA  # (rows, columns) in 0..255
    low, high = float(bright.min()), float(bright.max())
    steps = (bright - low) / max(high - low, 1.0) * (len(_RAMP) - 1)
    return [(Span("".join(_RAMP[step] for step in row)),) for row in np.rint(steps).astype(int)]
