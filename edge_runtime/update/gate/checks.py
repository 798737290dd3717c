"""What the gate says: one check after another, what was expected, what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.errors import RefusedError

_TEXT_MAX = 500


def one_line(text: str) -> str:
    """What a child said, for a terminal and a journal: printable, and not too long."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[:_TEXT_MAX])
    return " ".join(plain.split())


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a candidate. `name` is the word for programs, "labels" or "latency"."""

    name: str
    passed: bool
    expected: str
    seen: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """The verdict. The first check that failed ended the judging.

    `sandbox` says of each wall around the child whether this kernel has it.
    """

    passed: bool
    checks: tuple[Check, ...]
    sandbox: Mapping[str, str]

    def failure(self) -> Check | None:
        """The check that failed; None when the candidate passed."""
        return next((check for check in self.checks if not check.passed), None)

    def require(self) -> None:
        """Raises RefusedError for a candidate that did not pass; its reason is the check."""
        if check := self.failure():
            raise RefusedError(
                f"the candidate is refused: {check.name}: expected {check.expected}, "
                f"seen {check.seen}",
                reason=check.name,
            )
