"""docs/updates.md says what [update] knows, and its run files are read as they stand."""

from __future__ import annotations

import dataclasses
import re

import pytest

from edge_runtime import config
from edge_runtime.tables import parse_toml
from edge_runtime.update_config import UpdateConfig

from ..needs import ROOT

PAGE = (ROOT / "docs/updates.md").read_text()
BLOCKS = [
    block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "[update" in block
]
REST = """
[model]
path = "ecg-beats"
[[source]]
kind = "ecgsyn"
[[sink]]
kind = "console"
"""


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(UpdateConfig)])
def test_every_key_is_on_the_page(field):
    assert f"`{field}`" in PAGE or f"[update.{field}]" in PAGE


@pytest.mark.parametrize("block", BLOCKS)
def test_every_run_file_of_the_page_is_read(block):
    if "repository" not in block:
        block = f'[update]\nrepository = "https://models.example.org/"\n{block}'
    read = config.from_table(parse_toml(block + REST, "page.toml"), {})
    assert read.update is not None
    assert read.update.repository
