"""What `edge-convert` refuses before it works: patients that were trained on, impossible times."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from edge_runtime.converters import cli, comparing
from edge_runtime.converters.data import refuse_leak

from edge_runtime.errors import ConfigError
from tests.needs import ROOT

BEATS = ROOT / "models/ecg-beats"  # trained on DS1 of MIT-BIH, and on none of DS2
CONTRACT = ROOT / "examples/contracts/resnet8.toml"


def records(folder: Path, *names: str) -> str:
    """A folder with a list of these records; of each the header, which need not be read."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.hea").touch()
    (folder / "RECORDS").write_text("\n".join(names))
    return str(folder)


def test_records_of_patients_that_a_model_was_trained_on_are_refused_by_name(tmp_path):
    mixed = records(tmp_path / "mixed", "100", "101", "202", "118e06", "103")
    with pytest.raises(ConfigError) as error:
        refuse_leak(BEATS, mixed)
    # 202 is of the man of 201, and 118e06 is 118 with noise.
    said = "trained on patients of 3 of these records (101, 202, 118e06: "
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"of 1 of these records \(101: "):
        refuse_leak(BEATS / "model.toml", f"{mixed}/101")


def test_records_of_others_and_other_data_are_not_refused(tmp_path):
    refuse_leak(BEATS, records(tmp_path / "ds2", "100", "103", "105"))
    refuse_leak(BEATS, str(tmp_path / "cases.npz"))
    refuse_leak(BEATS, "cases_of_mine:cases")
    refuse_leak(CONTRACT, records(tmp_path / "any", "101"))  # which does not say


@pytest.mark.parametrize(
    "words",
    [
        ("--evaluate", "DATA", "--to", "onnx:float16", "-o", "out"),
        ("--calibrate", "DATA", "--to", "onnx:int8", "-o", "out", "--dry-run"),
    ],
)
def test_a_conversion_is_not_judged_on_them(tmp_path, words):
    """Through a contract of another name, and where --calibrate stands for --evaluate."""
    given = records(tmp_path / "ds1", "101", "106")
    text = (BEATS / "model.toml").read_text()
    (tmp_path / "mine.toml").write_text(text)
    model = str(next(BEATS.glob("*.onnx")))
    words = [given if word == "DATA" else word for word in words]
    done = CliRunner().invoke(
        cli.cli, ["model", model, "--contract", str(tmp_path / "mine.toml"), *words]
    )
    assert isinstance(done.exception, ConfigError)
    assert "(101, 106: " in str(done.exception)


def test_two_models_are_not_compared_on_them(tmp_path):
    sides = [comparing.side(BEATS / f"ecg-beats-int8.{kind}") for kind in ("tflite", "onnx")]
    with pytest.raises(ConfigError, match=r"\(230: "):
        comparing.compare(*sides, records(tmp_path / "one", "230"))


@pytest.mark.parametrize("verb", ["prune", "distil", "tune", "model", "export"])
@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(verb, given):
    done = CliRunner().invoke(cli.cli, [verb, "net.keras", f"--timeout={given}"])
    assert done.exit_code == 2
    assert "Invalid value for '--timeout'" in done.output


def test_networks_are_not_trained_to_be_judged_on_them(tmp_path):
    (tmp_path / "net.keras").touch()
    words = ["prune", str(tmp_path / "net.keras"), "--contract", str(BEATS / "model.toml")]
    words += ["--train", "t", "--evaluate", records(tmp_path / "ds1", "122"), "-o", "out.keras"]
    done = CliRunner().invoke(cli.cli, words)
    assert isinstance(done.exception, ConfigError)
    assert "(122: " in str(done.exception)
