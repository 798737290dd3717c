"""A model whose native code never returns and holds the interpreter: nothing of ours runs."""

from __future__ import annotations

import subprocess
import sys
import time

from edge_runtime.swap.evidence import Baseline

from .switch_kit import Bench, validated, write_model

PROGRAM = """
import ctypes, pathlib, sys, threading, time, types
from edge_runtime.cli.again import end_if_held
path = pathlib.Path(sys.argv[1])
switch = types.SimpleNamespace(trying=True, ended=threading.Event(), hung_path=path)
end_if_held(switch, 2.0)
time.sleep(1.5)
ctypes.PyDLL(None).sleep(60)  # keeps the lock of the interpreter
"""


def test_the_process_is_ended_from_below_and_the_next_start_rolls_back_at_once(tmp_path):
    running = Bench(tmp_path, count=1)
    release = validated(running.store, write_model(tmp_path / "new", version="2.0.0"))
    running.desk.look()
    running.desk.enter(release.digest)
    running.desk.begin(Baseline())

    began = time.monotonic()
    program = [sys.executable, "-c", PROGRAM, str(running.desk.hung_path)]
    done = subprocess.run(program, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert time.monotonic() - began < 10

    journal = Bench(tmp_path, count=1).store.journal
    assert (journal.state, journal.reason) == ("rolled_back", "hang")
    assert not running.desk.hung_path.exists()


def test_where_no_file_can_be_written_it_runs_all_the_same_and_is_ended_too(tmp_path):
    path = tmp_path / "read-only" / "hung"  # a folder that is not there, for a disk that is

    program = [sys.executable, "-c", PROGRAM, str(path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert f"{path}: No such file or directory: a hang will count as a crash" in done.stderr
    assert "Timeout" in done.stderr  # where the threads stood
