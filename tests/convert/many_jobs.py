"""Many jobs in one process, for tests: `python many_jobs.py < JOBS.json`, a list of [module, job].

Importing a framework takes longer than converting a small network. It answers with a list of
{"facts": ...} or {"error": ...}; the jobs are found and named as converters/worker.py does.
"""

import importlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "converters"))
import worker

answers_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
jobs = worker._jobs()
found = []
for module, given in json.load(sys.stdin):
    job = jobs.job.Job(
        source=Path(given["source"]),
        out=Path(given["out"]),
        options=given.get("options", {}),
        cases=Path(given["cases"]) if given.get("cases") else None,
    )
    try:
        run = importlib.import_module(f"{worker._PACKAGE}.{module}").run
        found.append({"facts": run(job)})
    except jobs.job.JobError as exc:
        found.append({"error": str(exc)})
json.dump(found, answers_to)
