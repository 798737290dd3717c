"""The update store on a disk that is full or fails, at each operation of each step."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ...crash.campaign import ROOT
from ...crash.recorder import build, environment
from ...needs import program


@pytest.mark.parametrize("fault", ["full", "stays-full", "sync"])
def test_p12_p13_a_disk_that_fails_anywhere_costs_an_error_and_no_model(tmp_path, fault):
    program("gcc", "gcc")
    command = [sys.executable, "-m", "tests.update.crash.failing", fault]

    done = subprocess.run(command, cwd=ROOT, env=environment(build(tmp_path)), capture_output=True)

    assert done.returncode == 0, done.stderr.decode()[-2000:]
    seen = json.loads(done.stdout)
    assert not seen["wrong"], seen["wrong"][:5]
    assert seen["tries"] > 30
    assert seen["failed"] > 15
