"""Comparing beats with reference annotations, in the manner of ANSI/AAMI EC57."""

from __future__ import annotations

from collections.abc import Sequence

# Symbol of a MIT annotation -> AAMI class (EC57; de Chazal 2004, IEEE Trans Biomed Eng 51:1196)
AAMI = {
    **dict.fromkeys("NLRej", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VE", "V"),
    "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}


def flutter_spans(samples: Sequence[int], symbols: Sequence[str]) -> list[tuple[int, int]]:
    """Stretches of ventricular flutter, "[" to "]", in which beats are not annotated."""
    pairs = list(zip(samples, symbols, strict=True))
    starts = [sample for sample, symbol in pairs if symbol == "["]
    ends = [sample for sample, symbol in pairs if symbol == "]"]
    return list(zip(starts, ends, strict=False))


def match_beats(
    reference: Sequence[int], found: Sequence[int], within: int
) -> list[tuple[int, int]]:
    """Pairs (index in reference, index in found) of beats at most `within` samples apart.

    Both must rise. Each beat is used once; a found beat between two references is given to the
    nearer one.
    """
    pairs: list[tuple[int, int]] = []
    at = 0
    for index, beat in enumerate(reference):
        while at < len(found) and found[at] < beat - within:
            at += 1
        best = at
        while best + 1 < len(found) and abs(found[best + 1] - beat) < abs(found[best] - beat):
            best += 1
        if best >= len(found) or abs(found[best] - beat) > within:
            continue
        following = reference[index + 1] if index + 1 < len(reference) else None
        if following is not None and abs(found[best] - following) < abs(found[best] - beat):
            continue
        pairs.append((index, best))
        at = best + 1
    return pairs
