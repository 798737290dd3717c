"""`edge-run ecg`: the real command on real records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_runtime.cli.ecg import command
from edge_runtime.errors import ConfigError
from edge_runtime.sources.records.wfdb_annotations import read_annotations

from .commands import ROOT, edge_run


@pytest.fixture(scope="module")
def mitdb(data: Path) -> Path:
    return data / "ecg" / "mitdb"


@pytest.fixture(scope="module")
def minutes(mitdb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of records 100 and 201 as records of their own, made by export."""
    folder = tmp_path_factory.mktemp("minutes")
    for name in ("100", "201"):
        arguments = (mitdb / name, "-o", folder / name, "--to", "wfdb", "--until", "2:00")
        done = edge_run("ecg", "export", *arguments, "--annotator", "atr")
        assert (done.code, done.err) == (0, "")
    return folder


def test_a_folder_is_scored_and_the_annotations_written_are_the_detected_beats(minutes, tmp_path):
    out = tmp_path / "out"
    done = edge_run(
        *("ecg", "score", minutes, "--detector", "qrs", "--from", "0:05"),
        *("--chunk", 1000, "--write", out, "--as", "test"),
    )

    assert (done.code, done.err) == (0, "")
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[0] for row in rows[2:6]] == ["100", "201", "gross", "average"]
    assert float(rows[4][4]) > 99
    written = read_annotations(out / "100.test")
    assert set(written.symbols) == {"N"}
    assert len(written.samples) == pytest.approx(148, abs=3)


def test_annotations_that_are_there_are_scored_without_running_anything(minutes):
    done = edge_run("ecg", "score", minutes / "100", "--existing", "atr", "--from", "0", "--json")

    document = json.loads(done.out)
    assert (done.code, document["subject"]) == (0, "annotations .atr")
    assert document["gross"]["measures"]["QRS Se"]["percent"] == 100.0
    assert document["gross"]["measures"]["SVEB Se"] == {"percent": 100.0, "part": 1, "whole": 1}


def test_a_beat_model_is_scored_on_the_path_of_a_device(minutes):
    done = edge_run(
        *("ecg", "score", minutes / "100", "--model", ROOT / "models" / "ecg-beats"),
        *("--from", "0:10", "--chunk", 1000, "--json"),
    )

    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["records"][0]["lead"] == "MLII"
    assert document["gross"]["measures"]["QRS Se"]["percent"] > 97
    assert document["gross"]["matrix"]["N"]["N"] > 100


def trained(folder: Path, records: str) -> Path:
    """A model directory that is read for its [training] alone."""
    folder.mkdir()
    (folder / "model.toml").write_text(f"[training]\nrecords = {records}\n")
    return folder


def test_a_model_is_not_scored_on_patients_that_it_was_trained_on(minutes, tmp_path):
    model = trained(tmp_path / "model", '["202"]')
    done = edge_run("ecg", "score", minutes, "--model", model)

    assert (done.code, done.out) == (2, "")
    assert "was trained on patients of 1 of these records (201)" in done.errors[0]
    assert "--leak" in done.errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--as", "atr", "--write", "."), "would overwrite the annotations that are compared"),
        (("--annotator", "../x"), "must be a short name of letters"),
        (("--from", "five"), "five: is no time"),
        (("--existing", "atr", "--detector", "qrs"), "give one of them"),
        (("--annotator", "qrs"), "holds no record with annotations .qrs"),
        (("--model", "shapes"), "only one for beats can be scored"),
    ],
)
def test_a_wrong_option_is_told_before_anything_is_scored(minutes, arguments, message):
    with pytest.raises(ConfigError) as refused:
        command.main(["score", str(minutes), *arguments], standalone_mode=False)

    assert message in str(refused.value)


def test_a_record_that_cannot_be_played_is_named_and_the_rest_are_scored(minutes, tmp_path):
    for name in ("100.hea", "100.dat", "100.atr"):
        (tmp_path / name).write_bytes((minutes / name).read_bytes())
    for name in ("201.hea", "201.atr"):
        (tmp_path / name).write_bytes((minutes / name).read_bytes())

    done = edge_run("ecg", "score", tmp_path, "--from", "5", "--chunk", 1000, "--jobs", 1)

    assert done.code == 1
    assert done.out.splitlines()[2].startswith("100 ")
    assert done.errors[0].endswith("201.dat: No such file or directory")
    assert done.errors[1] == "edge-run: 1 of 2 records could not be scored"


@pytest.mark.parametrize(("kind", "name"), [("edf", "x.edf"), ("fhir", "x.json"), ("wfdb", "x")])
def test_an_export_never_overwrites(minutes, tmp_path, kind, name):
    words = ["export", str(minutes / "100"), "-o", str(tmp_path / name), "--to", kind]
    command.main([*words, "--until", "10"], standalone_mode=False)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    with pytest.raises(ConfigError, match="is there already"):
        command.main(words, standalone_mode=False)

    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_fhir_refuses_annotations_and_wfdb_a_name_that_it_does_not_allow(minutes, tmp_path):
    words = ["export", str(minutes / "100"), "-o", str(tmp_path / "a.b"), "--to"]

    with pytest.raises(ConfigError, match="no place for annotations"):
        command.main([*words, "fhir", "--annotator", "atr"], standalone_mode=False)
    with pytest.raises(ConfigError, match="letters, digits and _ only"):
        command.main([*words, "wfdb"], standalone_mode=False)


def test_a_shipped_model_knows_its_patients_and_a_leak_is_on_every_table(minutes):
    words = ("ecg", "score", minutes / "201", "--model", "ecg-beats", "--chunk", 1000)
    refused = edge_run(*words)
    leaked = edge_run(*words, "--from", "0:10", "--leak", "--matrices")

    assert (refused.code, refused.out) == (2, "")
    assert leaked.code == 0
    tables = leaked.out.count("+P")
    assert tables
    assert leaked.out.lower().count("leak") >= tables
