"""ECG leads: many spellings, one canonical name; and the limb leads that are sums of two others."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import combinations

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")
CANONICAL = (*LIMB, "V1", "V2", "V3", "V4", "V5", "V6", "MLII")

# Each limb lead as a sum of I and II (Einthoven 1912, Goldberger 1942).
_OF_I_AND_II = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
_PREFIX = re.compile(r"mdc_ecg_lead_|(?:ecg|ekg|lead)(?:[ _.:]*|-)")
_NAME = re.compile(r"i{1,3}|l?[123]|a[ _-]?v[ _-]?[rlf]|v[ _-]?[1-6]|ml[ _-]?ii")
_BY_KEY = {
    **{name.lower(): name for name in CANONICAL},
    **{f"{prefix}{n}": LIMB[n - 1] for n in (1, 2, 3) for prefix in ("", "l")},
}


def canonical_lead(name: str) -> str:
    """The canonical name of a lead: I, II, III, aVR, aVL, aVF, V1 to V6 or MLII.

    Case, surrounding blanks, a leading "Lead" or "ECG" and separators do not matter: "AVR",
    "Lead aVR", "ecg_v1", "MDC_ECG_LEAD_II" (IEEE 11073-10102) and "L2" are understood. A name
    that is none of these comes back as it is, without surrounding blanks: "ECG1" is a channel and
    not lead I, "-aVR" has the other sign, "I-II" is a difference.
    """
    bare = name.strip()
    key = bare.lower()
    prefix = _PREFIX.match(key)
    rest = key[prefix.end() :] if prefix else key
    if _NAME.fullmatch(rest) and not (rest.isdecimal() and key.startswith("e")):
        return _BY_KEY[re.sub("[ _-]", "", rest)]
    return bare


def derivation(lead: str, there: Collection[str]) -> dict[str, float]:
    """The limb lead as a weighted sum of two limb leads among `there`, by canonical names.

    Of several pairs it takes the one that amplifies noise least. Raises LookupError when there
    is no way: a chest lead is a measurement of its own and is never derived.
    """
    known = [name for name in LIMB if name in there]
    if lead not in _OF_I_AND_II or len(known) < 2:
        raise LookupError(f"{lead} cannot be derived")
    ways = [_weights(lead, one, other) for one, other in combinations(known, 2)]
    return min(ways, key=lambda way: sum(weight * weight for weight in way.values()))


def _weights(lead: str, one: str, other: str) -> dict[str, float]:
    """Solve lead = x * one + y * other; any two limb leads are independent."""
    (a, b), (c, d), (x, y) = _OF_I_AND_II[one], _OF_I_AND_II[other], _OF_I_AND_II[lead]
    determinant = a * d - b * c
    return {one: (x * d - y * c) / determinant, other: (a * y - b * x) / determinant}
