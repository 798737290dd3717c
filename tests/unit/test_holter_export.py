"""EDF+ and FHIR, decoded by hand from the bytes that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import ConfigError
from edge_runtime.holter.edf import encode_edf
from edge_runtime.holter.fhir import observation
from edge_runtime.holter.part import read_part


class Edf:
    """An EDF+ file, read by the layout of the specification."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0
        self.version, self.patient, self.recording = (self.take(n) for n in (8, 80, 80))
        self.date, self.time, self.header_bytes = self.take(8), self.take(8), self.take(8)
        self.reserved, self.records = self.take(44), int(self.take(8))
        self.duration_s, signals = float(self.take(8)), int(self.take(4))
        widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
        columns = [[self.take(width) for _ in range(signals)] for width in widths]
        self.labels, self.units = columns[0], columns[2]
        self.ranges = [[float(text) for text in column] for column in columns[3:7]]
        self.lengths = [int(text) for text in columns[8]]
        body = np.frombuffer(content[int(self.header_bytes) :], "<i2")
        self.body = body.reshape(self.records, sum(self.lengths))

    def take(self, width: int) -> str:
        text = self.content[self.at : self.at + width].decode("ascii")
        assert len(text) == width
        self.at += width
        return text.rstrip()

    def physical(self, signal: int) -> np.ndarray:
        first = sum(self.lengths[:signal])
        digital = self.body[:, first : first + self.lengths[signal]].reshape(-1)
        low, high, least, most = (column[signal] for column in self.ranges)
        return (digital - least) * (high - low) / (most - least) + low

    def notes(self) -> list[tuple[float, str]]:
        lists = self.body[:, -self.lengths[-1] :]
        found = []
        for row in lists:
            for text in row.tobytes().split(b"\x00"):
                if text:
                    onset, *words, end = text.decode().split("\x14")
                    assert end == ""
                    found += [(float(onset), word) for word in words]
        return found


@pytest.fixture
def record(data: Path) -> Path:
    return data / "ecg" / "mitdb" / "100"


def small(folder: Path, counts: list[int], head: str = "r 1 250 {n}", gain: str = "200/mV") -> Path:
    samples = np.array(counts, "<i2")
    (folder / "r.dat").write_bytes(samples.tobytes())
    line = f"{head.format(n=len(samples))}\nr.dat 16 {gain} 16 0 0 0 0 Lead II\n"
    (folder / "r.hea").write_text(line)
    return folder / "r"


def test_edf_holds_every_sample_within_one_step_of_the_recorder(record):
    part = read_part(record, [], 0.0, 61.5, "")
    file = Edf(encode_edf(part))

    assert file.labels == ["ECG MLII", "ECG V5", "EDF Annotations"]
    assert (file.reserved, file.records, file.duration_s) == ("EDF+C", 62, 1.0)
    for number, lead in enumerate(part.leads):
        expected = lead.counts / lead.per_mv
        assert np.abs(file.physical(number)[: len(expected)] - expected).max() < 0.2 / lead.per_mv


def test_edf_names_nobody_and_keeps_the_time_of_the_recording(tmp_path):
    path = small(tmp_path, [1] * 500, "r 1 250 {n} 13:05:09.250 03/02/2021")
    file = Edf(encode_edf(read_part(path, [], 1.0, None, "")))

    assert file.patient == "X X X X"
    assert file.recording == "Startdate 03-FEB-2021 X X X"
    assert (file.date, file.time) == ("03.02.21", "13.05.10")
    assert file.notes()[0] == (0.25, "")  # the part of a second that the header cannot hold


def test_edf_marks_beats_where_they_are_and_says_where_the_recording_ends(record):
    part = read_part(record, ["MLII"], 60.0, 62.5, "atr")
    file = Edf(encode_edf(part))

    said = [(onset, text) for onset, text in file.notes() if text]
    beats = [(round(at / 360, 6), "N") for at in part.marks.samples.tolist()]
    assert len(beats) >= 2
    assert said == [*beats, (2.5, "Recording ends")]


def test_edf_keeps_a_rate_that_is_no_whole_number(tmp_path):
    path = small(tmp_path, [1, 2, 3, 4] * 250, "r 1 128.5 {n}")
    file = Edf(encode_edf(read_part(path, [], 0.0, None, "")))

    assert file.lengths[0] / file.duration_s == pytest.approx(128.5)


def test_edf_takes_a_smaller_unit_for_a_small_range(tmp_path):
    path = small(tmp_path, [30_000, -30_000], gain="1000/uV")
    file = Edf(encode_edf(read_part(path, [], 0.0, None, "")))

    assert file.units[0] == "uV"
    assert file.physical(0)[:2] == pytest.approx([30.0, -30.0], abs=1e-3)


def test_edf_refuses_a_part_that_misses_samples(tmp_path):
    path = small(tmp_path, [1, 2, -32768, 4])

    with pytest.raises(ConfigError, match=r"misses samples 0\.008 s after the start"):
        encode_edf(read_part(path, [], 0.0, None, ""))


def test_fhir_gives_each_lead_its_code_and_its_values(data):
    part = read_part(data / "ecg" / "mitdb" / "100", [], 0.0, 1.0, "")
    found = observation(part, "R5")

    assert found["resourceType"] == "Observation"
    assert found["status"] == "final"
    lead = found["component"][1]
    sampled = lead["valueSampledData"]
    assert lead["code"]["coding"][0]["code"] == "131335"
    assert lead["code"]["coding"][0]["display"] == "MDC_ECG_ELEC_POTL_V5"
    assert (sampled["interval"], sampled["intervalUnit"]) == (pytest.approx(1000 / 360), "ms")
    values = np.array(sampled["data"].split(), float) * sampled["factor"]
    assert values == pytest.approx(part.leads[1].counts / part.leads[1].per_mv)


def test_fhir_r4_states_the_period_and_no_interval(tmp_path):
    part = read_part(small(tmp_path, [1, 2]), [], 0.0, None, "")
    sampled = observation(part, "R4")["component"][0]["valueSampledData"]

    assert sampled["period"] == 4.0
    assert "interval" not in sampled


def test_fhir_says_that_a_sample_is_missing(tmp_path):
    part = read_part(small(tmp_path, [1, -32768, 3]), [], 0.0, None, "")

    assert observation(part, "R5")["component"][0]["valueSampledData"]["data"] == "1 E 3"


def test_fhir_gives_no_code_to_a_lead_that_has_none(data):
    part = read_part(data / "ecg" / "mitdb" / "100", ["MLII"], 0.0, 1.0, "")
    code = observation(part, "R5")["component"][0]["code"]

    assert code["coding"][0]["code"] == "131328"
    assert code["text"] == "MLII"


def test_fhir_says_when_the_part_was_recorded(tmp_path):
    path = small(tmp_path, [1] * 500, "r 1 250 {n} 13:05:09 03/02/2021")
    part = read_part(path, [], 1.0, None, "")

    assert observation(part, "R5")["effectivePeriod"] == {
        "start": "2021-02-03T13:05:10+00:00",
        "end": "2021-02-03T13:05:11+00:00",
    }


def test_a_part_beyond_the_end_is_refused(record):
    with pytest.raises(ConfigError, match="nothing to export: it is 1805"):
        read_part(record, [], 4000.0, None, "")
