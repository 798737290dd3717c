"""Width and height of an image file, read from its header before anything is decoded.

A small file can state a huge picture; a decoder that believes it takes the memory of the board.
Formats: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), BMP, WebP (RFC 9649).
"""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels.

    Raises ValueError when the bytes are no PNG, JPEG, BMP or WebP, or not whole.
    """
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith(b"BM"):
            return _bmp(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError) as exc:
        raise ValueError("breaks off inside its header") from exc
    raise ValueError("is no PNG, JPEG, BMP or WebP")


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    if b"IEND" not in data:
        raise ValueError("breaks off: its last chunk is missing")
    return width, height


def _jpeg(data: bytes) -> tuple[int, int]:
    """Older decoders paint the rest of a JPEG that breaks off grey, so its end is looked for."""
    place, size = 2, None
    while True:
        if data[place] != 0xFF:
            raise ValueError("is no whole JPEG")
        marker = data[place + 1]
        if marker == 0xFF or marker in _ALONE:  # 0xFF: a fill byte
            place += 1 if marker == 0xFF else 2
            continue
        if marker == _START_OF_SCAN:
            break
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, place + 5)
            size = (width, height)
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    if size is None or data.find(b"\xff\xd9", place) < 0:
        raise ValueError("breaks off: its end is missing")
    return size


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return abs(width), abs(height)


def _webp(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise ValueError("is no whole WebP")
    return width, height
