"""P02: SIGKILL before each operation on the metadata; what was seen is never unseen."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import VerificationError

from .boards import Board, versions
from .repository import Repository

OPERATIONS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def changes(event: str, arguments: tuple[object, ...], folder: Path) -> bool:
    """Whether an audit event is an operation that changes something in the folder."""
    if event == "open" and not int(str(arguments[2])) & WRITING:
        return False
    return event in {"open", *OPERATIONS} and str(folder) in str(arguments[:2])


def killed_before(count: int, board: Board, mirror: Path) -> bool:
    """Refresh in a child that dies before its operation `count`; False when it needed fewer."""
    child = os.fork()
    if child == 0:
        left = [count]

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            if changes(event, arguments, board.folder):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        board.refresh(mirror)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize("first", [True, False], ids=["first-refresh", "later-refresh"])
def test_p02_a_kill_at_any_operation_leaves_the_old_set_or_the_new_one(tmp_path, first):
    repository = Repository()
    old = repository.write(tmp_path / "old")
    board = Board(tmp_path / "board", repository)
    board.folder.parent.mkdir()
    if not first:
        board.refresh(old)
    repository.rotate("targets")
    repository.publish()
    new = repository.write(tmp_path / "new")
    before = tmp_path / "before"
    if not first:
        shutil.copytree(board.folder, before, symlinks=True)

    count, outcomes = int(first), set()  # every other operation: what is between is a sync away
    while killed_before(count, board, new):
        left = {path.name for path in board.folder.glob("*")}
        try:
            seen = versions(board.refresh(old))["targets"]
        except VerificationError as refusal:
            seen = refusal.reason
        outcomes.add(seen)
        assert seen in (1, "rollback"), (count, left)
        assert set(versions(board.refresh(new)).values()) == {2}
        assert len([path for path in board.folder.iterdir() if path.is_dir()]) == 2  # and the link
        shutil.rmtree(board.folder)
        if not first:
            shutil.copytree(before, board.folder, symlinks=True)
        count += 2

    assert count > 20
    assert outcomes == {1, "rollback"}
    assert board.refused(old) == "rollback"
