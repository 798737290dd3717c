"""A scoring as text and as JSON: record by record, gross and average, matrices, runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from edge_runtime.ecg.ec57 import CLASSES, MATCH_S, MEASURES, BeatTable, Ratio, average
from edge_runtime.ecg.ec57_runs import RUN_MEASURES, RunTable

from .score import Failure, Plan, RecordScore, gross

T = TypeVar("T")

_NO_BEAT = {"O", "X"}
_ROWS = (*CLASSES, "O", "X")
_LENGTHS = range(7)
_QRS_ONLY = ("QRS Se", "QRS +P")


@dataclass(frozen=True, slots=True)
class Report:
    """A whole scoring. `subject` names what was scored; `leaked` are records it should not be."""

    subject: str
    plan: Plan
    scores: Sequence[RecordScore]
    failures: Sequence[Failure] = ()
    split: str = ""
    leaked: Sequence[str] = ()

    @property
    def classes(self) -> bool:
        """Whether the test beats have classes; a detector only says where a beat is."""
        return self.plan.model is not None or bool(self.plan.existing)

    @property
    def mark(self) -> str:
        """What stands in every heading when training patients were scored; else nothing."""
        if not self.leaked:
            return ""
        return f"  [LEAK: trained on {len(self.leaked)} of these records' patients]"


Table = tuple[str, tuple[str, ...], list[list[str]]]  # title, head, rows


def tables(report: Report, *, matrices: bool = False) -> list[Table]:
    """Everything to print; with `matrices`, those of each record too."""
    beats, ventricular, supraventricular = gross(report.scores)
    made = [_by_record(report, beats)]
    made += [
        _matrix(f"beat by beat, record {one.path.name}{report.mark}", one.beats)
        for one in (report.scores if matrices else ())
    ]
    made.append(_matrix(f"beat by beat, all records{report.mark}", beats))
    if report.classes:
        made.append(_runs(f"ventricular runs{report.mark}", report, lambda one: one.ventricular))
        title = f"supraventricular runs{report.mark}"
        made.append(_runs(title, report, lambda one: one.supraventricular))
        if matrices:
            made += _run_matrices("ventricular", report.mark, ventricular)
            made += _run_matrices("supraventricular", report.mark, supraventricular)
    return made


def as_json(report: Report) -> dict[str, Any]:
    """The same figures with their counts, for programs."""
    beats, ventricular, supraventricular = gross(report.scores)
    return {
        "subject": report.subject,
        "annotator": report.plan.annotator,
        "match_window_s": MATCH_S,
        "from_s": report.plan.start_s,
        "split": report.split or None,
        "leaked": list(report.leaked),
        "records": [
            {
                "record": one.path.name,
                "lead": one.lead,
                **_figures(one.beats, one.ventricular, one.supraventricular),
            }
            for one in report.scores
        ],
        "gross": _figures(beats, ventricular, supraventricular),
        "average": {
            name: average(measure(one.beats) for one in report.scores)
            for name, measure in MEASURES.items()
        },
        "failures": [
            {"record": failure.path.name, "reason": failure.reason} for failure in report.failures
        ],
    }


def _by_record(report: Report, total: BeatTable) -> Table:
    names = tuple(MEASURES) if report.classes else _QRS_ONLY
    head = ("record", "lead", "beats", "missed", "false", *names, "RR ms")
    rows = [
        [one.path.name, one.lead, *_counts(one.beats), *_percents(one.beats, names, MEASURES)]
        for one in report.scores
    ]
    errors = [one.beats.rr_error_ms for one in report.scores]
    for row, error in zip(rows, errors, strict=True):
        row.append(_number(error))
    rows.append(["gross", "", *_counts(total), *_percents(total, names, MEASURES), ""])
    means = [average(MEASURES[name](one.beats) for one in report.scores) for name in names]
    rows.append(["average", "", "", "", "", *map(_number, means), ""])
    return f"{report.subject}, record by record{report.mark}", head, rows


def _runs(title: str, report: Report, pick: Callable[[RecordScore], RunTable]) -> Table:
    names = tuple(RUN_MEASURES)
    found = [(one.path.name, pick(one)) for one in report.scores]
    rows = [
        [name, *_percents(table, names, RUN_MEASURES)]
        for name, table in found
        if any(RUN_MEASURES[measure](table).whole for measure in names)
    ]
    total = sum((table for _, table in found), RunTable())
    rows.append(["gross", *_percents(total, names, RUN_MEASURES)])
    means = [average(RUN_MEASURES[name](table) for _, table in found) for name in names]
    rows.append(["average", *map(_number, means)])
    return title, ("record", *names), rows


def _matrix(title: str, table: BeatTable) -> Table:
    """Rows are reference classes, columns test classes; O is no beat, X no beat in shutdown."""
    rows = [
        [
            one,
            *(str(table.counts[one, other]) if {one, other} - _NO_BEAT else "" for other in _ROWS),
        ]
        for one in _ROWS
    ]
    return title, ("", *(name.lower() for name in _ROWS)), rows


def _run_matrices(kind: str, mark: str, table: RunTable) -> list[Table]:
    """Rows are lengths of reference runs, columns of test runs; 6 stands for 6 and more."""
    head = ("", *(str(length) for length in _LENGTHS))
    return [
        (
            f"{kind} run {name}, all records{mark}",
            head,
            [[str(one), *(str(counts[one, other]) for other in _LENGTHS)] for one in _LENGTHS],
        )
        for name, counts in (
            ("sensitivity", table.sensitivity),
            ("predictivity", table.predictivity),
        )
    ]


def _figures(beats: BeatTable, ventricular: RunTable, supraventricular: RunTable) -> dict[str, Any]:
    return {
        "matrix": {one: {other: beats.counts[one, other] for other in _ROWS} for one in _ROWS},
        "measures": _ratios(beats, MEASURES),
        "rr_error_ms": beats.rr_error_ms,
        "shutdown_s": beats.shutdown_s,
        "ventricular_runs": _ratios(ventricular, RUN_MEASURES),
        "supraventricular_runs": _ratios(supraventricular, RUN_MEASURES),
    }


def _ratios(table: T, measures: Mapping[str, Callable[[T], Ratio]]) -> dict[str, Any]:
    found = {name: measure(table) for name, measure in measures.items()}
    return {
        name: {"percent": ratio.percent, "part": ratio.part, "whole": ratio.whole}
        for name, ratio in found.items()
    }


def _counts(table: BeatTable) -> list[str]:
    found, of = table.qrs_sensitivity()
    _, called = table.qrs_predictivity()
    return [str(of), str(of - found), str(called - found)]


def _percents(
    table: T, names: Sequence[str], measures: Mapping[str, Callable[[T], Ratio]]
) -> list[str]:
    return [_number(measures[name](table).percent) for name in names]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
