"""What a repository says of one release: the custom facts of a TUF target, signed with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.errors import VerificationError

KEY = "edge-run"  # in `custom` of the target

# Of a name and of a version: both become part of paths and addresses.
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Release:
    """One version of one model, packed.

    `counter` rises by one with every release of a name: a device never goes below the highest
    that it committed, unless `allow_downgrade`. What is empty asks for nothing.
    """

    path: str  # of the target
    digest: str  # sha256 of the bundle, in hex
    length: int  # bytes of the bundle
    name: str
    version: str
    counter: int
    task: str
    formats: tuple[str, ...]  # "tflite", "onnx": the device needs one of them
    percent: float = 0.0  # of the fleet, in steps of 0.01, by the hash of device and release
    profiles: tuple[str, ...] = ()  # boards it is for
    devices: tuple[str, ...] = ()  # that get it whatever the percentage says
    archs: tuple[str, ...] = ()  # as `uname -m`
    min_memory_mb: int = 0
    min_version: str = ""  # of edge-runtime
    not_before: int = 0  # seconds since 1970, UTC
    revoked: str = ""  # why; a device that runs it goes back
    allow_downgrade: bool = False

    def custom(self) -> dict[str, Any]:
        """The value of `custom` that says all this; path, digest and length are the target's.

        Canonical JSON, which is signed, knows no fractions: the percentage is in hundredths.
        """
        facts: dict[str, Any] = {"basis_points": round(self.percent * 100)}
        for key, value in asdict(self).items():
            if key in _TYPES:
                facts[key] = list(value) if isinstance(value, tuple) else value
        return {KEY: facts}


def read(path: str, digest: str, length: int, custom: object) -> Release:
    """A release from what was signed.

    Raises VerificationError: "incompatible" for facts that a newer edge-release wrote and that
    must not be passed over, "malformed" for anything else that is not a release.
    """
    facts = custom.get(KEY) if isinstance(custom, Mapping) else None
    if not isinstance(facts, Mapping):
        raise _malformed(path, f"no table '{KEY}' in its custom facts")
    if unknown := set(facts) - set(_TYPES):
        said = ", ".join(sorted(map(str, unknown)))
        raise VerificationError(
            f"target {path!r}: says {said}, which this edge-runtime does not know; update it",
            reason="incompatible",
        )
    if missing := _NEEDED - set(facts):
        raise _malformed(path, f"says no {', '.join(sorted(missing))}")
    values = {key: _value(path, key, value) for key, value in facts.items()}
    hundredths = values.pop("basis_points", 0)
    if not 0 <= hundredths <= 10_000:
        raise _malformed(path, f"basis_points is {hundredths}")
    made = Release(path=path, digest=digest, length=length, percent=hundredths / 100, **values)
    _check(made)
    return made


def _value(path: str, key: str, value: object) -> Any:
    kind = _TYPES[key]
    if kind is tuple and isinstance(value, list) and all(type(item) is str for item in value):
        return tuple(value)
    if kind is not tuple and type(value) is kind:  # a bool is no int here
        return value
    raise _malformed(path, f"{key} is {value!r}")


def _check(made: Release) -> None:
    wrong = [
        key
        for key, right in (
            ("digest", _DIGEST.fullmatch(made.digest)),
            ("length", made.length > 0),
            ("name", WORD.fullmatch(made.name)),
            ("version", WORD.fullmatch(made.version)),
            ("counter", made.counter > 0),
            ("min_memory_mb", made.min_memory_mb >= 0),
            ("min_version", not made.min_version or _NUMBERS.match(made.min_version)),
            ("min_version", len(made.min_version) <= 100),
            ("not_before", made.not_before >= 0),
        )
        if not right
    ]
    if wrong:
        raise _malformed(made.path, f"{wrong[0]} is {getattr(made, wrong[0])!r}")


_TYPES: dict[str, type] = {
    "name": str,
    "version": str,
    "counter": int,
    "task": str,
    "formats": tuple,
    "basis_points": int,
    "profiles": tuple,
    "devices": tuple,
    "archs": tuple,
    "min_memory_mb": int,
    "min_version": str,
    "not_before": int,
    "revoked": str,
    "allow_downgrade": bool,
}
_NEEDED = frozenset({"name", "version", "counter", "task", "formats"})


def _malformed(path: str, why: str) -> VerificationError:
    return VerificationError(f"target {path!r}: {why[:200]}", reason="malformed")
