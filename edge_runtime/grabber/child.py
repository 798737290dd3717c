"""The reader process: python -m edge_runtime.grabber.child SOCKET.

The first datagram is the request. When the parent goes away, so do this process and all that it
started, even while the driver blocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from edge_runtime.errors import ConfigError

from .driver import Driver, DriverError, make
from .messages import BAD, LENGTH_MAX, LOST, MISSING, OPENED, Facts, Picture
from .ring import Image, Ring


def main(parent: socket.socket) -> None:
    """Open, then read until the driver or the parent is gone."""
    request = json.loads(parent.recv(LENGTH_MAX))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    driver = make(request)
    try:
        facts = driver.open()
        _read(driver, facts, parent, request)
    except (DriverError, ConfigError) as exc:
        kind = MISSING if isinstance(exc, ConfigError) else LOST
        parent.send(kind + str(exc).encode()[: LENGTH_MAX - 1])
    finally:
        driver.close()


def _read(driver: Driver, facts: Facts, parent: socket.socket, request: Mapping[str, Any]) -> None:
    for _ in range(request.get("skip", 0)):
        driver.grab()
    ring: Ring | None = None
    seq = 0
    while driver.grab():
        timestamp_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        slot = ring.free_slot() if ring else None
        if ring and slot is None:  # the parent does not read: what it has is enough
            seq += 1
            continue
        into = None if ring is None or slot is None else ring.view(slot)
        image = driver.retrieve(into)
        if image is None:
            _send_if_room(parent, BAD)
        else:
            if ring is None or image.shape != ring.shape:
                ring = _new_ring(image, facts, parent)
                slot, into = 0, ring.view(0)
            _give(ring, slot or 0, into, image)
            parent.send(Picture(slot or 0, seq, timestamp_ns, monotonic_ns).packed())
        seq += 1
    parent.send(LOST + b"gives no more pictures")


def _new_ring(image: Image, facts: Facts, parent: socket.socket) -> Ring:
    height, width, channels = image.shape
    ring = Ring((height, width, channels))
    facts = facts._replace(width=width, height=height)
    socket.send_fds(parent, [OPENED + json.dumps(facts).encode()], [ring.fd])
    ring.close()
    return ring


def _give(ring: Ring, slot: int, into: Image | None, image: Image) -> None:
    if into is not None and image is not into:
        into[...] = image
    ring.give(slot)


def _send_if_room(parent: socket.socket, message: bytes) -> None:
    with contextlib.suppress(BlockingIOError):
        parent.send(message, socket.MSG_DONTWAIT)


def _end_with(parent: socket.socket) -> None:
    """Wait for the end of the parent, and take the whole process group along."""
    with contextlib.suppress(ConnectionError):  # it was killed with pictures unread
        while parent.recv(1):
            pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
