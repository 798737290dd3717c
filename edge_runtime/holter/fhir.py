"""Write leads as a FHIR Observation with one SampledData for each lead.

By HL7 FHIR R5 and R4 (Observation, SampledData: value = data x factor + origin). Leads are coded
by ISO/IEEE 11073-10101, partition 2: MDC_ECG_ELEC_POTL and its leads, whose numbers are those of
SCP-ECG (EN 1064). A lead that has no such code, MLII for one, is given by name under the general
code.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge_runtime.ecg.leads import canonical_lead

if TYPE_CHECKING:
    from .part import Lead, Part

Release = Literal["R5", "R4"]

_MDC = "urn:iso:std:iso:11073:10101"
_UCUM = "http://unitsofmeasure.org"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_POTENTIAL = 131328  # MDC_ECG_ELEC_POTL
_LEADS = {
    **{name: _POTENTIAL + number for number, name in enumerate(("I", "II"), 1)},
    **{f"V{number}": _POTENTIAL + 2 + number for number in range(1, 7)},
    **{name: _POTENTIAL + number for number, name in enumerate(("III", "aVR", "aVL", "aVF"), 61)},
}


def observation(part: Part, release: Release) -> dict[str, Any]:
    """The resource, ready for JSON; a sample that is missing is "E", FHIR's word for an error."""
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": _CATEGORY, "code": "procedure"}]}],
        "code": {"coding": [_coding(_POTENTIAL, "MDC_ECG_ELEC_POTL")], "text": "ECG"},
    }
    if part.start:
        end = part.start + timedelta(seconds=len(part.valid) / part.rate_hz)
        found["effectivePeriod"] = {"start": part.start.isoformat(), "end": end.isoformat()}
    found["component"] = [_component(lead, part, release) for lead in part.leads]
    return found


def _component(lead: Lead, part: Part, release: Release) -> dict[str, Any]:
    name = canonical_lead(lead.name)
    code = _LEADS.get(name, _POTENTIAL)
    display = f"MDC_ECG_ELEC_POTL_{name.upper()}" if name in _LEADS else "MDC_ECG_ELEC_POTL"
    interval_ms = 1e3 / part.rate_hz
    timing: dict[str, Any] = (
        {"interval": interval_ms, "intervalUnit": "ms"}
        if release == "R5"
        else {"period": interval_ms}
    )
    texts = np.where(part.valid, lead.counts.astype("U6"), "E")
    return {
        "code": {"coding": [_coding(code, display)], "text": name},
        "valueSampledData": {
            "origin": {"value": 0, "unit": "mV", "system": _UCUM, "code": "mV"},
            **timing,
            "factor": 1 / lead.per_mv,
            "dimensions": 1,
            "data": " ".join(texts.tolist()),
        },
    }


def _coding(code: int, display: str) -> dict[str, str]:
    return {"system": _MDC, "code": str(code), "display": display}
