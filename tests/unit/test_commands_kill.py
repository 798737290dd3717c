"""A real process that is killed at each step of a command runs it once at most, never twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ..needs import ROOT as REPOSITORY
from .commands_kit import Bench, command

# Kills itself before the n-th of the system calls that make a file last, or inside the verb.
CHILD = """
import os, pathlib, signal, sys
from tests.unit.commands_kit import Bench

folder, payload, kill_at = pathlib.Path(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
marks = folder / "marks"
calls = []

def counted(call, name):
    def counting(*args, **more):
        calls.append(name)
        if len(calls) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **more)
    return counting

def mark(args):
    step()
    with marks.open("a") as file:
        file.write("x")
    step()

bench = Bench(folder)
bench.commands._verbs = {"mark": bench.commands._verbs["mark"]._replace(run=mark)}
step = counted(lambda: None, "verb")
os.fsync, os.write = counted(os.fsync, "fsync"), counted(os.write, "write")
pathlib.Path.replace = counted(pathlib.Path.replace, "rename")
print(bench.why(payload) or "accepted", *calls)
"""


def run(folder, payload: bytes, kill_at: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), payload.decode(), str(kill_at)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def marks(folder) -> int:
    return len((folder / "marks").read_text()) if (folder / "marks").exists() else 0


@pytest.fixture(scope="module")
def steps(tmp_path_factory) -> list[str]:
    """The steps of a command, before each of which a process can be killed."""
    done = run(tmp_path_factory.mktemp("whole"), command())
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[1:]


def test_a_command_is_on_the_disk_in_the_memory_and_in_the_log_before_it_runs(steps):
    memory = ["fsync", "rename", "fsync"]  # the file, then its name in the folder
    log = ["write", "fsync", "fsync"]  # the line, and the name of the new file

    assert steps == [*memory, *log, "verb", "verb"]


def test_m13_a_command_that_is_delivered_again_after_a_kill_at_any_step_runs_once_at_most(
    tmp_path, steps
):
    ran, answers = [], []
    for kill_at in range(1, len(steps) + 1):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        payload = command()
        killed = run(folder, payload, kill_at)
        again = run(folder, payload)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert again.returncode == 0, again.stderr
        ran.append(marks(folder))
        answers.append(again.stdout.split()[0])

    # Before its counter is on the disk it runs at the second delivery; after that, never again.
    assert set(ran) == {0, 1}
    assert ran[0] == 1
    assert answers[0] == "accepted"
    assert answers[-1] == "replayed"
    assert ran[-1] == 1, "killed after the verb had run"
    assert ran[-2] == 0, "killed just before the verb, and not run when it came again"
    assert [count == 1 for count in ran[:-1]] == [answer == "accepted" for answer in answers[:-1]]


def test_a_restart_by_kill_keeps_what_was_obeyed(tmp_path):
    payload = command()
    assert run(tmp_path, payload).returncode == 0

    bench = Bench(tmp_path)

    assert bench.why(payload) == "replayed"
    assert marks(tmp_path) == 1
