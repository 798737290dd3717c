"""P12 and P13: the disk fails under an outbox that is in use; nothing is lost, and it is told."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from ..needs import ROOT, program
from ..outboxes import Box, numbers
from .recorder import build, environment

SUFFER = """\
import os, sys
from pathlib import Path
from edge_runtime.outbox import keeper
from tests.brokers import wait_until
from tests.crash.recorder import Fault, recorder
from tests.outboxes import Box

path, moment, kind, nth, error, stays = sys.argv[1:]
path = Path(path)
keeper.REOPEN_S = 0.1
recorder().start(path.parent)


def begin():
    recorder().fault(Fault[kind], int(nth), int(error), stays=stays == "True")


if moment == "open":
    begin()
box = Box(path)
if moment == "use":
    box.fill(10, size=500)
    box.wait_until_saved()
    for row in box.take(5):
        box.ack(row.id)
    begin()
next_ = 10 if moment == "use" else 0


def some_more():
    global next_
    assert all(box.fill(5, start=next_, size=500))
    next_ += 5
    return ("outbox-in-memory", False) in box.alarms


wait_until(some_more)
if stays == "True":
    assert box.alarms[-1] == ("outbox-in-memory", False)
    assert recorder().heal()
wait_until(lambda: box.alarms[-1] == ("outbox-in-memory", True))
box.wait_until_saved()
assert box.alarms == [("outbox-in-memory", False), ("outbox-in-memory", True)]
print(box.texts[0], next_, sep="\\n", flush=True)
os._exit(0)
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program("gcc", "gcc")
    return build(tmp_path_factory.mktemp("recorder"))


@pytest.mark.parametrize("stays", [False, True], ids=["once", "for a while"])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(("use", "SYNC", 1, errno.EIO), id="p12 the first fsync"),
        pytest.param(("use", "SYNC", 3, errno.EIO), id="p12 a later fsync"),
        pytest.param(("use", "WRITE", 1, errno.ENOSPC), id="p13 full"),
        pytest.param(("use", "WRITE", 4, errno.EIO), id="p13 a write in a transaction"),
        pytest.param(("use", "WRITE", 3, errno.EROFS), id="p13 read-only all at once"),
        pytest.param(("open", "OPEN", 1, errno.EROFS), id="p13 read-only at the start"),
        pytest.param(("open", "WRITE", 2, errno.ENOSPC), id="p13 full at the start"),
        pytest.param(("open", "SYNC", 1, errno.EIO), id="p12 fsync at the start"),
    ],
)
def test_a_failing_disk_costs_nothing_and_is_told(
    shim: Path, tmp_path: Path, fault: tuple[str, str, int, int], stays: bool
):
    path = tmp_path.resolve() / "state" / "outbox.db"
    path.parent.mkdir(mode=0o700)
    words = map(str, (path, *fault, stays))
    done = subprocess.run(
        [sys.executable, "-c", SUFFER, *words],
        cwd=ROOT,
        env=environment(shim),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    told, end = done.stdout.splitlines()
    assert str(path) in told
    assert "kept in memory" in told
    box = Box(path)  # the process before it ended without a word
    found = numbers(box.empty_out())
    box.close()
    least = range(5 if fault[0] == "use" else 0, int(end))
    assert set(least) <= set(found) <= set(range(int(end)))
    assert found == sorted(set(found))
