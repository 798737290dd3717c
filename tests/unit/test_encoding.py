"""The three encodings say the same, are told apart by a byte, and garbage is an error of value."""

from __future__ import annotations

import builtins
import contextlib
import json
import random
import struct

import cbor2
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.encoding import CONTENT_TYPES, decode, encode
from edge_runtime.errors import MissingExtraError
from edge_runtime.wire import Encoder
from tests.messages import IDENTITY, INFO, OUTCOMES, TIME_NS, result

ENCODINGS = ("json", "cbor", "msgpack")
PAYLOADS = {
    **{kind: Encoder(IDENTITY).result(result(0, outcome)) for kind, outcome in OUTCOMES.items()},
    "info": Encoder(IDENTITY).info(INFO, TIME_NS, "5"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", PAYLOADS)
def test_every_document_comes_back_as_it_was(kind, encoding):
    document = json.loads(PAYLOADS[kind])

    packed = encode(PAYLOADS[kind], encoding)

    assert decode(packed) == document
    assert decode(packed, CONTENT_TYPES[encoding]) == document


@pytest.mark.parametrize("encoding", ["cbor", "msgpack"])
def test_the_other_encodings_are_smaller_than_json(encoding):
    for payload in PAYLOADS.values():
        assert len(encode(payload, encoding)) < 0.9 * len(payload)


def test_json_is_handed_on_as_it_is():
    payload = PAYLOADS["labels"]

    assert encode(payload, "json") is payload


@pytest.mark.parametrize("encoding", ["cbor", "msgpack"])
@pytest.mark.parametrize("keys", [0, 1, 15, 16, 23, 24, 300, 70_000])
def test_a_map_of_any_size_is_known_by_its_first_byte(encoding, keys):
    document = {f"k{number}": number for number in range(keys)}

    assert decode(encode(json.dumps(document).encode(), encoding)) == document


TAILS = (b"", b"\xff", bytes(2), bytes(4), bytes(16), b"aa\x01\xff", b"\xa1a\x01", b'"a":1}')


def test_no_first_byte_is_claimed_by_two_encodings():
    """Each byte is given to the libraries themselves: who of them sees a map?"""
    claims = {}
    for first in range(256):
        for tail in TAILS:
            payload = bytes([first]) + tail
            for encoding, load in (
                ("json", json.loads),
                ("cbor", cbor2.loads),
                ("msgpack", msgpack.unpackb),
            ):
                try:
                    found = load(payload)
                except (ValueError, cbor2.CBORDecodeError):
                    continue
                if isinstance(found, dict):
                    claims.setdefault(first, set()).add(encoding)

    assert all(len(encodings) == 1 for encodings in claims.values())
    assert {0x7B, 0xA0, 0xBF, 0x80, 0xDE, 0xDF} <= set(claims)


def test_a_content_type_may_have_parameters_and_capitals():
    assert decode(b"\xa0", "Application/CBOR; charset=binary") == {}


def test_a_content_type_that_is_not_known_leaves_it_to_the_first_byte():
    assert decode(b"\x80", "application/octet-stream") == {}


@pytest.mark.parametrize(
    ("payload", "content_type"),
    [
        (b"{}", "application/cbor"),
        (b"\xa0", "application/json"),
        (b"\xa0", CONTENT_TYPES["msgpack"]),
    ],
)
def test_a_document_of_another_type_than_it_says_is_refused(payload, content_type):
    with pytest.raises(ValueError):
        decode(payload, content_type)


SHARED = b"\xd8\x1c"  # CBOR tag 28: this value may be referred to; tag 29 refers


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
        b"\xa0\xa0",
        b"\xbf",
        b"\xa1\x01\x02",
        b"\xa1\x61a\xf9\x7e\x00",
        b"\xa1\x61a\xf7",
        b"\xa1\x61a\x41b",
        b"\xa1\x61a\xc2\x41",
        b"\xa1\x61a\xc1\x00",
        b"\xa1\x61a" + b"\x81" * 50_000,
        b"\xa1\x61a" + b"\x81" * 60 + b"\x01",
        b"\xbb" + b"\xff" * 8,
        b"\xa1\x61a\x5b\x7f" + b"\xff" * 7,
        b"\xa1\x61a" + SHARED + b"\x81\xd8\x1d\x00",
        b"\xa1\x61a" + SHARED + b"\x83\x01\xd8\x1d\x00\xd8\x1d\x00",
        b"\x81",
        b"\x80\x80",
        b"\x81\x01\x02",
        b"\x81\xa1a\xc4\x01b",
        b"\x81\xa1a\xd4\x01\x02",
        b"\x81\xa1a\xd6\xff\x00\x00\x00\x00",
        b"\x81\xa1a\xcb\x7f\xf8" + bytes(6),
        b"\x81\xa1a" + b"\x91" * 50_000,
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
    ],
)
def test_garbage_is_an_error_of_value_and_nothing_else(payload):
    with pytest.raises(ValueError):
        decode(payload)


def test_a_few_bytes_that_unfold_into_millions_are_refused():
    value = [0]
    for _ in range(18):
        value = [value, value]
    nested = b"\xa1\x61a" + cbor2.dumps(value, value_sharing=True)

    assert len(nested) < 1000
    with pytest.raises(ValueError, match="more values than bytes"):
        decode(nested)


@given(st.sampled_from([b"", b"{", b"\xa1", b"\xbf", b"\x81", b"\xde", b"\xdf"]), st.binary())
def test_any_bytes_are_a_document_or_an_error_of_value(first, rest):
    with contextlib.suppress(ValueError):
        assert isinstance(decode(first + rest), dict)


def test_documents_with_damaged_bytes_are_read_or_refused():
    chance = random.Random(5)
    whole = [encode(payload, encoding) for payload in PAYLOADS.values() for encoding in ENCODINGS]
    refused = 0
    for _ in range(4000):
        damaged = bytearray(chance.choice(whole))
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode(bytes(damaged))
        except ValueError:
            refused += 1
    assert 1000 < refused < 4000


@pytest.mark.parametrize("number", [0.1, 1e300, -2.5, 5e-324, 2**53 + 1, -(2**63), 2**64 - 1])
@pytest.mark.parametrize("encoding", ["cbor", "msgpack"])
def test_numbers_are_not_rounded(number, encoding):
    back = decode(encode(json.dumps({"n": number}).encode(), encoding))["n"]

    assert type(back) is type(number)
    assert struct.pack("<d", back) == struct.pack("<d", number)
    assert back == number


@pytest.mark.parametrize(
    ("encoding", "library", "start"), [("cbor", "cbor2", b"\xa0"), ("msgpack", "msgpack", b"\x80")]
)
def test_a_library_that_lacks_is_named_with_its_extra(monkeypatch, encoding, library, start):
    whole = builtins.__import__

    def lacking(name, *rest, **more):
        if name == library:
            raise ModuleNotFoundError(f"No module named {library!r}")
        return whole(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", lacking)

    for act in (lambda: decode(start), lambda: encode(b"{}", encoding)):
        with pytest.raises(MissingExtraError, match=rf"edge-runtime\[{encoding}\]"):
            act()
