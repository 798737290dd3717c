"""Pictures in memory that two processes share: written by one, lent out by the other.

The memory has no name (memfd_create), so a killed process leaves nothing behind. The writer takes
a free slot; the reader frees it when the last array that looks into it is gone. One byte a slot
says which; each side writes only its own change of it, so there is no lock.

Twenty-five times a second everything here is cold in the processor's caches, so it is done with
few calls: numpy to count ten bytes, or a finalizer for each picture, cost more than the rest.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

SLOTS = 10  # four in a mailbox, one at work, the rest to write into
SPARE = 3  # with fewer slots free, a picture is copied and its slot freed at once
_PAGE = mmap.PAGESIZE
_FREE = b"\0"


class Ring:
    """`SLOTS` pictures of one shape. `fd` is None where the ring was made from a received one."""

    def __init__(self, shape: tuple[int, int, int], fd: int | None = None) -> None:
        self.shape = shape
        length = int(np.prod(shape))
        self._stride = -(-length // _PAGE) * _PAGE
        size = _PAGE + SLOTS * self._stride
        self.fd = fd if fd is not None else os.memfd_create("edge-run-pictures")
        if fd is None:
            os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)  # first of all, the byte of each slot
        self._lendable = _lendable(length)

    def free_slot(self) -> int | None:
        """The writer's next slot, or None while all are lent out."""
        slot = self._map.find(_FREE, 0, SLOTS)
        return None if slot < 0 else slot

    def view(self, slot: int) -> Image:
        """Where the writer writes."""
        image: Image = np.ndarray(self.shape, np.uint8, self._map, self._start(slot))
        return image

    def give(self, slot: int) -> None:
        """The writer is done: the slot is the reader's now."""
        self._map[slot] = 1

    def take(self, slot: int) -> Image:
        """The picture, for as long as anyone holds it or a view of it."""
        if self._map[:SLOTS].count(_FREE) < SPARE:
            copied: Image = self.view(slot).copy()
            self._map[slot] = 0
            return copied
        lent: Any = self._lendable.from_buffer(self._map, self._start(slot))
        lent.ring, lent.slot = self._map, slot
        image: Image = np.ndarray(self.shape, np.uint8, lent)
        return image

    def close(self) -> None:
        """Close the descriptor; the memory goes with the last array that looks into it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _start(self, slot: int) -> int:
        return _PAGE + slot * self._stride


class _Lent(ctypes.Array[ctypes.c_ubyte]):
    """The bytes of a picture; the slot is free when the last array that looks into them is gone."""

    _type_ = ctypes.c_ubyte
    _length_ = 0
    ring: mmap.mmap
    slot: int

    def __del__(self) -> None:
        self.ring[self.slot] = 0


def _lendable(length: int) -> type[_Lent]:
    return type("_Lent", (_Lent,), {"_length_": length})
