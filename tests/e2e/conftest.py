"""Model directories for the tests of the command line."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from .commands import vww_directory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def vww(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory that is not to be changed."""
    return vww_directory(data, tmp_path_factory.mktemp("models") / "vww96")


@pytest.fixture
def own_vww(vww: Path, tmp_path: Path) -> Path:
    """A model directory to spoil."""
    return shutil.copytree(vww, tmp_path / "vww96")
