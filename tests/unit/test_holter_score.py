"""Which records are scored, on what lead, what leaks, and how figures are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.ecg.ec57 import Mark, Period
from edge_runtime.ecg.ec57_pairs import compare
from edge_runtime.ecg.ec57_runs import RunTable
from edge_runtime.errors import ConfigError
from edge_runtime.holter import leak, records, score_tables
from edge_runtime.holter.detect import by_detector, detect, symbol_of
from edge_runtime.holter.score import Failure, Plan, RecordScore, gross, read_marks, score
from edge_runtime.sources.records.wfdb_format import read_header
from edge_runtime.sources.records.wfdb_record import open_record


@pytest.fixture
def mitdb(data: Path) -> Path:
    return data / "ecg" / "mitdb"


@pytest.fixture
def short(mitdb: Path, tmp_path: Path) -> Path:
    """The first minute of record 100 as a record of its own."""
    counts = (mitdb / "100.dat").read_bytes()[: 21_600 * 3]
    (tmp_path / "100.dat").write_bytes(counts)
    (tmp_path / "100.hea").write_text(
        "100 2 360 21600\n100.dat 212 200 11 1024 0 0 0 MLII\n100.dat 212 200 11 1024 0 0 0 V5\n"
    )
    (tmp_path / "100.atr").write_bytes((mitdb / "100.atr").read_bytes())
    return tmp_path / "100"


def test_a_folder_stands_for_its_annotated_records(mitdb):
    assert len(records.find_records([str(mitdb)], "atr")) == 48
    assert [path.name for path in records.find_records([str(mitdb)], "atr", "ds2")] == list(
        records.SPLITS["ds2"]
    )


def test_a_record_without_annotations_is_named(mitdb):
    with pytest.raises(ConfigError, match=r"100\.qrs: no such file"):
        records.find_records([str(mitdb / "100")], "qrs")
    with pytest.raises(ConfigError, match="none of these records is in DS1"):
        records.find_records([str(mitdb / "100.hea")], "atr", "ds1")


def test_records_can_be_left_out_by_name(mitdb):
    left = records.find_records([str(mitdb)], "atr", "ds2", ["202"])

    assert len(left) == 21
    with pytest.raises(ConfigError, match="--without 999: is none of these"):
        records.find_records([str(mitdb)], "atr", "", ["999"])


def test_the_sets_share_no_record_and_no_paced_heart():
    ds1, ds2 = set(records.SPLITS["ds1"]), set(records.SPLITS["ds2"])

    assert (len(ds1), len(ds2)) == (22, 22)
    assert not ds1 & ds2
    assert not (ds1 | ds2) & {"102", "104", "107", "217"}


def test_mlii_is_taken_wherever_it_stands_and_else_the_first(mitdb):
    chosen = {
        name: records.choose_lead(read_header(mitdb / name), "") for name in ("100", "114", "102")
    }

    assert chosen == {"100": "MLII", "114": "MLII", "102": "V5"}


def test_training_patients_are_known_under_every_name():
    scored = ["100", "202", "118e24", "118e_6", "119"]

    assert leak.leaked(scored, ["201", "118"]) == ["202", "118e24", "118e_6"]


def test_a_model_says_what_it_was_trained_on_or_that_it_does_not(tmp_path):
    (tmp_path / "model.toml").write_text('name = "x"\n')
    assert leak.trained_on(tmp_path) is None
    assert leak.trained_on(tmp_path / "weights.onnx") is None

    (tmp_path / "model.toml").write_text('[training]\nrecords = ["101", "106"]\n')
    assert leak.trained_on(tmp_path) == ("101", "106")

    (tmp_path / "model.toml").write_text("[training]\nrecords = 5\n")
    with pytest.raises(ConfigError, match=r"model\.toml:2: \[training\] records: must be a list"):
        leak.trained_on(tmp_path)


def test_labels_that_are_no_class_of_beats_are_unclassified():
    assert [symbol_of(label) for label in ("N", "S", "V", "F", "A", "unsure", "")] == [
        *("N", "S", "V", "F", "A", "Q", "Q")
    ]


def test_samples_that_are_missing_are_a_jump_in_the_numbers(tmp_path):
    counts = np.arange(100, dtype="<i2")
    counts[25:30] = -32768
    (tmp_path / "r.dat").write_bytes(counts.tobytes())
    (tmp_path / "r.hea").write_text("r 1 100 100\nr.dat 16 100/mV 16 0 0 0 0 II\n")

    frames = list(records.play(open_record(tmp_path / "r"), "r", 0.1))

    assert [frame.seq for frame in frames] == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert [frame.timestamp_ns for frame in frames][2:4] == [200_000_000, 300_000_000]
    assert sum(len(frame.data) for frame in frames) == 95
    assert frames[3].data[0, 0] == pytest.approx(0.30)


def test_the_detector_finds_the_same_beats_in_frames_of_any_length(short):
    small, large = (detect(short, by_detector, "", chunk_s) for chunk_s in (0.04, 5.0))

    assert small == large
    assert small.lead == "MLII"
    assert len(small.marks) == pytest.approx(74, abs=2)


def test_times_are_those_of_the_annotations(short):
    reference = read_marks(short, "atr")
    found = detect(short, by_detector)
    table = compare(reference, found.marks, Period.of(360.0, 21_600, 5.0))

    assert table.qrs_sensitivity().percent == 100.0
    assert table.rr_error_ms < 10.0


def test_a_record_that_cannot_be_played_does_not_stop_the_others(short):
    (short.parent / "bad.hea").write_text("bad 1 360 100\nbad.dat 212 200 11 1024 0 0 0 MLII\n")
    (short.parent / "bad.atr").write_bytes(short.with_suffix(".atr").read_bytes())

    bad, good = score([short.parent / "bad", short], Plan(start_s=5.0))

    assert isinstance(bad, Failure)
    assert bad.reason.endswith("bad.dat: No such file or directory")
    assert isinstance(good, RecordScore)


def one(name: str, reference: str, test: str) -> RecordScore:
    places = range(1000, 1000 + 400 * len(reference), 400)
    period = Period.of(360.0, 100_000, 0.0)
    table = compare(
        [Mark(*mark) for mark in zip(places, reference, strict=True)],
        [Mark(*mark) for mark in zip(places, test, strict=True) if mark[1] != " "],
        period,
    )
    return RecordScore(Path(name), "MLII", (), table, RunTable(), RunTable())


def report(leaked: tuple[str, ...] = ()) -> score_tables.Report:
    scores = [one("a", "NNNV", "NNNV"), one("b", "NNNN", "NN N")]
    return score_tables.Report("model x", Plan(existing="test"), scores, leaked=leaked)


def test_gross_is_of_all_beats_and_average_of_all_records():
    _, head, rows = score_tables.tables(report())[0]

    total = dict(zip(head, rows[-2], strict=True))
    mean = dict(zip(head, rows[-1], strict=True))
    assert (total["record"], total["beats"], total["missed"], total["false"]) == (
        *("gross", "8", "1", "0"),
    )
    assert (total["QRS Se"], mean["QRS Se"], mean["VEB Se"]) == ("87.50", "87.50", "100.00")
    assert gross(report().scores)[0].total("N", "N") == 6


def test_every_table_of_a_leak_is_marked():
    titles = [title for title, _, _ in score_tables.tables(report(("a",)), matrices=True)]

    assert len(titles) > 5
    assert all("LEAK: trained on 1 of these records' patients" in title for title in titles)
    assert not any("LEAK" in title for title, _, _ in score_tables.tables(report()))


def test_the_document_has_every_count():
    found = score_tables.as_json(report(("a",)))

    assert found["leaked"] == ["a"]
    assert found["records"][1]["matrix"]["N"]["O"] == 1
    assert found["gross"]["measures"]["QRS Se"] == {"percent": 87.5, "part": 7, "whole": 8}
    assert found["average"]["SVEB Se"] is None
