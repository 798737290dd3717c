"""The text of a manifest says what the values are."""

from __future__ import annotations

from edge_runtime.converters.toml_text import dumps
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.tables import parse_toml

KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
PLAIN = (
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)
    | st.integers(-(2**62), 2**62)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = PLAIN | st.lists(PLAIN, max_size=20)
TABLE = st.dictionaries(KEYS, VALUES, max_size=4)


@given(st.dictionaries(KEYS, VALUES | TABLE | st.lists(TABLE, min_size=1, max_size=3), max_size=6))
def test_what_is_written_is_read_again(values):
    assert parse_toml(dumps(values), "a.toml").values == values


def test_a_manifest_reads_as_by_hand():
    text = dumps({"input": [{"name": "0", "shape": [1, 32]}], "name": "net", "golden": {"a": 0.1}})
    assert text == 'name = "net"\n\n[[input]]\nname = "0"\nshape = [1, 32]\n\n[golden]\na = 0.1\n'
