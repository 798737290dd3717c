"""Lead names: every spelling met in the field becomes one."""

from __future__ import annotations

import pytest

from edge_runtime.ecg.leads import CANONICAL, canonical_lead


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("i", "I"),
        ("II", "II"),
        ("Lead III", "III"),
        ("LEAD_I", "I"),
        ("L2", "II"),
        ("1", "I"),
        ("AVR", "aVR"),
        ("avl", "aVL"),
        ("Lead aVF", "aVF"),
        ("aVR ", "aVR"),
        ("a-VR", "aVR"),
        ("v1", "V1"),
        ("Lead V6", "V6"),
        ("ECG V3", "V3"),
        ("MDC_ECG_LEAD_V4", "V4"),
        ("MDC_ECG_LEAD_aVF", "aVF"),
        ("mlII", "MLII"),
        ("Lead MLII", "MLII"),
    ],
)
def test_a_spelling_becomes_its_canonical_name(spelling: str, name: str) -> None:
    assert canonical_lead(spelling) == name


@pytest.mark.parametrize("name", ["RESP", "V", "V7", "ECG", "Lead", "", "D3", "CM5", "4"])
def test_another_name_stays_as_it_is(name: str) -> None:
    assert canonical_lead(name) == name


@pytest.mark.parametrize("name", CANONICAL)
def test_a_canonical_name_is_its_own(name: str) -> None:
    assert canonical_lead(name) == name
    assert canonical_lead(name.upper()) == canonical_lead(name.lower()) == name
