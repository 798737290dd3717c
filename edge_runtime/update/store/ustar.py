"""The one spelling of POSIX ustar that a bundle has: its headers, its names, and its reader."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from edge_runtime.errors import VerificationError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

BLOCK = 512
END = bytes(2 * BLOCK)
MOST_FILES = 256
MOST_NAME = 100  # bytes; the field of the header
MOST_BYTES = 4 << 30  # of one file
CHUNK = 1 << 20

_PART = "[A-Za-z0-9_][A-Za-z0-9._-]*"
_NAME = re.compile(f"{_PART}(?:/{_PART})*", re.ASCII)

Receive = Callable[[str, Iterator[bytes]], object]


def header(name: str, size: int) -> bytes:
    block = bytearray(BLOCK)
    for start, text in (
        (0, name.encode()), (100, b"0000644"), (108, b"0000000"), (116, b"0000000"),
        (124, b"%011o" % size), (136, b"%011o" % 0), (148, b" " * 8), (156, b"0"),
        (257, b"ustar\x0000"), (329, b"0000000"), (337, b"0000000"),
    ):  # fmt: skip
        block[start : start + len(text)] = text
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block)


class Names:
    """The names of a bundle so far: in order, portable, none that differs by case alone."""

    def __init__(self, where: object) -> None:
        self._where = where
        self._last = ""
        self._count = 0
        self._known: dict[str, tuple[str, bool]] = {}

    def add(self, name: str) -> None:
        """Raises VerificationError("malformed")."""
        self._count += 1
        if self._count > MOST_FILES:
            raise malformed(self._where, f"more than {MOST_FILES} files")
        if len(name) > MOST_NAME or not _NAME.fullmatch(name):
            raise malformed(self._where, f"the name {name[:MOST_NAME]!r} is not allowed")
        if name <= self._last:
            raise malformed(self._where, f"{name!r} stands twice or out of order")
        self._last = name
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            path = ("/".join(parts[:depth]), depth == len(parts))
            if self._known.setdefault(path[0].lower(), path) != path:
                raise malformed(self._where, f"{name!r} clashes with another name")


def walk(file: BinaryIO, where: Path, receive: Receive) -> str:
    """Give each file of a bundle to `receive`, which takes it whole; gives the digest."""
    file.seek(0)
    sha256 = hashlib.sha256()
    names = Names(where)
    while (block := _take(file, BLOCK, sha256, where)) != bytes(BLOCK):
        name, size = _fields(block, where)
        names.add(name)
        receive(name, _data(file, size, sha256, where))
        if any(_take(file, -size % BLOCK, sha256, where)):
            raise malformed(where, f"{name!r} is not filled up with zeros")
    if any(_take(file, BLOCK, sha256, where)) or file.read(1):
        raise malformed(where, "does not end where it should")
    return sha256.hexdigest()


def _fields(block: bytes, where: Path) -> tuple[str, int]:
    try:
        name = block[:MOST_NAME].rstrip(b"\0").decode("ascii")
        size = int(block[124:135].decode("ascii"), 8)
        known = header(name, size) == block
    except ValueError:  # also UnicodeDecodeError
        known = False
    if not known or not 0 <= size <= MOST_BYTES:
        raise malformed(where, "holds something that is no plain file of a model")
    return name, size


def _data(file: BinaryIO, size: int, sha256: Hash, where: Path) -> Iterator[bytes]:
    while size:
        block = _take(file, min(size, CHUNK), sha256, where)
        size -= len(block)
        yield block


def _take(file: BinaryIO, size: int, sha256: Hash, where: Path) -> bytes:
    block = b""
    while len(block) < size:
        more = file.read(size - len(block))
        if not more:
            raise malformed(where, "is cut short")
        block += more
    sha256.update(block)
    return block


def malformed(where: object, why: str) -> VerificationError:
    return VerificationError(f"{where}: {why}", reason="malformed")
