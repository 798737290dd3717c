"""The same document in three encodings: JSON, CBOR and MessagePack.

A document is a map at its top, and the first byte of the three kinds of map differ:

    JSON         0x7b, "{" (RFC 8259 section 4), perhaps after white space 0x09 0x0a 0x0d 0x20
    CBOR         0xa0..0xbf, major type 5 (RFC 8949 section 3.1)
    MessagePack  0x80..0x8f fixmap, 0xde map 16, 0xdf map 32 (its specification, "Map format")

The ranges have no byte in common, so the first byte alone tells. In the other encodings each of
these bytes begins something that is no map: 0x7b is the integer 123 in MessagePack and a text in
CBOR, 0x80..0x8f an array in CBOR, 0xa0..0xbf a text in MessagePack.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal, TypeAlias

from .errors import MissingExtraError

Encoding: TypeAlias = Literal["json", "cbor", "msgpack"]

# All three are registered at IANA: RFC 8259 section 11, RFC 8949 section 9.5, the vendor tree.
CONTENT_TYPES: dict[Encoding, str] = {
    "json": "application/json",
    "cbor": "application/cbor",
    "msgpack": "application/vnd.msgpack",
}
_BY_TYPE: dict[str, Encoding] = {name: encoding for encoding, name in CONTENT_TYPES.items()}

_DEEPEST = 32  # levels of maps and lists; a result has five


def encode(payload: bytes, encoding: Encoding) -> bytes:
    """A JSON document, as `wire.Encoder` makes it, in another encoding.

    Numbers with a decimal point stay 64 bits wide, so that nothing is rounded. Raises
    MissingExtraError without the encoding's library.
    """
    if encoding == "json":
        return payload
    document = json.loads(payload)
    pack = _cbor2().dumps if encoding == "cbor" else _msgpack().packb
    packed: bytes = pack(document)
    return packed


def decode(payload: bytes, content_type: str = "") -> dict[str, Any]:
    """The document, of the encoding that the content type names, else that its first byte shows.

    Gives what JSON can say: maps with names, lists, texts, finite numbers, booleans, null. Raises
    ValueError for everything else, MissingExtraError without the encoding's library.
    """
    known = content_type.partition(";")[0].strip().lower()
    encoding = _BY_TYPE.get(known) or _encoding_of(payload)
    try:
        if encoding == "json":
            document = json.loads(payload.decode("utf-8"), parse_constant=_refuse)
        elif encoding == "cbor":
            document = _from_cbor(payload)
        else:
            document = _msgpack().unpackb(payload)
    except RecursionError as exc:
        raise ValueError("the document is nested too deeply") from exc
    if not isinstance(document, dict):
        raise ValueError("the document is no map")  # noqa: TRY004 - it is the sender's mistake
    _check(document, len(payload))
    return document


def _encoding_of(payload: bytes) -> Encoding:
    first = payload.lstrip(b" \t\r\n")[:1]
    if first == b"{":
        return "json"
    if b"\xa0" <= first <= b"\xbf":
        return "cbor"
    if b"\x80" <= first <= b"\x8f" or first in (b"\xde", b"\xdf"):
        return "msgpack"
    raise ValueError("the message is no map in JSON, CBOR or MessagePack")


def _from_cbor(payload: bytes) -> object:
    import io

    cbor2 = _cbor2()
    stream = io.BytesIO(payload)
    try:
        document: object = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, TypeError, ArithmeticError, LookupError) as exc:
        raise ValueError(f"not CBOR: {exc}") from exc
    if stream.read(1):
        raise ValueError("not CBOR: bytes follow the document")
    return document


def _check(document: dict[str, Any], size: int) -> None:
    """Refuse what JSON does not have, and a number so large that it was read as infinite.

    Each value took a byte at least; CBOR can share values, so that a few bytes unfold into
    millions or into a circle: one that has more values than bytes is refused.
    """
    level: list[Any] = [document]
    left = size
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if not all(type(key) is str for key in value):
                    raise ValueError("a map has a key that is no text")
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
            elif isinstance(value, float):
                if not math.isfinite(value):
                    raise ValueError("a number is not finite")
            elif not (value is None or isinstance(value, bool | int | str)):
                raise ValueError(f"a value is a {type(value).__name__}")
            if len(inner) > left:
                raise ValueError("the document has more values than bytes")
        if not inner:
            return
        left -= len(inner)
        level = inner
    raise ValueError("the document is nested too deeply")


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _cbor2() -> Any:
    try:
        import cbor2
    except ImportError as exc:
        raise MissingExtraError("CBOR", "cbor", exc) from exc
    return cbor2


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError as exc:
        raise MissingExtraError("MessagePack", "msgpack", exc) from exc
    return msgpack
