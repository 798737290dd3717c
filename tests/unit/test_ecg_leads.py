"""Lead names: every spelling met in the field becomes one. Limb leads are sums of two others."""

from __future__ import annotations

from itertools import combinations

import pytest

from edge_runtime.ecg.leads import CANONICAL, LIMB, canonical_lead, derivation


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
        ("EKG II", "II"),
        ("ECG_V1", "V1"),
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


@pytest.mark.parametrize("name", ["ECG1", "ECG 2", "-aVR", "Lead -aVR", "I-II", "V1-V2", "I I"])
def test_what_only_looks_like_a_lead_is_not_taken_for_one(name: str) -> None:
    assert canonical_lead(name) == name


def test_any_two_limb_leads_give_all_six() -> None:
    left, right, foot = 0.3, -0.4, 0.7  # potentials of the electrodes
    mean = (left + right + foot) / 3
    truth = {
        "I": left - right,
        "II": foot - right,
        "III": foot - left,
        "aVR": 1.5 * (right - mean),
        "aVL": 1.5 * (left - mean),
        "aVF": 1.5 * (foot - mean),
    }
    for pair in combinations(LIMB, 2):
        for lead in LIMB:
            way = derivation(lead, pair)
            assert set(way) == set(pair)
            total = sum(weight * truth[name] for name, weight in way.items())
            assert total == pytest.approx(truth[lead], abs=1e-12), (lead, pair)


def test_a_lead_is_derived_from_the_pair_that_amplifies_noise_least() -> None:
    assert derivation("aVR", ("I", "II", "III")) == {"I": -0.5, "II": -0.5}
    assert derivation("III", LIMB[:2]) == {"I": -1.0, "II": 1.0}


@pytest.mark.parametrize(("lead", "there"), [("V1", LIMB), ("MLII", LIMB), ("II", ("I", "V1"))])
def test_a_lead_that_is_no_sum_is_never_derived(lead: str, there: tuple[str, ...]) -> None:
    with pytest.raises(LookupError):
        derivation(lead, there)
