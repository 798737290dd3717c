"""Which commands a pipeline obeys, and whose: the table `[sink.commands]` of a run file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import state
from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.wire import check_level

KEY_BYTES_MIN = 32  # as long as the hash: RFC 2104, section 3
_KEY_FILE_MAX = 4096
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){32,}")


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """Which verbs are obeyed; none is off. Raises BadOptionError."""

    verbs: tuple[str, ...]  # `announce`, `counters`, `stop`, `update`; no other
    key_file: str = ""  # the shared key that signs commands: 32 bytes at least, as hex or as text
    allow_unsigned: bool = False  # obey whoever may publish at the broker; only without key_file
    per_minute: int = 10  # commands that are looked at; what comes beyond is refused unread
    size_max: int = 4096  # bytes of a command

    def __post_init__(self) -> None:
        for verb in self.verbs:
            check_level("verbs", verb)
        if len(set(self.verbs)) != len(self.verbs):
            raise BadOptionError("verbs", "names one twice")
        if self.verbs and not self.key_file and not self.allow_unsigned:
            raise BadOptionError(
                "key_file",
                "is missing: it holds the key that signs commands; or set allow_unsigned = true, "
                "and whoever may publish at the broker commands this pipeline",
            )
        if self.key_file and self.allow_unsigned:
            raise BadOptionError("allow_unsigned", "stands beside key_file, which it would undo")
        _check_range("per_minute", self.per_minute, 1, 600)
        _check_range("size_max", self.size_max, 512, 65536)


def read_key(path: str, option: str = "key_file") -> bytes:
    """The key of a file: hex if it is 64 digits or more, else its text less the line's end.

    Raises ConfigError; the message never holds the key.
    """
    state.check_private(path, option)
    try:
        with Path(path).open("rb") as file:
            content = file.read(_KEY_FILE_MAX + 1)
    except OSError as exc:
        raise ConfigError(f"{option}: {path}: {exc.strerror}") from exc
    text = content.rstrip(b"\r\n")
    key = bytes.fromhex(text.decode("ascii")) if _HEX.fullmatch(text) else text
    if not KEY_BYTES_MIN <= len(key) <= _KEY_FILE_MAX:
        raise ConfigError(
            f"{option}: {path}: holds {len(key)} bytes, not {KEY_BYTES_MIN} to {_KEY_FILE_MAX}; "
            f"make one: openssl rand -hex 32 > {path}"
        )
    return key


def _check_range(key: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise BadOptionError(key, f"{value} is not within {least} and {most}")
