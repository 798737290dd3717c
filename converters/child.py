"""Jobs of the package `jobs`, each in a child process on the Python of its family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import process
from .errors import ConversionError, MisfitError
from .process import Facts, Progress

_WORKER = Path(__file__).resolve().parent / "worker.py"
_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONWARNINGS": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
}


def run(
    python: Path,
    module: str,
    job: Mapping[str, Any],
    *,
    timeout_s: float = 1800.0,
    on_progress: Progress | None = None,
) -> Facts:
    """Run job `module` on a Python, and give what it found.

    `job` has `source` and `out`, and perhaps `options` and `cases`; see `jobs.job.Job`. Raises
    ConversionError with the job's reason, MisfitError where the contract is not the model's, or
    with how the child ended and its last words.
    """
    given = {"options": {}, "cases": None, **job}
    try:
        answer = process.ask([python, "-u", _WORKER, module], given, timeout_s, on_progress, _QUIET)
    except ConversionError as exc:
        raise ConversionError(f"{module}: {exc}") from exc
    if "error" in answer:
        kind = MisfitError if answer["misfit"] else ConversionError
        raise kind(str(answer["error"]))
    if "missing" in answer:
        raise ConversionError(f"{module}: {python} has no module {answer['missing']}")
    facts: Facts = answer["facts"]
    return facts
