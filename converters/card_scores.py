"""The tables of a card that have a row for each head, or for each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]  # plain values, as conversion.json has them

MOST = 30  # rows of a table of classes


def percent(estimate: Facts) -> str:
    """A figure and its interval."""
    shown = [estimate[key] for key in ("value", "low", "high")]
    value, low, high = ["?" if one is None else f"{100 * one:.2f}" for one in shown]
    return f"{value} ({low} to {high})"


def heads(files: Sequence[Facts]) -> Iterator[str]:
    """What each file keeps of each head: those with labels by their score."""
    yield "| file | head | cases | score | source, % | file, % | lost, points | same |"
    yield "|---" * 8 + "|"
    for one in files:
        scored = {lost["head"]: lost for lost in one["drops"]}
        shares = one["agreement"]["heads"] if one["agreement"] else {}
        for head, share in shares.items():
            figures = ["0", "no labels", *("not measured",) * 3]
            if lost := scored.get(head):
                figures = [str(lost["cases"]), lost["metric"]]
                figures += [percent(lost[key]) for key in ("before", "after", "loss")]
            row = [f"`{one.get('file', one['target'])}`", head, *figures]
            yield f"| {' | '.join(row)} | {100 * share:.2f} % |"


def classes(files: Sequence[Facts]) -> Iterator[str]:
    """Every class of the source and of each file, side by side; nothing without scores."""
    scored = [one for one in files if one["drops"]]
    for place, task in enumerate(scored[0]["drops"] if scored else ()):
        columns = [("source", _by_class(task["source"]))]
        columns += [(one["target"], _by_class(one["drops"][place]["converted"])) for one in scored]
        yield from ("",) if place else ("## Classes", "")
        head = f"Head `{task['head']}`. " if task["head"] else ""
        what = "F1" if "macro_f1" in task["source"] else "AP@[.5:.95]"
        yield from (f"{head}{what} in percent.", "", *_table(columns))


def _table(columns: Sequence[tuple[str, Mapping[str, tuple[str, float]]]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for _, one in columns for name in one))
    yield f"| class | cases | {' | '.join(title for title, _ in columns)} |"
    yield "|---" * (len(columns) + 2) + "|"
    for name in names[:MOST]:
        cases = next(one[name][0] for _, one in columns if name in one)
        values = [f"{100 * one[name][1]:.1f}" if name in one else "-" for _, one in columns]
        yield f"| {name} | {cases} | {' | '.join(values)} |"
    if len(names) > MOST:
        yield from ("", f"{len(names) - MOST} more classes are not shown.")


def _by_class(scores: Facts) -> dict[str, tuple[str, float]]:
    if "macro_f1" in scores:
        return {one["label"]: (str(one["cases"]), one["f1"]) for one in scores["classes"]}
    return {name: ("", values[1]) for name, values in scores["classes"].items()}
