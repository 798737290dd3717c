"""Which rules there are, by family: those of one cannot say together.

- `rate`: brady, tachy, extreme-brady, extreme-tachy, pause. Limited quality is enough.
- `asystole`: asystole. Limited quality is enough.
- `ventricular`: couplet, run, vt, bigeminy, trigeminy, pvc-frequent.
- `af`: af.
- `st`: st.
- `summary`: summary. It counts what is judged, and never says that it cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .ectopy import FrequentRule, PatternRule, RunRule
from .fibrillation import FibrillationRule
from .rate import RateRule
from .st_segment import StRule
from .standstill import AsystoleRule, PauseRule
from .summary import SummaryRule

if TYPE_CHECKING:
    from .heartbeat import Rule
    from .limits import Limits

FAMILIES = ("rate", "asystole", "ventricular", "af", "st", "summary")


def rules_of(
    families: Sequence[str], limits: Limits, *, latched: bool = True, summary_s: float = 60.0
) -> list[Rule]:
    """The rules of these families, each in its first state."""
    fibrillation = FibrillationRule(limits)
    rules: list[Rule] = [
        RateRule(limits, latched=latched),
        PauseRule(limits),
        AsystoleRule(limits, latched=latched),
        RunRule(limits, latched=latched),
        PatternRule("bigeminy", 2),
        PatternRule("trigeminy", 3),
        FrequentRule(limits),
        fibrillation,
        StRule(limits),
        SummaryRule(summary_s, fibrillation),
    ]
    return [rule for rule in rules if (rule.family or "summary") in families]
