"""How files and devices spell leads and units."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.ecg.leads import canonical_lead

# Millivolts in one unit, by the unit's name in lower case; both signs for micro are in use.
MV_PER_UNIT = {"nv": 1e-6, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "mv": 1.0, "v": 1e3}
MAX_NAME = 64
MAX_LISTED = 300


def tidy(name: str) -> str:
    """A name from a file as people and subscribers may see it: printable, and not endless."""
    return "".join(sign if sign.isprintable() else "?" for sign in name.strip()[:MAX_NAME])


def lead_key(name: str) -> str:
    """A lead's name as names are compared: "Lead aVR" is "AVR" is "avr"."""
    return canonical_lead(name).casefold()


def find_lead(lead: str, names: Sequence[str]) -> int:
    """The index of the one name that means this lead; the same spelling goes before others.

    Raises LookupError with the reason.
    """
    if names.count(lead) == 1:
        return names.index(lead)
    known = [lead_key(name) for name in names]
    count = known.count(lead_key(lead))
    if count != 1:
        problem = f"{count} are" if count else "none is"
        listed = ", ".join(names)
        listed = listed if len(listed) <= MAX_LISTED else f"{listed[:MAX_LISTED]}..."
        raise LookupError(f"{problem} named {lead!r}; there are {listed}")
    return known.index(lead_key(lead))
