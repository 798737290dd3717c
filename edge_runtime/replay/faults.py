"""Faults on order: what they are called, when they hold, and the words that ask for them.

    KIND[=VALUE][@START[+DURATION][/EVERY]]

Times are seconds of the signal. Without "@" a fault holds from start to end, without "+" to the
end, with "/" it comes again every so many seconds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from edge_runtime.errors import BadOptionError
from edge_runtime.tables import nearest

# What stands behind "=": "" nothing, "%" per cent, "1" a share of one, "mV" a limit, "dB" a noise
# and its level.
VALUES = {
    "lead-off": "",
    "flat": "",
    "clip": "mV",
    "noise": "dB",
    "gap": "",
    "duplicate": "",
    "out-of-order": "",
    "bit-errors": "1",
    "truncate": "1",
    "stall": "",
    "unplug": "",
    "rate": "%",
    "drift": "%",
}
CLOCK = ("rate", "drift")  # of the whole replay: a clock is wrong from its start
NOISES = ("bw", "ma", "em", "white")
MAX_CLOCK_ERROR = 0.2
_SHAPE = re.compile(
    r"(?P<kind>[a-z-]+)(=(?P<value>[^@]+))?(@(?P<start>[0-9.]+)(\+(?P<seconds>[0-9.]+))?"
    r"(/(?P<every>[0-9.]+))?)?"
)
_EXAMPLES = {
    "": "{kind}@30+5",
    "%": "{kind}=0.5%",
    "dB": "noise=bw:12dB or noise=white:6dB@60+30",
    "mV": "{kind}=1.5mV or {kind}@30+5",
    "1": "{kind}=1e-4",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; times in seconds of the signal, `every_s` 0 when it comes once.

    `level` is a share, a limit in mV or decibels, as the kind has it; `noise` names the record.
    """

    kind: str
    start_s: float = 0.0
    seconds: float = math.inf
    every_s: float = 0.0
    level: float = 0.0
    noise: str = ""

    def holds(self, time_s: float) -> bool:
        """Whether it holds at a time of the signal."""
        since_s = time_s - self.start_s
        if since_s >= 0 and self.every_s:
            since_s %= self.every_s
        return 0 <= since_s < self.seconds

    def edge(self, sample: int, rate_hz: float) -> float:
        """The first sample after `sample` at which it begins or ends; inf when none is."""
        turns = 0
        if self.every_s:
            turns = max(0, math.floor((sample / rate_hz - self.start_s) / self.every_s))
        for turn in (turns, turns + 1) if self.every_s else (0,):
            begin_s = self.start_s + turn * self.every_s
            for edge_s in (begin_s, begin_s + self.seconds):
                edge = math.ceil(edge_s * rate_hz - 1e-6) if math.isfinite(edge_s) else math.inf
                if edge > sample:
                    return edge
        return math.inf


def parse(text: str) -> Fault:
    """Read one order. Raises BadOptionError that says how to write it."""
    found = _SHAPE.fullmatch(text.strip())
    kind = found["kind"] if found else re.split("[=@]", text, maxsplit=1)[0]
    if kind not in VALUES:
        near = nearest(kind, tuple(VALUES))
        hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(VALUES)}"
        raise BadOptionError("fault", f"no fault '{kind}'; {hint}")
    unit = VALUES[kind]
    wrong = BadOptionError("fault", f"'{text}': write {_EXAMPLES[unit].format(kind=kind)}")
    if found is None:
        raise wrong
    try:
        level, noise = _level(unit, found["value"])
        times = {name: float(found[name]) for name in ("start", "seconds", "every") if found[name]}
    except ValueError as exc:
        raise wrong from exc
    fault = Fault(
        kind,
        times.get("start", 0.0),
        times.get("seconds", math.inf),
        times.get("every", 0.0),
        level,
        noise,
    )
    _check(fault, text, timed=found["start"] is not None)
    return fault


def _level(unit: str, value: str | None) -> tuple[float, str]:
    """The number of a value and its noise. Raises ValueError."""
    if unit == "mV":
        return (1.0 if value is None else float(value.removesuffix("mV"))), ""
    if (value is None) != (unit == ""):
        raise ValueError
    if value is None:
        return 0.0, ""
    if unit == "dB":
        noise, _, level = value.partition(":")
        if noise not in NOISES:
            raise ValueError
        return _finite(level.removesuffix("dB")), noise
    if unit == "%":
        return _finite(value.removesuffix("%")) / 100, ""
    return _finite(value), ""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _check(fault: Fault, text: str, *, timed: bool) -> None:
    """Raises BadOptionError for an order that makes no sense."""

    def refuse(message: str) -> None:
        raise BadOptionError("fault", f"'{text}': {message}")

    if fault.seconds <= 0:
        refuse("lasts no time")
    if fault.every_s and not fault.seconds < fault.every_s:
        refuse("must last less than the time after which it comes again")
    if fault.kind in CLOCK and timed:
        refuse("a clock is wrong from start to end: leave out the time")
    if fault.kind in CLOCK and abs(fault.level) > MAX_CLOCK_ERROR:
        refuse(f"at most {MAX_CLOCK_ERROR:.0%}")
    if VALUES[fault.kind] == "1" and not 0 < fault.level <= 1:
        refuse("must be a share above 0 and at most 1")
    if fault.kind == "clip" and not fault.level > 0:
        refuse("must be a limit above 0 mV")
    if fault.kind in ("stall", "unplug") and not math.isfinite(fault.seconds):
        refuse(f"say how long: {fault.kind}@30+5")
