"""A repository with one release, a server that gives it, and a board that looks at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .remote.boards import BUNDLE, Board
from .remote.repository import Repository
from .remote.servers import Server


@pytest.fixture
def repository() -> Repository:
    made = Repository()
    made.release(BUNDLE)
    made.publish()
    return made


@pytest.fixture
def server(repository):
    with Server(repository.files) as serving:
        yield serving


@pytest.fixture
def board(tmp_path: Path, repository) -> Board:
    return Board(tmp_path, repository)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "x.part"
