"""Jobs in child processes: answers, refusals, crashes, hangs, and nothing left behind."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest
from edge_runtime.converters import child
from edge_runtime.converters.errors import ConversionError

HERE = Path(child.__file__).parent
JOBS = {
    "doubles": """
from .job import read_cases
def run(job):
    for done in range(3):
        job.progress(done + 1, 3, "doubling")
    print("frameworks talk on standard output")
    return {"options": dict(job.options), "cases": job.cases and len(read_cases(job.cases))}
""",
    "refuses": """
from .job import JobError
def run(job):
    raise JobError("layer 'gru': cannot be INT8; leave it float")
""",
    "crashes": "import os, signal\ndef run(job): os.kill(os.getpid(), signal.SIGSEGV)\n",
    "breaks": "def run(job): raise OSError(28, 'No space left on device')\n",
    "needs": "def run(job):\n    import a_framework_that_is_not_there\n",
    "hangs": """
import subprocess, sys, time
def run(job):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    job.out.write_text("begun")
    time.sleep(600)
""",
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a job of a package of its own, by the real worker."""
    (tmp_path / "jobs").mkdir()
    for name in ("__init__.py", "job.py"):
        shutil.copyfile(HERE / "jobs" / name, tmp_path / "jobs" / name)
    for name, text in JOBS.items():
        (tmp_path / "jobs" / f"{name}.py").write_text(text)
    shutil.copyfile(HERE / "worker.py", tmp_path / "worker.py")
    monkeypatch.setattr(child, "_WORKER", tmp_path / "worker.py")

    def made(module: str, **more):
        job = {"source": "in", "out": tmp_path / "out", "options": {"precision": "int8"}}
        return child.run(Path(sys.executable), module, job, **more)

    return made


def test_a_job_answers_with_facts_and_tells_its_progress(run):
    seen = []
    facts = run("doubles", on_progress=lambda *told: seen.append(told))
    assert facts == {"options": {"precision": "int8"}, "cases": None}
    assert seen == [(1, 3, "doubling"), (2, 3, "doubling"), (3, 3, "doubling")]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("refuses", "^layer 'gru': cannot be INT8; leave it float$"),
        ("crashes", r"^crashes: its process crashed \(SIGSEGV\)"),
        ("breaks", r"ended with status 1; its last words: OSError: \[Errno 28\] No space left"),
        ("needs", "has no module a_framework_that_is_not_there"),
        ("absent", "has no module edge_run_jobs.absent"),
    ],
)
def test_each_bad_end_is_told_by_its_reason(run, module, reason):
    with pytest.raises(ConversionError, match=reason):
        run(module)


def test_a_job_that_hangs_is_stopped_with_all_that_it_started(run, tmp_path):
    begun = time.monotonic()
    with pytest.raises(ConversionError, match="was stopped after 3 s"):
        run("hangs", timeout_s=3)
    assert (tmp_path / "out").read_text() == "begun"
    assert time.monotonic() - begun < 30  # its own child holds the pipe for ten minutes
