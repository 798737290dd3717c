"""Source `stdin` as another program meets it: through a pipe."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge_runtime.errors import SourceLostError
from edge_runtime.sources.streams.stdin import Stdin
from tests.needs import ROOT

READER = """
from edge_runtime.errors import EndOfStream
from edge_runtime.sources.streams.stdin import Stdin
source = Stdin(name="ecg", rate_hz=100.0, mv_per_count=1.0, chunk_s=0.05)
source.open()
try:
    while True:
        frame = source.read(1.0)
        if frame is not None:
            print(*frame.data.ravel().tolist())
except EndOfStream:
    print("end")
"""


def test_s13_what_is_written_into_the_pipe_comes_to_the_last_sample_and_then_the_end():
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input="begun before\n" + "".join(f"{at}\n" for at in range(12)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    *lines, end = done.stdout.split("\n")[:-1]
    assert [float(cell) for line in lines for cell in line.split()] == list(range(12))
    assert end == "end"


def test_a_pipe_that_is_not_open_says_so():
    with pytest.raises(SourceLostError, match="stdin: is not open"):
        Stdin(name="ecg", rate_hz=100.0, mv_per_count=1.0).read(0.0)
