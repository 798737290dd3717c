"""A machine that cannot judge is no bad model; a child that was taken over harms nobody."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime.config import Rung
from edge_runtime.errors import UpdateError
from edge_runtime.update.gate.checks import GateReport

from . import hostile
from .gates import ONNX, judged, refusal, taken_over
from .hostile import HALF

WALLS = '{"sandbox": {}}\n'
LOADED = WALLS + '{"rung": 0, "delegate": "cpu", "before": ""}\n'


@pytest.fixture
def slot(tmp_path) -> Path:
    return hostile.slot(tmp_path / "slot", HALF)


def not_judged(candidate: Path, live: Path = HALF, *rungs: Rung, **limits: object) -> str:
    """Why the machine could not; a RefusedError would put the candidate in quarantine."""
    with pytest.raises(UpdateError) as caught:
        judged(candidate, live, *(rungs or (ONNX,)), **limits)
    assert (type(caught.value), caught.value.reason) == (UpdateError, "gate")
    return str(caught.value)


def _open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def played(monkeypatch, folder: Path, lie: str, acts: str = "", *, candidate: bool) -> None:
    """One of the two children is played by a script."""
    made = taken_over(folder, lie, acts, candidate=candidate)
    monkeypatch.setattr(sys, "executable", made)


def test_a_python_that_is_not_there_is_told_and_leaves_no_descriptor(slot, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = _open()
    assert "does not start: " in (said := not_judged(slot))
    assert "/nowhere/python" in said
    assert _open() == before


@pytest.mark.parametrize("room", [2, 6, 10])
def test_a_process_without_descriptors_is_told_and_leaves_none(slot, room):
    judged(slot, HALF, ONNX)  # what was to be imported is
    before, limits = _open(), resource.getrlimit(resource.RLIMIT_NOFILE)
    filled = [os.open("/", os.O_RDONLY) for _ in range(20)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(filled) + 1, limits[1]))
        for descriptor in filled[-room:]:
            os.close(descriptor)
        assert "Too many open files" in not_judged(slot)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in filled[:-room]:
            os.close(descriptor)
    assert _open() == before


def test_descriptors_are_closed_after_every_verdict(slot, monkeypatch, tmp_path):
    judged(slot, HALF, ONNX)
    before = _open()
    assert judged(slot, HALF, ONNX).passed
    played(monkeypatch, tmp_path / "taken", WALLS, candidate=True)
    refusal(slot, HALF, ONNX)
    assert _open() == before


def test_the_last_words_of_a_child_do_nothing_to_a_terminal(slot, monkeypatch, tmp_path):
    acts = r"os.write(2, b'\x1b]0;owned\x07\x1b[2Jno \xff sense\n')"
    played(monkeypatch, tmp_path / "taken", WALLS, acts, candidate=True)
    assert refusal(slot, HALF, ONNX).seen == "exit 0 (start): ]0;owned [2Jno \ufffd sense"


def test_what_a_child_started_ends_with_it(slot, monkeypatch, tmp_path):
    acts = (
        "inner = os.fork()\n"
        "if not inner:\n"
        "    os.close(job['report'])\n"
        "    import time\n"
        "    time.sleep(60)\n"
        f"open({str(tmp_path / 'inner')!r}, 'w').write(str(inner))\n"
    )
    played(monkeypatch, tmp_path / "taken", WALLS, acts, candidate=True)
    assert refusal(slot, HALF, ONNX).name == "crash"
    inner = Path("/proc", (tmp_path / "inner").read_text(), "stat")
    until = time.monotonic() + 10
    while inner.exists() and ") Z " not in inner.read_text() and time.monotonic() < until:
        time.sleep(0.01)  # whoever adopted it reaps it
    assert not inner.exists() or ") Z " in inner.read_text()


def test_a_report_that_is_closed_by_a_child_that_lives_is_a_refusal(slot, monkeypatch, tmp_path):
    acts = (
        f"os.write(job['report'], {WALLS.encode()!r})\n"
        "os.close(job['report'])\n"
        "import time\n"
        "time.sleep(60)\n"
    )
    played(monkeypatch, tmp_path / "taken", "", acts, candidate=True)
    failure = refusal(slot, HALF, ONNX)
    assert (failure.name, failure.expected) == ("crash", "a report to the end")


# The live model's child is the one in trouble.


@pytest.mark.parametrize(
    "case",
    [
        ("", "", "does not start: exit 0"),
        (WALLS, "os.kill(os.getpid(), 9)", "does not start: killed"),
        (LOADED, "", "beside the candidate: exit 0"),
    ],
    ids=["before its walls", "killed", "while it is timed"],
)
def test_a_live_models_child_that_ends_is_no_fault_of_the_candidates(
    slot, monkeypatch, tmp_path, case
):
    lie, acts, words = case
    played(monkeypatch, tmp_path / "taken", lie, acts, candidate=False)
    assert words in not_judged(slot)


def test_a_live_model_that_does_not_load_in_time_is_no_fault_of_the_candidates(
    slot, monkeypatch, tmp_path
):
    acts = f"os.write(job['report'], {WALLS.encode()!r})\nimport time\ntime.sleep(60)\n"
    played(monkeypatch, tmp_path / "taken", "", acts, candidate=False)
    assert "beside the candidate: no end" in not_judged(slot, wall_s=5.0)


@pytest.mark.parametrize("damage", ["missing labels", "labels without sense", "no manifest"])
def test_a_live_model_that_cannot_be_compared_with_is_no_fault_of_the_candidates(tmp_path, damage):
    candidate = hostile.slot(tmp_path / "slot", hostile.SHAPES)
    live = hostile.slot(tmp_path / "live", hostile.SHAPES)
    {
        "missing labels": (live / "labels.txt").unlink,
        "labels without sense": lambda: (live / "labels.txt").write_bytes(b"\xff"),
        "no manifest": lambda: (live / "model.toml").write_text("nonsense"),
    }[damage]()
    said = not_judged(candidate, live, Rung("xnnpack"))
    assert said.startswith("the gate has no live model to compare with: ")


def test_a_machine_where_no_model_loads_puts_none_in_quarantine(slot):
    missing = Rung("probe", library="/nowhere/libdelegate.so")
    said = not_judged(slot, HALF, missing)
    assert "the live model does not load either: " in said
    assert "(the candidate: load: probe: " in said


def test_a_live_model_of_links_is_read_where_they_lead(tmp_path, slot):
    store, live = tmp_path / "blobs", tmp_path / "live"
    shutil.copytree(HALF, store)
    live.mkdir()
    for path in store.iterdir():
        (live / path.name).symlink_to(path)
    report: GateReport = judged(slot, live, ONNX)
    assert report.passed
    assert "live" not in {check.name for check in report.checks}  # it was there to compare with


def test_limits_that_were_set_before_are_no_obstacle_and_are_told():
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (30, 30))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20))\n"
        "from edge_runtime.update.gate.sandbox import Walls, enter\n"
        "print(enter(Walls((), 1 << 30, 60))['limits'])\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told, cpu = done.stdout.strip().split("\n")
    assert told == "address space 256 MB, 29 s of CPU, no file written"
    assert cpu == "(29, 30)"
