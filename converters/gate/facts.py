"""Figures of the gate as plain values, for JSON and for the manifest."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from .agreement import Agreement
from .boxes import BoxScores
from .drop import Drop, Scores
from .estimate import Estimate
from .scores import LabelScores


def drop_facts(lost: Drop) -> dict[str, Any]:
    """Figures of one task before and after, with their intervals."""
    return {
        "head": lost.head,
        "metric": lost.metric,
        "cases": lost.cases,
        "points": _known(lost.points),
        "before": _estimate_facts(lost.before),
        "after": _estimate_facts(lost.after),
        "loss": _estimate_facts(lost.loss),
        "source": _score_facts(lost.source),
        "converted": _score_facts(lost.converted),
    }


def _score_facts(scores: Scores) -> dict[str, Any]:
    if isinstance(scores, BoxScores):
        return {
            "map_50": _estimate_facts(scores.map_50),
            "map_50_95": _estimate_facts(scores.map_50_95),
            "classes": {name: list(values) for name, values in scores.classes.items()},
        }
    found = {
        "macro_f1": _estimate_facts(scores.macro_f1),
        "classes": [asdict(one) for one in scores.classes],
    }
    if isinstance(scores, LabelScores):
        found["accuracy"] = _estimate_facts(scores.accuracy)
        found["confusion"] = scores.confusion.tolist()
    return found


def _estimate_facts(one: Estimate) -> dict[str, Any]:
    return {key: _known(value) for key, value in asdict(one).items()}


def agreement_facts(agreement: Agreement | None) -> dict[str, Any] | None:
    """Shares of cases with the same answer, and the errors of the outputs."""
    if agreement is None:
        return None
    errors = [
        {key: _known(value) for key, value in asdict(one).items()} for one in agreement.outputs
    ]
    heads = {name: same / agreement.cases for name, same in agreement.heads.items()}
    share = {"share": agreement.share, "cases": agreement.cases}
    return {**share, "outputs": errors, "heads": heads}


def _known(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
