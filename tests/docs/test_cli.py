"""The manual of the command line and the help texts say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from edge_runtime.cli.main import VERBS, cli
from tests.needs import ROOT

MANUAL = ROOT / "docs" / "cli.md"


def commands(verb: str) -> Iterator[click.Command]:
    """A verb and its sub-commands."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    yield command
    if isinstance(command, click.Group):
        yield from command.commands.values()


def section(verb: str) -> str:
    found = re.search(rf"^## {verb}$(.*?)(?=^## |\Z)", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section on {verb}"
    return found[1]


@pytest.mark.parametrize("verb", VERBS)
def test_the_manual_has_every_option_of_every_verb(verb):
    text = section(verb)

    options = {
        name
        for command in commands(verb)
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
    }
    assert {name for name in options if not re.search(rf"`{name}\b", text)} == set()


@pytest.mark.parametrize("verb", VERBS)
def test_the_manual_has_no_option_that_is_gone(verb):
    known = {
        name for command in commands(verb) for option in command.params for name in option.opts
    }

    assert set(re.findall(r"`(--[a-z-]+)", section(verb))) <= known


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_has_an_example_on_a_line_of_its_own(verb):
    for command in commands(verb):
        text = command.get_help(click.Context(command, info_name=verb))
        assert re.search(r"^  Examples?:\n +edge-run ", text, re.MULTILINE), text
        assert "\\b" not in text
