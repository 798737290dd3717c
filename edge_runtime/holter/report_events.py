"""Events of the rules as episodes with a beginning and an end, and what rules could not judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .report_svg import clock

if TYPE_CHECKING:
    from edge_runtime.outcome import Event

    from .report_study import Study

ORDER = ("high", "medium", "low", "information")
NAMES = {
    "af": "Atrial fibrillation",
    "asystole": "Asystole",
    "pause": "Pause",
    "brady": "Slow rate",
    "tachy": "Fast rate",
    "extreme-brady": "Extremely slow rate",
    "extreme-tachy": "Extremely fast rate",
    "vt": "Ventricular tachycardia",
    "run": "Ventricular run",
    "couplet": "Ventricular couplet",
    "bigeminy": "Bigeminy",
    "trigeminy": "Trigeminy",
    "pvc-frequent": "Frequent ventricular beats",
    "st": "ST deviation",
}
_LEFT_OUT = "summary"


_UNITS = {"bpm": "bpm", "s": "s", "ms": "ms", "mv": "mV"}


def said(values: Mapping[str, float]) -> str:
    """Values as one reads them: "rate_bpm": 121.3 is "rate 121 bpm"."""
    parts = []
    for key, value in values.items():
        name, _, unit = key.rpartition("_")
        known = name and unit in _UNITS
        words = (name if known else key).replace("_", " ")
        digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        parts.append(f"{words} {digits}{' ' + _UNITS[unit] if known else ''}")
    return ", ".join(parts)


def lasting(seconds: float) -> str:
    """A length of time: seconds with a tenth, or hours, minutes and seconds."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


@dataclass(frozen=True, slots=True)
class Episode:
    """One thing that a rule found; `end_s` is None where it went on to the end of the record."""

    name: str
    title: str
    priority: str
    rule: str
    begin_s: float
    end_s: float | None
    values: Mapping[str, float]
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a rule could not judge, how often, and for how long in all."""

    rule: str
    why: str
    times: int
    seconds: float


def episodes(study: Study) -> list[Episode]:
    """In the order of time."""
    found: list[Episode] = []
    going: dict[str, int] = {}
    for event in study.events:
        if event.phase == "cannot-say" or event.name.startswith(_LEFT_OUT):
            continue
        if event.phase == "onset":
            going[event.rule] = len(found)
            found.append(_episode(event, study))
        elif event.rule in going:
            at = going.pop(event.rule)
            end_s = study.since(event.end_ns) if event.end_ns is not None else None
            found[at] = replace(found[at], end_s=end_s, values=event.values)
    return sorted(found, key=lambda episode: episode.begin_s)


def _episode(event: Event, study: Study) -> Episode:
    return Episode(
        name=event.name,
        title=NAMES.get(event.name, event.name.capitalize()),
        priority=event.priority,
        rule=event.rule,
        begin_s=study.since(event.onset_ns),
        end_s=study.since(event.end_ns) if event.end_ns is not None else None,
        values=event.values,
        limits=event.limits,
    )


def doubts(study: Study) -> list[Doubt]:
    """The longest first; an event without an end lasts to the end of the record."""
    times: Counter[tuple[str, str]] = Counter()
    seconds: Counter[tuple[str, str]] = Counter()
    begun: dict[str, tuple[float, str]] = {}
    for event in study.events:
        if event.phase != "cannot-say":
            continue
        why = event.detail or "quality"
        if event.end_ns is None:
            begun[event.rule] = (study.since(event.onset_ns), why)
            times[event.rule, why] += 1
        elif event.rule in begun:
            since_s, said = begun.pop(event.rule)
            seconds[event.rule, said] += study.since(event.end_ns) - since_s  # type: ignore[assignment]
    for rule, (since_s, why) in begun.items():
        seconds[rule, why] += study.facts.seconds - since_s  # type: ignore[assignment]
    made = [Doubt(rule, why, count, seconds[rule, why]) for (rule, why), count in times.items()]
    return sorted(made, key=lambda doubt: -doubt.seconds)


def tallied(found: Iterable[Episode], seconds: float) -> list[tuple[str, ...]]:
    """A row for each kind, the gravest first: name, times, first, longest, in all, limit, rule."""
    kinds: dict[str, list[Episode]] = {}
    for episode in found:
        kinds.setdefault(episode.rule, []).append(episode)
    ordered = sorted(kinds.values(), key=lambda of: (ORDER.index(of[0].priority), -len(of)))
    rows: list[tuple[str, ...]] = []
    for of in ordered:
        lasts = [(seconds if e.end_s is None else e.end_s) - e.begin_s for e in of]
        first = of[0]
        rows.append(
            (
                f"{first.priority}: {first.title}",
                str(len(of)),
                clock(first.begin_s),
                lasting(max(lasts)),
                clock(sum(lasts)),
                said(first.limits),
                first.rule,
            )
        )
    return rows
