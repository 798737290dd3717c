"""The comparison of EC57: what pairs, what does not count, and the figures that `bxb` gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.ecg.ec57 import (
    CLASS_OF,
    MEASURES,
    BeatTable,
    Mark,
    Period,
    Ratio,
    average,
)
from edge_runtime.ecg.ec57_pairs import compare
from edge_runtime.ecg.ec57_runs import (
    RUN_MEASURES,
    SUPRAVENTRICULAR,
    VENTRICULAR,
    compare_runs,
)
from edge_runtime.holter.score import read_marks

RATE_HZ = 360.0
ALL = Period.of(RATE_HZ, 100_000, start_s=0.0)
UNREADABLE = 0x30

# What bxb and rxr of the WFDB Software Package (version of 2020) said of mitdb records against
# `altered` annotations. Matrix: rows N S V F Q O X, columns the same. Runs: couplet, short, long,
# each Se and +P as (part, whole).
BXB = {
    "203": (
        (
            "1406 48 57 48 0 544 0  0 0 0 0 0 0 0  26 7 246 10 0 84 0  0 0 0 1 0 0 0  0 1 0 0 2 1 0"
            "  383 20 143 19 0 0 0  0 0 0 0 0 0 0"
        ),
        291.260978,
        [(29, 54), (29, 65), (7, 15), (11, 30), (1, 2), (1, 1)],
        [(25, 27), (46, 47), (65, 67), (133, 135), (135, 139), (132, 135)],
    ),
    "207": (
        (
            "922 33 38 32 0 351 0  9 64 3 3 0 28 0  8 3 69 2 0 27 0  0 0 0 0 0 0 0  0 0 0 0 0 0 0"
            "  248 30 74 12 0 0 0  0 0 0 0 0 0 0"
        ),
        349.848630,
        [(0, 0), (0, 5), (0, 0), (9, 10), (1, 1), (4, 4)],
        [(1, 1), (1, 2), (0, 0), (13, 14), (1, 1), (3, 4)],
    ),
    "222": (
        (
            "1144 42 51 39 0 419 0  25 261 9 14 0 112 0  0 0 0 0 0 0 0  0 0 0 0 0 0 0  0 0 0 0 0 0"
            " 0  307 84 69 18 0 0 0  0 0 0 0 0 0 0"
        ),
        324.344570,
        [(0, 0), (0, 8), (0, 0), (0, 0), (0, 0), (0, 0)],
        [(6, 14), (21, 29), (9, 21), (60, 63), (36, 41), (73, 73)],
    ),
}


def beats(*places: int, symbol: str = "N") -> list[Mark]:
    return [Mark(place, symbol) for place in places]


def counts(reference: list[Mark], test: list[Mark], period: Period = ALL) -> dict[str, int]:
    table = compare(sorted(reference), sorted(test), period)
    return {one + other: count for (one, other), count in table.counts.items()}


def altered(marks: tuple[Mark, ...]) -> list[Mark]:
    """The marks with beats left out, moved, renamed and invented, by a fixed rule."""
    found = []
    for number, mark in enumerate(marks):
        if mark.symbol not in CLASS_OF:
            found.append(mark)
        elif number % 17 != 3:
            sample = max(1, mark.sample + (number * 37) % 120 - 40)
            symbol = "NNNSVF"[number % 6] if number % 5 == 0 else mark.symbol
            found.append(mark._replace(sample=sample, symbol=symbol))
            if number % 29 == 7:
                found.append(Mark(sample + 60, "V"))
    return sorted(found, key=lambda mark: mark.sample)


@pytest.mark.parametrize("record", BXB)
def test_counts_and_runs_are_those_of_bxb_and_rxr(data: Path, record: str):
    matrix, rr_error_ms, ventricular, supraventricular = BXB[record]
    reference = read_marks(data / "ecg" / "mitdb" / record, "atr")
    test = altered(reference)
    period = Period.of(RATE_HZ, 650_000)

    table = compare(reference, test, period)
    runs = [compare_runs(reference, test, period, kind) for kind in (VENTRICULAR, SUPRAVENTRICULAR)]

    assert [table.counts[one, other] for one in "NSVFQOX" for other in "NSVFQOX"] == [
        int(number) for number in matrix.split()
    ]
    assert table.rr_error_ms == pytest.approx(rr_error_ms, abs=1e-6)
    for found, expected in zip(runs, (ventricular, supraventricular), strict=True):
        assert [tuple(measure(found)) for measure in RUN_MEASURES.values()] == expected


def test_beats_match_within_150_ms_and_not_one_sample_more():
    assert counts(beats(1000, 2000), beats(1054, 1945)) == {"NN": 1, "NO": 1, "ON": 1}


def test_a_beat_between_two_belongs_to_the_nearer_one():
    assert counts(beats(1000, 1040), beats(1030)) == {"NN": 1, "NO": 1}
    assert counts(beats(1030), beats(1000, 1040)) == {"NN": 1, "ON": 1}


def test_a_rival_that_has_a_better_partner_gives_way():
    # the case of James Pardey in the source of bxb, for a window of 38 samples
    period = Period.of(250.0, 1000, start_s=0.0)

    assert counts(beats(96, 160), beats(128, 185), period) == {"NN": 2}
    assert counts(beats(128, 185), beats(96, 160), period) == {"NN": 2}


def test_the_first_five_minutes_are_not_scored():
    start = 300 * 360
    period = Period.of(RATE_HZ, 300 * 720)
    reference = beats(1000, 50_000, start + 1000)

    assert counts(reference, beats(2000, start + 1000), period) == {"NN": 1}


def test_a_pair_across_the_start_counts_once():
    start = 300 * 360
    period = Period.of(RATE_HZ, 300 * 720)

    assert counts(beats(start + 10), beats(start - 10), period) == {"NN": 1}


def test_a_beat_whose_partner_lies_before_the_start_is_not_false():
    start = 300 * 360
    period = Period.of(RATE_HZ, 300 * 720)
    reference, test = beats(start - 10, start + 900), beats(start + 10, start + 900)

    assert counts(reference, test, period) == {"NN": 1}


def test_beats_found_in_flutter_are_no_false_ones():
    flutter = [Mark(2000, "["), Mark(3000, "]")]

    assert counts([*beats(1000, 4000), *flutter], beats(1000, 2500, 4000)) == {"NN": 2}
    assert counts(beats(1000, 4000), beats(1000, 2500, 4000)) == {"NN": 2, "ON": 1}


def test_a_shutdown_of_either_side_is_told_from_a_mistake():
    shut = [Mark(2000, "~", UNREADABLE), Mark(3000, "~", 0)]

    assert counts(beats(1000, 2500), [*beats(1000), *shut]) == {"NN": 1, "NX": 1}
    assert counts([*beats(1000), *shut], beats(1000, 2500)) == {"NN": 1, "XN": 1}
    assert compare([], shut, ALL).shutdown_s == pytest.approx(1000 / 360)


def test_a_lone_mark_of_shutdown_covers_all_between_its_beats():
    shut = [*beats(1000, 4000), Mark(2500, "~", -1)]

    assert counts(shut, beats(1000, 1500, 3500, 4000)) == {"NN": 2, "XN": 2}


def test_a_shutdown_without_an_end_lasts_to_the_end_of_the_record():
    open_ended = [*beats(1000), Mark(2000, "~", UNREADABLE)]

    assert counts(beats(1000, 90_000), open_ended) == {"NN": 1, "NX": 1}
    assert compare([], open_ended, ALL).shutdown_s == pytest.approx(98_000 / 360)


def test_intervals_across_flutter_are_not_compared():
    flutter = [Mark(2000, "["), Mark(3000, "]")]
    reference = [*beats(1000, 1360), *flutter, *beats(4000)]

    table = compare(reference, beats(1000, 1378, 4000), ALL)

    assert table.rr_errors == 1
    assert table.rr_error_ms == pytest.approx(50.0)


def test_escape_beats_are_supraventricular_as_in_bxb():
    reference = [Mark(1000, "e"), Mark(2000, "j"), Mark(3000, "n"), Mark(4000, "r")]

    assert counts(reference, beats(1000, 2000, 3000, 4000)) == {"SN": 3, "VN": 1}


def test_fusion_beats_called_v_are_neither_right_nor_wrong():
    table = compare([Mark(1000, "F"), Mark(2000, "V")], beats(1000, 2000, symbol="V"), ALL)

    assert table.veb_predictivity() == Ratio(1, 1)
    assert table.veb_false_positive_rate() == Ratio(0, 0)


def test_what_was_not_there_has_no_percentage_and_no_part_in_the_average():
    table = compare(beats(1000), beats(1000), ALL)

    assert MEASURES["VEB Se"](table).percent is None
    assert average([Ratio(1, 2), Ratio(0, 0), Ratio(1, 1)]) == pytest.approx(75.0)
    assert average([Ratio(0, 0)]) is None


places = st.lists(st.integers(1, 99_000), max_size=60, unique=True).map(sorted)


@given(places, st.text("NSVFQ", min_size=60, max_size=60))
def test_every_beat_agrees_with_itself(at, symbols):
    marks = [Mark(place, symbol) for place, symbol in zip(at, symbols, strict=False)]

    table = compare(marks, marks, ALL)

    assert sum(table.counts.values()) == len(marks)
    assert all(one == other for one, other in table.counts)


@given(places, places)
def test_every_beat_counts_once_and_sides_can_be_exchanged(one, other):
    table, turned = (
        compare(beats(*one), beats(*other), ALL),
        compare(beats(*other), beats(*one), ALL),
    )

    assert table.total("N", "NO") == len(one)
    assert table.total("NO", "N") == len(other)
    assert table.counts == {(b, a): count for (a, b), count in turned.counts.items()}


def test_tables_add_up():
    table = compare(beats(1000, 1360), beats(1000, 1378), ALL)

    both = table + table

    assert both.counts["N", "N"] == 4
    assert both.rr_error_ms == table.rr_error_ms
    assert both + BeatTable() == both


def run(symbols: str, first: int = 1000, step: int = 200) -> list[Mark]:
    return [Mark(first + step * number, symbol) for number, symbol in enumerate(symbols)]


def test_a_couplet_that_is_half_missed_is_not_found():
    table = compare_runs(run("NVVNNVVN"), run("NVVNNVNN"), ALL, VENTRICULAR)

    assert RUN_MEASURES["couplet Se"](table) == Ratio(1, 2)
    assert RUN_MEASURES["couplet +P"](table) == Ratio(1, 1)


def test_flutter_is_a_long_run_however_many_beats_are_found_in_it():
    flutter = [Mark(2000, "["), Mark(6000, "]"), Mark(7000, "N")]

    table = compare_runs(flutter, run("VVVVVVVN", 3000), ALL, VENTRICULAR)

    assert RUN_MEASURES["long run Se"](table) == Ratio(1, 1)


def test_normal_beats_in_atrial_fibrillation_are_a_long_supraventricular_run():
    fibrillation = [
        Mark(900, "+", aux="(AFIB"),
        *run("NNN"),
        Mark(1700, "+", aux="(N"),
        *run("N", 1800),
    ]

    table = compare_runs(fibrillation, run("NNNNN"), ALL, SUPRAVENTRICULAR)

    assert table.sensitivity == {(6, 0): 1}
    assert RUN_MEASURES["long run Se"](table) == Ratio(0, 1)


def test_a_run_at_the_end_of_the_annotations_counts():
    assert compare_runs(run("NVVV"), run("NVVV"), ALL, VENTRICULAR).sensitivity == {(3, 3): 1}


def test_sides_without_marks_have_no_runs():
    found = compare_runs([], run("NVVN"), ALL, VENTRICULAR)

    assert (found.sensitivity, found.predictivity) == ({}, {(0, 2): 1})
