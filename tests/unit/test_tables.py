from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.tables import Table, parse_toml


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.0


class Thing:
    def __init__(
        self,
        *,
        count: int,
        ratio: float = 1.0,
        mode: Literal["fast", "slow"] = "fast",
        names: tuple[str, ...] = (),
        note: str | None = None,
        points: tuple[Point, ...] = (),
        password: str = "",
    ):
        if count < 0:
            raise BadOptionError("count", f"{count} is below 0")
        self.values = (count, ratio, mode, names, note, points, password)


def make(text: str) -> Thing:
    return parse_toml(text, "run.toml").make(Thing)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        make(text)
    return str(caught.value)


def test_values_become_the_annotated_types():
    thing = make('count = 3\nratio = 2\nmode = "slow"\nnames = ["a", "b"]\n[[points]]\nx = 1\n')
    assert thing.values == (3, 2.0, "slow", ("a", "b"), None, (Point(1),), "")
    assert isinstance(thing.values[1], float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count = 3\nratoi = 2", "run.toml:2: ratoi: unknown key; did you mean 'ratio'?"),
        ("ratio = 2", "run.toml: count: is missing"),
        ('count = "3"', "run.toml:1: count: must be a whole number, is '3'"),
        ("count = true", "run.toml:1: count: must be a whole number, is true"),
        ("\ncount = -1", "run.toml:2: count: -1 is below 0"),
        ('count = 1\nmode = "fats"', "'fats' is not one of fast, slow; did you mean 'fast'?"),
        ('count = 1\nnames = "a"', "run.toml:2: names: must be a list, is 'a'"),
        ("count = 1\nnames = [1]", "run.toml:2: names: must be a text in quotes, is 1"),
        ("count = 1\n[[points]]\nx = 1\nz = 2", "run.toml:4: [points] z: unknown key"),
        ("count = 1\npassword = 12345", "run.toml:2: password: must be a text in quotes, is ***"),
        ("count = = 1", "run.toml:1: not valid TOML"),
    ],
)
def test_a_wrong_value_is_told_with_file_line_key_and_remedy(text: str, message: str):
    assert message in refusal(text)


def test_a_key_may_not_set_what_the_builder_gives():
    with pytest.raises(ConfigError, match="unknown key"):
        parse_toml('count = 1\nnote = "x"', "run.toml").make(Thing, note="given")


def test_line_numbers_follow_arrays_of_tables():
    table = parse_toml("[[a]]\nx = 1\n\n[[a]]\nx = 2\n[a.b]\ny = 1\n", "f")
    assert str(table.children("a")[1].error("x", "m")) == "f:5: [a] x: m"
    assert str(table.children("a")[1].child("b").error("y", "m")).startswith("f:7: ")


@given(st.text(max_size=200))
def test_no_text_ends_in_anything_but_a_table_or_a_config_error(text: str):
    try:
        assert isinstance(parse_toml(text, "f"), Table)
    except ConfigError as exc:
        assert str(exc).startswith("f")
