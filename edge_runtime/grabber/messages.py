"""What the reader process tells its parent: one datagram each, the first byte says which.

O  opened, or the size changed: JSON of `Facts`, with the descriptor of a new ring
F  a picture: slot, seq, wall time, monotonic time
B  a picture that does not decode
L  lost: why, as text
M  something must be installed: what, as text
"""

from __future__ import annotations

import struct
from typing import NamedTuple

OPENED, FRAME, BAD, LOST, MISSING = b"O", b"F", b"B", b"L", b"M"
LENGTH_MAX = 4096
_PICTURE = struct.Struct("<HQQQ")


class Facts(NamedTuple):
    """What the driver really gives; 0 and "" where it does not say."""

    width: int
    height: int
    fps: float = 0.0
    fourcc: str = ""


class Picture(NamedTuple):
    """Where a picture lies, and when it was taken."""

    slot: int
    seq: int
    timestamp_ns: int
    monotonic_ns: int

    def packed(self) -> bytes:
        return FRAME + _PICTURE.pack(*self)


def picture(message: bytes) -> Picture:
    """The opposite of `Picture.packed`."""
    return Picture(*_PICTURE.unpack_from(message, 1))
