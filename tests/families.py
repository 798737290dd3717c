"""The environments in which conversions run, for the tests that need one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from edge_runtime.converters.environment import find


def python_of(family: str) -> Path:
    """The Python of a converter family. Skips without it; fails where all are asked for."""
    found = find(family)
    if found is None:
        absent = f"no environment for {family}: edge-convert setup {family}"
        if os.environ.get("EDGE_CONVERT_ALL"):
            pytest.fail(absent)
        pytest.skip(absent)
    return found
