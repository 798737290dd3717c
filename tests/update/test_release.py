"""What a target says of itself, as it is signed and as it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from edge_runtime.errors import VerificationError
from edge_runtime.update.release import KEY, Release, read

DIGEST = "ab" * 32
FACTS = {"name": "ecg", "version": "1.0", "counter": 1, "task": "beats", "formats": ["onnx"]}
words = st.text(min_size=1, max_size=8)


@given(
    percent=st.integers(0, 10_000).map(lambda points: points / 100),
    devices=st.lists(words, max_size=3).map(tuple),
    not_before=st.integers(0, 2**40),
    revoked=st.text(max_size=20),
    allow_downgrade=st.booleans(),
)
def test_a_release_is_read_as_it_was_signed(**facts):
    made = Release("ecg/1.tar", DIGEST, 10, "ecg", "1", 4, "beats", ("onnx", "tflite"), **facts)

    encode_canonical(made.custom())  # what is signed: it knows no fractions
    assert read("ecg/1.tar", DIGEST, 10, made.custom()) == made


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "../etc"},
        {"name": ".hidden"},
        {"name": "a b"},
        {"version": "1/2"},
        {"version": ""},
        {"version": 1},
        {"counter": 0},
        {"counter": True},
        {"counter": "1"},
        {"formats": "onnx"},
        {"formats": [1]},
        {"basis_points": 10_001},
        {"basis_points": -1},
        {"basis_points": 10**400},
        {"basis_points": 0.5},
        {"min_memory_mb": -1},
        {"not_before": -1},
        {"min_version": "new"},
        {"min_version": "1." + "9" * 5000},
        {"allow_downgrade": 1},
        {"revoked": None},
    ],
)
def test_a_fact_that_cannot_be_is_malformed(changed):
    with pytest.raises(VerificationError) as caught:
        read("ecg/1.tar", DIGEST, 10, {KEY: {**FACTS, **changed}})

    assert caught.value.reason == "malformed"
    key = next(iter(changed))
    assert f"{key} is " in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("custom", [None, {}, [], "x", {KEY: None}, {KEY: []}, {"other": FACTS}])
def test_a_target_without_facts_is_malformed(custom):
    with pytest.raises(VerificationError, match="no table 'edge-run'"):
        read("ecg/1.tar", DIGEST, 10, custom)


@pytest.mark.parametrize("key", sorted(FACTS))
def test_a_release_says_at_least_what_it_is(key):
    facts = {name: value for name, value in FACTS.items() if name != key}

    with pytest.raises(VerificationError, match=f"says no {key}"):
        read("ecg/1.tar", DIGEST, 10, {KEY: facts})


@pytest.mark.parametrize(("digest", "length"), [("", 10), ("AB" * 32, 10), (DIGEST, 0)])
def test_a_digest_or_length_that_cannot_be_is_malformed(digest, length):
    with pytest.raises(VerificationError, match="digest is|length is"):
        read("ecg/1.tar", digest, length, {KEY: FACTS})


def test_a13_a_condition_of_a_newer_release_tool_is_never_passed_over():
    with pytest.raises(VerificationError, match="min_gpu") as caught:
        read("ecg/1.tar", DIGEST, 10, {KEY: {**FACTS, "min_gpu": 1}})

    assert caught.value.reason == "incompatible"
