"""What is known of a board: which delegates to try on it, in which order, with how many threads.

The facts lie in TOML files, installed as `edge_runtime.devices`; they are read when asked for.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ConfigError
from .tables import nearest, read_toml

_FORMATS = ("tflite", "onnx")
_LAST_RESORT = "generic-x86-64"


@dataclass(frozen=True, slots=True)
class Match:
    """By what a board is recognised, surest first; one hit is enough.

    `compatible` are entries of the device tree's list, `model` beginnings of its name; `l4t`
    takes a Jetson whose device tree cannot be read; `machine` is the kernel's architecture.
    """

    compatible: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    l4t: bool = False
    machine: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the maker says of the board. It is for people; nothing is decided by it."""

    cpu: str
    cores: int | None = None  # None: it varies
    memory_mb: tuple[int, ...] = ()  # the sizes it is sold with
    accelerators: tuple[str, ...] = ()
    camera: str = ""


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """One board. `delegates` are in order of preference, by model format."""

    name: str
    title: str
    match: Match
    delegates: Mapping[str, tuple[str, ...]]
    threads: int  # of inference, where the run file says nothing
    facts: Facts
    reference: Mapping[str, float] = field(default_factory=dict)  # measured; often none


@dataclass(frozen=True, slots=True)
class Board:
    """What a machine says of itself; empty where it says nothing."""

    model: str = ""
    compatible: tuple[str, ...] = ()
    l4t: str = ""  # NVIDIA's release line
    machine: str = ""  # "aarch64", "x86_64"


def names() -> tuple[str, ...]:
    """Every profile that can be loaded."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def load(name: str) -> DeviceProfile:
    """Read one profile. Raises ConfigError for a name or a file that is wrong."""
    known = names()
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"board profile '{name}' does not exist; {hint}")
    table = read_toml(_folder() / f"{name}.toml")
    profile = table.make(DeviceProfile, name=name)
    table.child("delegates").check_keys(_FORMATS)
    for format_ in _FORMATS:
        if not profile.delegates.get(format_):
            raise table.child("delegates").error(format_, "is missing")
    return profile


def detect(root: Path = Path("/")) -> DeviceProfile:
    """The profile of this machine; a generic one for a board that is not known."""
    return recognise(read_board(root))[0]


def recognise(board: Board) -> tuple[DeviceProfile, str]:
    """The profile that fits best, and why it does."""
    profiles = [load(name) for name in names()]
    for profile in profiles:
        for entry in profile.match.compatible:
            if entry in board.compatible:
                return profile, f"the device tree says '{entry}'"
    for profile in profiles:
        for start in profile.match.model:
            if board.model.startswith(start):
                return profile, f"the board calls itself '{board.model}'"
    for profile in profiles:
        if profile.match.l4t and board.l4t and not board.compatible:
            return profile, f"a Jetson whose device tree cannot be read: {board.l4t}"
    what = f"'{board.model}' is no known board" if board.model else "no known board"
    for profile in profiles:
        if board.machine in profile.match.machine:
            return profile, f"{what}, its architecture is {board.machine}"
    return load(_LAST_RESORT), f"{what}, nor is its architecture '{board.machine}'"


def read_board(root: Path = Path("/"), machine: str = "") -> Board:
    """Ask the machine what it is: device tree, /proc/cpuinfo, NVIDIA's release file.

    Args:
        root: where /proc and /etc are.
        machine: the architecture; the running kernel's when empty.
    """
    tree = _first_directory(root / "proc/device-tree", root / "sys/firmware/devicetree/base")
    release = _text(root / "etc/nv_tegra_release")
    compatible = _text(tree / "compatible").split("\0")
    return Board(
        model=_text(tree / "model").strip("\0\n") or _cpuinfo_model(root),
        compatible=tuple(entry for entry in compatible if entry),
        l4t=release.partition("\n")[0].lstrip("# ").strip(),
        machine=machine or platform.machine(),
    )


def _folder() -> Path:
    """The TOML files: beside the modules when installed, beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    return _first_directory(here / "devices", here.parent / "devices")


def _first_directory(*candidates: Path) -> Path:
    existing: Iterable[Path] = (path for path in candidates if path.is_dir())
    return next(iter(existing), candidates[-1])


def _cpuinfo_model(root: Path) -> str:
    """A container hides the device tree, but a Raspberry Pi's kernel tells its model here too."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Model":
            return value.strip()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
