from __future__ import annotations

from tests.needs import ROOT

from .components import page


def test_the_page_of_components_is_what_the_code_says():
    assert (ROOT / "docs/components.md").read_text() == page()
