"""Read the outline of a .tflite file without any runtime, checking every offset.

tflite-runtime 2.14 does not verify a file before it follows the offsets in it: a damaged one
ends the process with SIGSEGV, and a file cut short may even load. So the outline is read here
first. Layout: https://flatbuffers.dev/internals and TensorFlow's tflite schema, version 3.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

_CUSTOM = 32  # BuiltinOperator.CUSTOM
_VARIABLES = frozenset({136, 142})  # HASHTABLE, VAR_HANDLE
_LARGER_CODES = 127  # the old one-byte field says "see the new field"
_SCHEMA_VERSION = 3

# Field numbers of the tables Model, OperatorCode and Buffer.
_MODEL_VERSION, _MODEL_OPERATORS, _MODEL_SUBGRAPHS, _MODEL_BUFFERS = 0, 1, 2, 4
_OPERATOR_OLD_CODE, _OPERATOR_CUSTOM_NAME, _OPERATOR_CODE = 0, 1, 3
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Outline:
    """What a .tflite file is made of, as far as loading it is concerned."""

    custom_ops: tuple[str, ...]  # names of operations that are not TFLite's own
    has_variables: bool  # holds state in resource variables

    @property
    def flex_ops(self) -> tuple[str, ...]:
        """Operations of full TensorFlow ("Select TF"), which no edge runtime carries."""
        return tuple(name for name in self.custom_ops if name.startswith("Flex"))


def read_outline(path: Path) -> Outline:
    """Read the outline of a file.

    Raises:
        ValueError: this cannot be a whole .tflite file; the message says why.
        OSError: it cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[4:8] != b"TFL3":
            raise ValueError(f"not a TensorFlow Lite file: it begins with {data[:12]!r}")
        return _outline(_Reader(data))


def _outline(reader: _Reader) -> Outline:
    model = reader.follow(0)
    version = reader.number(model, _MODEL_VERSION, "<I")
    if version != _SCHEMA_VERSION:
        raise ValueError(f"schema version {version}, only {_SCHEMA_VERSION} is known")
    if not reader.tables(model, _MODEL_SUBGRAPHS):
        raise ValueError("it holds no graph")
    for buffer in reader.tables(model, _MODEL_BUFFERS):
        reader.check_buffer(buffer)
    names, codes = [], set()
    for operator in reader.tables(model, _MODEL_OPERATORS):
        old = reader.number(operator, _OPERATOR_OLD_CODE, "<b")
        code = reader.number(operator, _OPERATOR_CODE, "<i") if old == _LARGER_CODES else old
        codes.add(code)
        if code == _CUSTOM:
            names.append(reader.text(operator, _OPERATOR_CUSTOM_NAME))
    return Outline(custom_ops=tuple(names), has_variables=bool(codes & _VARIABLES))


class _Reader:
    """Follows flatbuffer offsets; any that leads out of the file is a ValueError."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data

    def follow(self, position: int) -> int:
        return self._inside(position + self._unpack("<I", position), 4)

    def number(self, table: int, field: int, layout: str) -> int:
        position = self._field(table, field)
        return self._unpack(layout, position) if position else 0

    def tables(self, table: int, field: int) -> list[int]:
        position = self._field(table, field)
        if not position:
            return []
        start, count = self._vector(position, item_bytes=4)
        return [self.follow(start + 4 * index) for index in range(count)]

    def text(self, table: int, field: int) -> str:
        position = self._field(table, field)
        if not position:
            return ""
        start, count = self._vector(position, item_bytes=1)
        return self._data[start : start + count].decode("utf-8", "replace")

    def check_buffer(self, table: int) -> None:
        """Weights lie in the table, or (in files above 2 GB) behind it at an absolute offset."""
        if position := self._field(table, _BUFFER_DATA):
            self._vector(position, item_bytes=1)
        offset = self.number(table, _BUFFER_OFFSET, "<Q")
        if offset > 1:
            self._inside(offset, self.number(table, _BUFFER_SIZE, "<Q"))

    def _field(self, table: int, field: int) -> int:
        """Where a field of a table stands; 0 when it is left out."""
        vtable = self._inside(table - self._unpack("<i", table), 4)
        if 4 + 2 * field >= self._unpack("<H", vtable):
            return 0
        offset = self._unpack("<H", vtable + 4 + 2 * field)
        return table + offset if offset else 0

    def _vector(self, position: int, item_bytes: int) -> tuple[int, int]:
        start = self.follow(position)
        count = self._unpack("<I", start)
        return self._inside(start + 4, count * item_bytes), count

    def _unpack(self, layout: str, position: int) -> int:
        self._inside(position, struct.calcsize(layout))
        value: int = struct.unpack_from(layout, self._data, position)[0]
        return value

    def _inside(self, position: int, size_bytes: int) -> int:
        if position < 0 or position + size_bytes > len(self._data):
            raise ValueError(
                f"cut short or damaged: it refers to byte {position + size_bytes}"
                f" and has {len(self._data)}"
            )
        return position
