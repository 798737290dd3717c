"""A TOML table turned into typed values, with errors that name file, line, key and remedy."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import BadOptionError, ConfigError

T = TypeVar("T")

SECRET_KEYS = frozenset({"password", "token"})  # their values never appear in a message

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"""\s*([A-Za-z0-9_."'-]+)\s*=""")


@dataclass(frozen=True)
class Table:
    """A part of a TOML file that knows where it stands.

    `label` is how messages name it, "[source]" for example; "" for the top of the file.
    """

    values: Mapping[str, Any] = field(repr=False)  # a secret may be among them
    file: str
    label: str = ""
    path: tuple[str, ...] = ()
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def error(self, key: str, message: str) -> ConfigError:
        """A ConfigError for one key of this table."""
        line = self.lines.get((*self.path, key), self.lines.get(self.path))
        where = f"{self.file}:{line}" if line else self.file
        name = f"{self.label} {key}" if self.label else key
        return ConfigError(f"{where}: {name}: {message}")

    def child(self, key: str, index: int | None = None) -> Table:
        """The table under `key`, or the one at `index` of an array of tables."""
        value = self.values[key]
        path: tuple[str, ...] = (*self.path, key)
        if index is not None:
            if not isinstance(value, list):
                raise self.error(key, f"write [[{'.'.join(path)}]], it may stand more than once")
            value, path = value[index], (*path, str(index))
        elif isinstance(value, list):
            raise self.error(key, f"may stand only once: write [{'.'.join(path)}]")
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table, is {_say(key, value)}")
        label = ".".join(part for part in (*self.path, key) if not part.isdigit())
        return Table(value, self.file, f"[{label}]", path, self.lines)

    def children(self, key: str) -> tuple[Table, ...]:
        """Every table of an array of tables; none when the key is absent."""
        value = self.values.get(key, [])
        count = len(value) if isinstance(value, list) else 1
        return tuple(self.child(key, index) for index in range(count))

    def without(self, *keys: str) -> Table:
        """The same table less some keys."""
        left = {key: value for key, value in self.values.items() if key not in keys}
        return Table(left, self.file, self.label, self.path, self.lines)

    def check_keys(self, valid: typing.Iterable[str]) -> None:
        """Raises ConfigError for the first key that is not in `valid`, naming the nearest one."""
        known = sorted(valid)
        for key in self.values:
            if key not in known:
                near = nearest(key, known)
                hint = f"did you mean '{near}'?" if near else f"valid keys: {', '.join(known)}"
                raise self.error(key, f"unknown key; {hint}")

    def make(self, build: Callable[..., T], **given: object) -> T:
        """Call `build` with this table's values as keyword arguments, checked by annotation.

        `given` are arguments that the file may not set. Raises ConfigError.
        """
        parameters = inspect.signature(build).parameters
        hints = _hints(_callable(build), given)
        self.check_keys(name for name in parameters if name not in given)
        arguments: dict[str, object] = dict(given)
        for name, parameter in parameters.items():
            if name in self.values:
                arguments[name] = self._value(name, hints[name])
            elif name not in given and parameter.default is inspect.Parameter.empty:
                raise self.error(name, "is missing")
        try:
            return build(**arguments)
        except BadOptionError as exc:
            raise self.error(exc.key, exc.message) from exc

    def _value(self, key: str, hint: Any) -> object:
        try:
            return self._convert(key, self.values[key], hint)
        except TypeError as exc:
            raise self.error(key, str(exc)) from exc

    def _convert(self, key: str, value: Any, hint: Any) -> object:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (types.UnionType, typing.Union):
            return self._convert_union(key, value, arguments)
        if origin is typing.Literal:
            return _one_of(key, value, arguments)
        if origin is tuple and isinstance(value, list):
            return self._convert_items(key, value, arguments)
        if is_dataclass(hint) and isinstance(value, dict):
            return self.child(key).make(typing.cast("type[object]", hint))
        if origin is not None and origin is not tuple and isinstance(value, dict):
            inner = arguments[1]
            return {name: self._convert(key, item, inner) for name, item in value.items()}
        return _scalar(key, value, hint)

    def _convert_union(self, key: str, value: Any, options: tuple[Any, ...]) -> object:
        failures = []
        for option in options:
            if option is type(None):
                continue
            try:
                return self._convert(key, value, option)
            except TypeError as exc:
                failures.append(str(exc))
        raise TypeError(failures[0])

    def _convert_items(self, key: str, value: list[Any], arguments: tuple[Any, ...]) -> object:
        if arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                raise TypeError(f"needs {len(arguments)} values, has {len(value)}")
            pairs = zip(value, arguments, strict=True)
            return tuple(self._convert(key, item, kind) for item, kind in pairs)
        if is_dataclass(arguments[0]):
            kind = typing.cast("type[object]", arguments[0])
            return tuple(table.make(kind) for table in self.children(key))
        return tuple(self._convert(key, item, arguments[0]) for item in value)


def _callable(build: Callable[..., object]) -> Callable[..., object]:
    """What carries the annotations: a class has them on its constructor."""
    return (
        typing.cast("Callable[..., object]", vars(build)["__init__"])
        if isinstance(build, type)
        else build
    )


def _hints(function: Callable[..., object], given: Mapping[str, object]) -> dict[str, Any]:
    """Types of the parameters that a table may set; others may name what is not imported."""
    named = {key: hint for key, hint in function.__annotations__.items() if key not in given}
    bearer = types.SimpleNamespace(__annotations__=named)
    return typing.get_type_hints(bearer, getattr(function, "__globals__", {}))


def nearest(word: str, words: typing.Sequence[str]) -> str:
    """The word that was probably meant; empty when none is near."""
    import difflib

    return next(iter(difflib.get_close_matches(word, words, n=1)), "")


def _one_of(key: str, value: object, options: tuple[object, ...]) -> object:
    if value in options and type(value) in {type(option) for option in options}:
        return value
    near = nearest(str(value), [str(option) for option in options])
    hint = f"; did you mean '{near}'?" if near else ""
    listed = ", ".join(str(option) for option in options)
    raise TypeError(f"{_say(key, value)} is not one of {listed}{hint}")


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    Path: "a path in quotes",
}


def _scalar(key: str, value: Any, hint: Any) -> object:
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in _NAMES and type(value) is hint:
        return value
    wanted = _NAMES.get(hint, "a list" if typing.get_origin(hint) is tuple else "a table")
    raise TypeError(f"must be {wanted}, is {_say(key, value)}")


def _say(key: str, value: object) -> str:
    if any(secret in key for secret in SECRET_KEYS):
        return "***"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_toml(path: Path) -> Table:
    """Read a TOML file. Raises ConfigError when it cannot be read or is not TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: byte {exc.start} is not UTF-8: not a TOML file") from exc
    return parse_toml(text, str(path))


def parse_toml(text: str, file: str) -> Table:
    """Parse TOML text; `file` is the name that messages use."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as exc:
        line = re.search(r"line (\d+)", str(exc))
        where = f"{file}:{line.group(1)}" if line else file
        raise ConfigError(f"{where}: not valid TOML: {exc}") from exc
    return Table(values, file, lines=_lines(text))


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where each key and header stands; good enough for messages, never used for values."""
    lines: dict[tuple[str, ...], int] = {}
    counts: dict[tuple[str, ...], int] = {}
    here: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            here = tuple(part.strip(" \"'") for part in header.group(2).split("."))
            here = _with_indices(here[:-1], counts) + here[-1:]
            if header.group(1) == "[[":
                counts[here] = counts.get(here, -1) + 1
                here = (*here, str(counts[here]))
            lines.setdefault(here, number)
        elif key := _KEY.match(line):
            name = tuple(part.strip("\"'") for part in key.group(1).split("."))
            lines.setdefault(here + name, number)
    return lines


def _with_indices(parts: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    """Parents of a header that are arrays mean their latest table, as TOML says."""
    full: tuple[str, ...] = ()
    for part in parts:
        full = (*full, part)
        if full in counts:
            full = (*full, str(counts[full]))
    return full
