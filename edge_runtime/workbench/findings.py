"""One thing that a check found, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from edge_runtime.errors import EdgeRunError


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok`, `note` (works, but look) or `fail`; `exit_code` is 0 unless it is a failure."""

    part: str  # "run file", "model", "source bedside", "sink mqtt", ...
    state: Literal["ok", "note", "fail"]
    text: str
    fix: str = ""  # what to do; empty when there is nothing to do or the text says it
    exit_code: int = 0

    def facts(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def ok(part: str, text: str) -> Finding:
    return Finding(part, "ok", text)


def note(part: str, text: str, fix: str = "") -> Finding:
    return Finding(part, "note", text, fix)


def fail(part: str, error: EdgeRunError | str, fix: str = "", exit_code: int = 0) -> Finding:
    """A failure; an error brings its own exit code."""
    code = exit_code or (error.exit_code if isinstance(error, EdgeRunError) else 1)
    return Finding(part, "fail", str(error), fix, code)


def worst(findings: list[Finding]) -> int:
    """The exit code of a check: configuration (2) before model (3) before the rest (1)."""
    codes = {finding.exit_code for finding in findings}
    return next((code for code in (2, 3, 1) if code in codes), 0)
