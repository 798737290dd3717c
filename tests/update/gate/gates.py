"""One way to judge in tests: the pipeline's live model, one rung, limits that are soon reached."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from edge_runtime.config import ModelConfig, Rung
from edge_runtime.update.gate import child as gate_child
from edge_runtime.update.gate import judging as gate
from edge_runtime.update.gate.budget import Budget
from edge_runtime.update.gate.checks import Check, GateReport

ONNX = Rung("cpu", file="half_plus_two.onnx")
TFLITE = Rung("xnnpack", file="half_plus_two.tflite")
BOARD = "generic-x86-64"


def judged(candidate: Path, live: Path, *rungs: Rung, **limits: object) -> GateReport:
    config = ModelConfig(live, delegates=rungs, threads=1)
    budget = Budget(**{"turns": 3, "turn_s": 0.02, "wall_s": 60.0, **limits})
    return gate.judge(candidate, live, config, BOARD, budget)


def refusal(candidate: Path, live: Path, *rungs: Rung, **limits: object) -> Check:
    """The one check that failed: it is the last, and nothing was asked after it."""
    report = judged(candidate, live, *rungs, **limits)
    assert not report.passed
    failure = report.failure()
    assert failure is not None
    assert failure == report.checks[-1]
    return failure


_TAKEN = """\
#!{python}
import json, os, sys
line = b""
while not line.endswith(b"\\n"):
    line += os.read(0, 1)
job = json.loads(line)
if bool(job["candidate"]) != {candidate}:
    ours, theirs = os.pipe()
    os.write(theirs, line)
    if os.fork():  # goes on with what the parent says
        os.dup2(ours, 0)
        os.close(theirs)
        os.execv({python!r}, [{python!r}, *sys.argv[1:]])
    os.close(job["report"])
    while more := os.read(0, 4096):
        os.write(theirs, more)
    os._exit(0)
{acts}
with open(job["report"], "wb") as report:
    report.write(open({lie!r}, "rb").read())
"""


def taken_over(folder: Path, lie: str, acts: str = "", *, candidate: bool = True) -> str:
    """A Python for `sys.executable`: one of the two children acts, says the lie and ends."""
    folder.mkdir(exist_ok=True)
    (folder / "lie").write_text(lie)
    made, words = folder / "python", {"python": sys.executable, "candidate": candidate}
    made.write_text(_TAKEN.format(acts=acts, lie=str(folder / "lie"), **words))
    made.chmod(0o755)
    return str(made)


def unwalled(candidate: Path, live: Path, rung: Rung) -> Check:
    """The refusal by the child's own code, run here: a start of Python less for each case."""
    report = io.StringIO()
    job = {
        "walls": {"read": [], "address_bytes": 1 << 30, "cpu_s": 60},
        "candidate": str(candidate),
        "live": gate._facts(ModelConfig(live, delegates=(rung,), threads=1)),
        "live_golden": "",
        "board": BOARD,
        "agreement": 0.5,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate_child, "enter", lambda walls: {})
        gate_child._Child(job, report).work([])
    *before, last = [json.loads(line) for line in report.getvalue().splitlines()][1:]
    assert all(said["check"]["passed"] for said in before)
    assert not last["check"]["passed"]
    return Check(**last["check"])
