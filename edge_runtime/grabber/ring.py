"""Pictures in memory that two processes share: written by one, lent out by the other.

The memory has no name (memfd_create), so a killed process leaves nothing behind. The writer takes
a free slot; the reader frees it when the last array that looks into it is gone. One byte a slot
says which; each side writes only its own change of it, so there is no lock.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

SLOTS = 10  # four in a mailbox, one at work, the rest to write into
SPARE = 3  # with fewer slots free, a picture is copied and its slot freed at once
_PAGE = mmap.PAGESIZE


class Ring:
    """`SLOTS` pictures of one shape. `fd` is None where the ring was made from a received one."""

    def __init__(self, shape: tuple[int, int, int], fd: int | None = None) -> None:
        self.shape = shape
        self._length = int(np.prod(shape))
        self._stride = -(-self._length // _PAGE) * _PAGE
        size = _PAGE + SLOTS * self._stride
        self.fd = fd if fd is not None else os.memfd_create("edge-run-pictures")
        if fd is None:
            os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)
        self._taken: Image = np.frombuffer(self._map, np.uint8, SLOTS)
        self._lendable: Any = ctypes.c_ubyte * self._length

    def free_slot(self) -> int | None:
        """The writer's next slot, or None while all are lent out."""
        slot = int(self._taken.argmin())
        return None if self._taken[slot] else slot

    def view(self, slot: int) -> Image:
        """Where the writer writes."""
        start = _PAGE + slot * self._stride
        image: Image = np.ndarray(self.shape, np.uint8, self._map, start)
        return image

    def give(self, slot: int) -> None:
        """The writer is done: the slot is the reader's now."""
        self._taken[slot] = 1

    def take(self, slot: int) -> Image:
        """The picture, for as long as anyone holds it or a view of it."""
        if SLOTS - int(self._taken.sum()) < SPARE:
            copied: Image = self.view(slot).copy()
            _free(self._taken, slot)
            return copied
        lent = self._lendable.from_buffer(self._map, _PAGE + slot * self._stride)
        weakref.finalize(lent, _free, self._taken, slot).atexit = False
        image: Image = np.ndarray(self.shape, np.uint8, lent)
        return image

    def close(self) -> None:
        """Close the descriptor; the memory goes with the last array that looks into it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _free(taken: Image, slot: int) -> None:
    taken[slot] = 0
