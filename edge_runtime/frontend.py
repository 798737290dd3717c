"""What is declared of a biosignal front end: framing, rate, gain, leads, filters, lead-off rule.

The facts lie in TOML files, installed as `edge_runtime.devices`; a file of one's own does as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import BadOptionError, ConfigError
from .tables import nearest, read_toml


@dataclass(frozen=True, slots=True)
class Channel:
    """One column of samples. Its gain is None where the maker does not say it."""

    lead: str
    column: int
    mv_per_count: float | None = None
    zero_count: float = 0.0


@dataclass(frozen=True, slots=True)
class Band:
    """What the front end filtered before we saw it; 0: nothing, None: not known."""

    highpass_hz: float | None = None
    lowpass_hz: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class LeadOffRule:
    """How the front end shows that an electrode is off; see `framing.electrodes`."""

    rule: Literal["marker", "zeros", "rail"] = "marker"
    marker: str = ""  # of lines
    for_s: float = 0.2
    source: str = ""


@dataclass(frozen=True, slots=True)
class Ces:
    """Packets of ProtoCentral boards; see `framing.ces`."""

    type: int
    lengths: tuple[int, ...]
    layout: str
    samples: int = 1
    others: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """One front end, as its firmware leaves it."""

    name: str
    title: str
    framing: Literal["lines", "ces", "cyton", "bitalino"]
    rate_hz: float
    sources: tuple[str, ...]  # where each fact is from
    channel: tuple[Channel, ...]
    baud: int = 115200
    least_rate_hz: float = 0.0  # below it the rate is told to be too low for beats
    range_counts: tuple[float, float] | None = None
    t_us_column: int | None = None  # of lines
    start: str = ""  # what is sent after opening, one byte a letter (latin-1)
    stop: str = ""
    filters: Band = Band()
    lead_off: LeadOffRule = LeadOffRule()
    ces: Ces | None = None
    bitalino_channels: int = 0

    def __post_init__(self) -> None:
        if self.framing == "ces" and self.ces is None:
            raise BadOptionError("ces", 'is missing: framing = "ces" needs [ces]')
        if self.framing == "bitalino" and not 1 <= self.bitalino_channels <= 6:
            raise BadOptionError("bitalino_channels", "must be 1 to 6, the channels it is told of")
        if not self.channel:
            raise BadOptionError("channel", "is missing: write [[channel]]")
        for key, text in (("start", self.start), ("stop", self.stop)):
            if any(ord(letter) > 255 for letter in text):
                raise BadOptionError(key, "holds a letter that is not one byte")


def names() -> tuple[str, ...]:
    """Every front end that is shipped."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def load(name: str) -> FrontEnd:
    """The front end of a name, or of a path that ends in .toml. Raises ConfigError."""
    if name.endswith(".toml"):
        return read_toml(Path(name)).make(FrontEnd, name=Path(name).stem)
    known = names()
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"front end '{name}' does not exist; {hint}, or name a .toml file")
    return read_toml(_folder() / f"{name}.toml").make(FrontEnd, name=name)


def _folder() -> Path:
    """The TOML files: beside the modules when installed, beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "devices" / "frontends"
    return inside if inside.is_dir() else here.parent / "devices" / "frontends"
