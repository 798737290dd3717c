"""What was made and how it stood the gate, in plain values and in lines."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import vendors
from .data import Cases
from .gate.golden import Golden
from .gate.verdict import Verdict
from .proving import Proven
from .wish import Wish

_FEW = 16  # cases of calibration: less is said aloud
_BARE = re.compile(r"[^A-Za-z0-9_-]+")  # what a key of TOML cannot have


@dataclass(frozen=True, slots=True)
class Report:
    """What was made, and how each file stood the gate."""

    out: Path
    verdicts: tuple[Verdict, ...]
    facts: Mapping[str, Any]  # plain values, for JSON

    def text(self) -> str:
        """A line for each file, and what must be known to weigh the whole."""
        lines = [str(self.out), *(_line(verdict) for verdict in self.verdicts)]
        lines += [f"note: {note}" for note in self.facts["notes"]]
        return "\n".join([*lines, *self.facts["after"]])


DataFacts = tuple[Mapping[str, Any] | None, Mapping[str, Any]]  # of calibration, of evaluation


def facts_of(
    wanted: Wish, proven: Sequence[Proven], data: DataFacts, vectors: Golden
) -> dict[str, Any]:
    """All that is known of a conversion, in plain values: conversion.json."""
    name = wanted.contract.manifest.name
    return {
        "source": {"kind": wanted.given.kind, "name": wanted.given.title},
        "options": {
            "command": wanted.command,
            "max_drop": wanted.max_drop,
            "min_agreement": wanted.min_agreement,
            "ranges": wanted.calibration,
            "seed": wanted.seed,
        },
        "notes": list(_notes(data[0])),
        "calibration": data[0],
        "evaluation": data[1],
        "golden": vectors.facts(),
        "files": [{"file": one.target.filename(name), **_file(one)} for one in proven],
        "machine": _machine(),
        "after": _after(wanted),
    }


def _notes(calibration: Mapping[str, Any] | None) -> Iterator[str]:
    if calibration and calibration["cases"] < _FEW:
        count = f"{calibration['cases']} cases" if calibration["cases"] > 1 else "one case"
        yield (
            f"the integer ranges are of {count} of {calibration['source']} only: what lies beyond "
            "them is clipped; give more and other cases to --calibrate"
        )


def _file(one: Proven) -> dict[str, Any]:
    facts = one.made.facts if one.made else {}
    known = ("kept_float", "ops", "float_tensors", "notes", "compared")
    said = {key: facts[key] for key in known if key in facts}
    return {
        "kept_float": [],
        **{f"converter_{key}" if key == "notes" else key: value for key, value in said.items()},
        **one.verdict.facts(),
        "kept_for_the_gate": list(one.kept),
        "versions": dict(one.made.versions) if one.made else {},
        "made_in_s": round(one.made.seconds, 1) if one.made else None,
    }


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _after(wanted: Wish) -> list[str]:
    """What a vendor's program would do next, and what is missing for it."""
    programs = {"tensorrt": "trtexec", "edgetpu": "edgetpu_compiler"}
    return [
        vendors.missing(programs[verb]) or f"{programs[verb]} is here: edge-convert {verb}"
        for verb in wanted.after
    ]


def accuracy_of(proven: Sequence[Proven], evaluation: Cases) -> dict[str, Any]:
    """The figures that go into the manifest."""
    found: dict[str, Any] = {"data": Path(evaluation.spec).name, "cases": len(evaluation)}
    for verdict in (one.verdict for one in proven):
        key = verdict.target.replace(":", "_")
        for lost in verdict.drops:
            head = f"_{_BARE.sub('_', lost.head)}" if lost.head else ""
            found[f"metric{head}"] = lost.metric
            found[f"source{head}"] = round(lost.before.value, 4)
            found[f"{key}{head}"] = round(lost.after.value, 4)
        if verdict.agreement is not None:
            found[f"{key}_same_answer"] = round(verdict.agreement.share, 4)
    return found


def _line(verdict: Verdict) -> str:
    parts = [f"{verdict.target:18} {verdict.size_bytes:>10,} bytes"]
    for lost in verdict.drops:
        parts.append(f"{lost.head} {lost.metric} {100 * lost.after.value:.2f} %".lstrip())
        parts.append(f"loses {lost.points:.2f}")
    if verdict.agreement is not None:
        parts.append(f"same answer {100 * verdict.agreement.share:.1f} %")
    if verdict.latency is not None:
        parts.append(f"{verdict.latency.median_ms:.3f} ms")
    if verdict.latency_ratio is not None:
        parts.append(f"{verdict.latency_ratio:.2f} x float32")
    return ", ".join(parts)
