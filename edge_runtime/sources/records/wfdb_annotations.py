"""Read WFDB annotation files in MIT format: where the beats are, and what they were called.

The format is that of annot(5) in the WFDB Applications Guide of PhysioNet, the symbols are those
of its table of annotation codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_BYTES = 256 << 20
_SKIP, _NUM, _SUB, _CHN, _AUX = 59, 60, 61, 62, 63
_NOTE = 22

# Index = code; "" where the table has none.
SYMBOLS = (
    *("", "N", "L", "R", "a", "V", "F", "J", "A", "S", "E", "j", "/", "Q", "~", "", "|", "", "s"),
    *("T", "*", "D", '"', "=", "p", "B", "^", "t", "+", "u", "?", "!", "[", "]", "e", "n", "@"),
    *("x", "f", "(", ")", "r"),
)
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")  # symbols that mark a QRS complex


@dataclass(frozen=True, slots=True)
class Annotations:
    """Marks on a record, in the order of the file; all columns have the same length."""

    samples: NDArray[np.int64]
    symbols: tuple[str, ...]
    aux: tuple[str, ...]  # "" where there is none
    subtypes: NDArray[np.int16]
    channels: NDArray[np.int16]
    numbers: NDArray[np.int16]

    def beats(self) -> NDArray[np.bool_]:
        """Which of them mark a heart beat."""
        return np.array([symbol in BEATS for symbol in self.symbols], dtype=bool)


@dataclass(slots=True)
class _Mark:
    sample: int
    code: int
    channel: int
    number: int
    subtype: int = 0
    aux: str = ""


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file such as 100.atr. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: is too large for an annotation file")
        raw = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    return parse_annotations(raw, str(path))


def parse_annotations(raw: bytes, file: str) -> Annotations:
    """Parse the bytes of an annotation file; `file` is how errors name it. Raises ConfigError.

    Notes at sample 0, which describe the file itself, are left out.
    """
    marks = [
        mark
        for mark in _marks(raw, file)
        if mark.code and not (mark.code == _NOTE and mark.sample == 0)
    ]
    return Annotations(
        samples=np.array([mark.sample for mark in marks], dtype=np.int64),
        symbols=tuple(_symbol(mark.code) for mark in marks),
        aux=tuple(mark.aux for mark in marks),
        subtypes=np.array([mark.subtype for mark in marks], dtype=np.int16),
        channels=np.array([mark.channel for mark in marks], dtype=np.int16),
        numbers=np.array([mark.number for mark in marks], dtype=np.int16),
    )


def _marks(raw: bytes, file: str) -> list[_Mark]:
    marks: list[_Mark] = []
    at, sample = 0, 0
    while at + 2 <= len(raw):
        word = int.from_bytes(raw[at : at + 2], "little")
        code, value = word >> 10, word & 0x3FF
        at += 2
        if word == 0:
            return marks
        if code == _SKIP:
            sample += _skip(raw, at, file)
            at += 4
        elif code < _SKIP:
            sample += value
            last = marks[-1] if marks else None
            marks.append(
                _Mark(sample, code, last.channel if last else 0, last.number if last else 0)
            )
        elif not marks:
            raise ConfigError(f"{file}: byte {at - 2}: no WFDB annotation file")
        else:
            at += _detail(marks[-1], code, value, raw[at : at + value])
        if not -(1 << 62) < sample < 1 << 62:
            raise ConfigError(f"{file}: byte {at}: a time that no record has")
    raise ConfigError(f"{file}: ends without an end mark: the file is cut short")


def _skip(raw: bytes, at: int, file: str) -> int:
    """A long interval: high 16 bits first, each half least significant byte first."""
    if at + 4 > len(raw):
        raise ConfigError(f"{file}: ends inside a long interval: the file is cut short")
    high, low = raw[at : at + 2], raw[at + 2 : at + 4]
    return int.from_bytes(high, "little", signed=True) << 16 | int.from_bytes(low, "little")


def _detail(mark: _Mark, code: int, value: int, text: bytes) -> int:
    """Add a field to a mark; gives the bytes that it takes beyond its own two."""
    if code == _AUX:
        mark.aux = text.decode("latin-1").rstrip("\0")
        return value + value % 2
    byte = value & 0xFF
    signed = byte - 256 if byte > 127 else byte
    if code == _SUB:
        mark.subtype = signed
    elif code == _CHN:
        mark.channel = byte
    elif code == _NUM:
        mark.number = signed
    return 0


def _symbol(code: int) -> str:
    symbol = SYMBOLS[code] if code < len(SYMBOLS) else ""
    return symbol or f"[{code}]"
