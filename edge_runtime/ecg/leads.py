"""Names of ECG leads: many spellings, one canonical name."""

from __future__ import annotations

CANONICAL = (
    *("I", "II", "III", "aVR", "aVL", "aVF"),
    *("V1", "V2", "V3", "V4", "V5", "V6"),
    "MLII",
)
_BY_KEY = {name.lower(): name for name in CANONICAL}
_NUMERALS = {"1": "I", "2": "II", "3": "III"}


def canonical_lead(name: str) -> str:
    """The canonical name of a lead: I, II, III, aVR, aVL, aVF, V1 to V6 or MLII.

    Case, surrounding blanks, a leading "Lead" or "ECG" and separators do not matter: "AVR",
    "Lead aVR", "ecg_v1", "MDC_ECG_LEAD_II" (IEEE 11073-10102) and "L2" are understood. A name
    that is none of these comes back as it is, without surrounding blanks.
    """
    key = name.strip().lower()
    for prefix in ("mdc_ecg_lead_", "ecg", "lead"):
        rest = key.removeprefix(prefix).strip(" _-.:")
        key = rest or key
    key = "".join(sign for sign in key if sign not in " _-")
    if key.startswith("l") and key[1:] in _NUMERALS:
        key = key[1:]
    return _NUMERALS.get(key) or _BY_KEY.get(key) or name.strip()
