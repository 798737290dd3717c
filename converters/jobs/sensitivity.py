"""What each part of a model costs when only it is quantised: the loop that both formats share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from .difference import Outputs, compare
from .job import Facts, Job, JobError


def rank(
    job: Job, parts: Sequence[tuple[str, str]], outputs: Callable[[str], Outputs], expected: Outputs
) -> Facts:
    """The parts (name, operation) by the error that each brings, the worst first.

    `outputs(name)` are those of the float model with that part alone in int8. Options: `seconds`
    ends the search early (the parts not reached are counted in `not_tried`). A part that cannot
    be quantised by itself is in `failed`.
    """
    until = time.monotonic() + float(job.options.get("seconds", 300.0))
    found: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    tried = 0
    for name, kind in parts:
        if tried and time.monotonic() > until:
            break
        tried += 1
        try:
            compared = compare(expected, outputs(name))
            found.append({"node": name, "op": kind, **compared})
        except JobError as exc:
            failed.append({"node": name, "op": kind, "why": str(exc)})
        job.progress(tried, len(parts), "sensitivity")
    found.sort(key=lambda part: -part["relative_error"])
    return {"sensitivity": found, "failed": failed, "not_tried": len(parts) - tried}
