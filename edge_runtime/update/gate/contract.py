"""Does a candidate fit where the live model runs? Pure: two manifests, a word per difference.

Steps, monitors and subscribers were set up for the live model. What they rely on must be the
same: what goes in (kind, leads, units, rate, window, colour) and what comes out (task, labels in
order, heads, points). How a model stores tensors, its layout and its thresholds are its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from edge_runtime.manifest import GoldenEntry, InputEntry, Manifest

from .checks import Check

_OF_THE_PIPELINE = ("image", "signal", "feature")  # states and constants are the model's own
_SAMPLES_AXIS = {"NTC": 1, "NCT": 2, "NT": 1}
_LOOSER = 4.0  # times the live model's golden tolerance
_TOLERANCE = 0.05
_SHOWN = 200  # characters


def compare(live: Manifest, candidate: Manifest) -> list[Check]:
    """A failed check for each difference; one that passed when there is none.

    Raises ConfigError when a list of labels cannot be read.
    """
    failed = [
        Check(name, passed=False, expected=_shown(wanted), seen=_shown(found))
        for name, wanted, found in _pairs(live, candidate)
        if wanted != found  # a NaN is unlike everything
    ]
    same = f"the contract of {live.name} {live.version}"
    return failed or [Check("contract", passed=True, expected=same, seen="the same")]


def strictness(live: Manifest, candidate: Manifest) -> Check:
    """Golden vectors with a tolerance that lets everything pass prove nothing."""
    of_live, own = live.golden or GoldenEntry(), candidate.golden
    widest = max(_LOOSER * of_live.tolerance, _TOLERANCE)
    lowest = min(of_live.agreement, 1.0) * 0.9
    expected = f"golden vectors, tolerance at most {widest:g}, agreement at least {lowest:g}"
    if own is None:
        return Check("golden", passed=False, expected=expected, seen="none in model.toml")
    fits = 0.0 <= own.tolerance <= widest and math.isfinite(own.agreement)
    seen = f"tolerance {own.tolerance:g}, agreement {own.agreement:g}"
    return Check("tolerance", fits and own.agreement >= lowest, expected, seen)


def _pairs(live: Manifest, candidate: Manifest) -> Iterator[tuple[str, object, object]]:
    """(word, the live model's, the candidate's)."""
    yield "task", live.task, candidate.task
    yield "postprocess", live.postprocess.kind, candidate.postprocess.kind
    yield "stateful", live.stateful, candidate.stateful
    wanted, found = _inputs(live), _inputs(candidate)
    kinds = [entry.kind for entry in wanted], [entry.kind for entry in found]
    yield "input kind", *kinds
    if kinds[0] == kinds[1]:
        for one, other in zip(wanted, found, strict=True):
            yield from _of_input(one, other)
    yield "labels", live.labels(), candidate.labels()
    yield "groups", live.groups(), candidate.groups()
    yield "heads", _heads(live), _heads(candidate)
    for key in ("names", "unsure", "background"):
        yield key, getattr(live.postprocess, key), getattr(candidate.postprocess, key)


def _inputs(manifest: Manifest) -> list[InputEntry]:
    """What the pipeline gives, in an order that does not depend on the file's."""
    given = [entry for entry in manifest.input if entry.kind in _OF_THE_PIPELINE]
    return sorted(given, key=lambda entry: (entry.kind, entry.feature))


def _of_input(live: InputEntry, candidate: InputEntry) -> Iterator[tuple[str, object, object]]:
    for key in ("feature", "units", "rate_hz", "leads", "context"):
        yield key, getattr(live, key), getattr(candidate, key)
    if live.kind == "image":
        yield "colour", live.colour, candidate.colour
    elif live.kind == "signal":
        yield "window", _window(live), _window(candidate)
    else:
        yield "shape", live.shape, candidate.shape


def _window(entry: InputEntry) -> int | str:
    """Samples; a shape that the manifest leaves open has no number."""
    axis = _SAMPLES_AXIS[entry.layout]
    return entry.shape[axis] if len(entry.shape) > axis else "open"


def _heads(manifest: Manifest) -> list[tuple[str, str]]:
    return [(head.name, head.report) for head in manifest.head]


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        value = ", ".join(map(str, value)) or "none"
    text = str(value) or "none"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
