"""Whatever bytes come, a command is read or refused: nothing is raised, nothing unsigned runs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.commands.letter import Letter, MalformedError, check, read
from edge_runtime.commands.request import encode

from .commands_kit import IDENTITY, KEY, Bench, command, signed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["id", "counter", "expires", "args", "signature"]) | st.text(max_size=5)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6).map(lambda found: json.dumps(found).encode())


@pytest.fixture(scope="module")
def bench():
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), per_minute=600)
        bench.commands._bucket.take = lambda now_s: True
        yield bench


@settings(max_examples=200, deadline=None)
@given(payload=st.binary() | DOCUMENTS)
def test_any_bytes_are_answered_with_a_refusal_that_is_json(bench, payload):
    (post,) = bench.send(payload)

    assert json.loads(post.payload)["reason"] in {"malformed", "unsigned", "expired"}
    assert bench.ran == []


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_signed_command_in_which_a_byte_was_changed_is_refused(bench, data):
    payload = bytearray(command(args={"n": "abc"}))
    before = read(bytes(payload))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))

    (post,) = bench.send(bytes(payload))

    if json.loads(post.payload)["accepted"]:  # a digit of the signature in the other case
        after = read(bytes(payload))
        assert after.canonical(IDENTITY, "mark") == before.canonical(IDENTITY, "mark")
        assert after.signature.lower() == before.signature


ARGUMENTS = st.dictionaries(
    st.text('abcdefghij_-. "\\', min_size=1, max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(args=ARGUMENTS, counter=st.integers(1, 2**63 - 1))
def test_what_is_signed_is_the_same_at_both_ends(args, counter):
    sent = Letter("a", counter, "2026-11-21T09:30:00Z", args)
    try:
        check(sent)
    except MalformedError:
        return
    heard = read(signed(sent))

    assert heard.sign(IDENTITY, "mark", KEY) == heard.signature
    assert heard.canonical(IDENTITY, "mark") == sent.canonical(IDENTITY, "mark")
    assert read(encode(sent, "")).args == args
