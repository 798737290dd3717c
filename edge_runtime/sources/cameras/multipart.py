"""Whole JPEGs out of a multipart/x-mixed-replace body, and back into step after damage."""

from __future__ import annotations

import re

_LENGTH = re.compile(rb"^content-length:\s*(\d+)\s*$", re.IGNORECASE | re.MULTILINE)
_HEAD_MAX = 8192
_JPEG = b"\xff\xd8"
_END = b"\xff\xd9"
_PADDING_MAX = 64


class PartError(Exception):
    """A part cannot be used; the ones behind it can."""


class Parts:
    """Feed bytes with `add`, take JPEGs with `next`.

    Cameras disagree on how many dashes the boundary has, so only what follows them is compared.

    Args:
        boundary: of the header Content-Type.
        bytes_max: a part that is longer is passed over.
    """

    def __init__(self, boundary: str, bytes_max: int) -> None:
        self._mark = b"--" + boundary.strip('"').lstrip("-").encode()
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def add(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> bytes | None:
        """The next JPEG, or None until more bytes come.

        Raises PartError: the part is left out, and `next` goes on behind it.
        """
        start = self._buffer.find(self._mark)
        if start < 0:
            del self._buffer[: max(0, len(self._buffer) - len(self._mark) - 2)]
            return None
        if start:
            del self._buffer[:start]
        end_of_head = self._buffer.find(b"\r\n\r\n", 0, _HEAD_MAX)
        if end_of_head < 0:
            if len(self._buffer) > _HEAD_MAX:
                raise self._passed_over(len(self._mark), "has a head without end")
            return None
        stated = _LENGTH.search(self._buffer, 0, end_of_head + 2)
        body = end_of_head + 4
        return self._stated(body, int(stated[1])) if stated else self._delimited(body)

    def _stated(self, body: int, length: int) -> bytes | None:
        if not 0 < length <= self._bytes_max:
            raise self._passed_over(body, f"states a length of {length} bytes")
        if len(self._buffer) < body + length:
            return None
        data = bytes(self._buffer[body : body + length])
        if not _whole(data) or self._mark in data:
            raise self._passed_over(body, "is no whole JPEG")
        del self._buffer[: body + length]
        return data

    def _delimited(self, body: int) -> bytes | None:
        end = self._buffer.find(self._mark, body)
        if end < 0:
            if len(self._buffer) - body > self._bytes_max:
                raise self._passed_over(body, f"is longer than {self._bytes_max} bytes")
            return None
        data = bytes(self._buffer[body:end]).rstrip(b"\r\n-")
        del self._buffer[:end]
        if not _whole(data):
            raise PartError("is no whole JPEG")
        return data

    def _passed_over(self, count: int, why: str) -> PartError:
        """Look for the next mark behind `count` bytes."""
        del self._buffer[:count]
        return PartError(why)


def _whole(data: bytes) -> bool:
    """It begins and ends as a JPEG does; some cameras pad the end."""
    return data.startswith(_JPEG) and _END in data[-_PADDING_MAX:]
