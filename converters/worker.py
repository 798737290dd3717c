"""The child's side: run one job, tell its progress and its end in JSON lines.

    python worker.py MODULE < JOB.json

A script that is started by its path, on any Python that has the framework. What frameworks print
goes to standard error; standard output is the parent's alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

_PACKAGE = "edge_run_jobs"  # a name of its own, wherever the files lie


def main() -> None:
    """Read the job, run it, answer."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    given = json.load(sys.stdin)
    jobs = _jobs()

    def progress(done: int, total: int, what: str) -> None:
        _tell(answers, {"progress": [done, total, what]})

    job = jobs.job.Job(
        source=Path(given["source"]),
        out=Path(given["out"]),
        options=given["options"],
        cases=Path(given["cases"]) if given["cases"] else None,
        progress=progress,
    )
    try:
        module = importlib.import_module(f"{_PACKAGE}.{sys.argv[1]}")
        _tell(answers, {"facts": module.run(job)})
    except jobs.job.JobError as exc:
        misfit = isinstance(exc, jobs.job.MisfitError)
        _tell(answers, {"error": str(exc), "misfit": misfit})
    except ModuleNotFoundError as exc:
        _tell(answers, {"missing": exc.name})


def _jobs() -> Any:
    """The package `jobs` beside this file, which is not on the import path."""
    folder = Path(__file__).resolve().parent / "jobs"
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder}: holds no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)
    importlib.import_module(f"{_PACKAGE}.job")
    return package


def _tell(answers: TextIO, what: dict[str, Any]) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
