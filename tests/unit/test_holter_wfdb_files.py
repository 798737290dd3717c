"""Annotation files and records that WFDB's own tools and our reader read back as they were."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ConfigError
from edge_runtime.holter.part import read_part
from edge_runtime.holter.wfdb_files import (
    encode_annotations,
    encode_record,
    plain_marks,
    write_annotations,
)
from edge_runtime.sources.records.wfdb_annotations import (
    SYMBOLS,
    Annotations,
    parse_annotations,
    read_annotations,
)
from edge_runtime.sources.records.wfdb_record import open_record
from tests.needs import missing

pytestmark = pytest.mark.filterwarnings("ignore::Warning:wfdb")  # its own use of pandas


@pytest.fixture(scope="module")
def judge():
    """The reader that PhysioNet's own laboratory writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import wfdb
        except ImportError:
            missing("the reference WFDB reader", "pip install wfdb")
    return wfdb


marks = st.lists(
    st.tuples(
        st.integers(1, 1 << 30),
        st.sampled_from([symbol for symbol in SYMBOLS if symbol]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
        st.integers(-128, 127),
        st.integers(0, 255),
        st.integers(-128, 127),
    ),
    max_size=30,
)


@given(marks)
def test_whatever_is_written_is_read_back(rows):
    rows.sort(key=lambda row: row[0])
    sample, symbol, aux, subtype, channel, number = zip(*rows, strict=True) if rows else [()] * 6
    written = Annotations(
        np.array(sample, np.int64),
        tuple(symbol),
        tuple(aux),
        np.array(subtype, np.int16),
        np.array(channel, np.int16),
        np.array(number, np.int16),
    )

    read = parse_annotations(encode_annotations(written), "x")

    assert (read.symbols, read.aux) == (written.symbols, written.aux)
    for column in ("samples", "subtypes", "channels", "numbers"):
        assert getattr(read, column).tolist() == getattr(written, column).tolist()


def test_the_bytes_are_those_of_the_format():
    # N after 18, V after 1024 (too long for ten bits: SKIP, high half first), end
    content = encode_annotations(plain_marks([18, 1042], ["N", "V"]))

    assert content == bytes([18, 1 << 2, 0, 59 << 2, 0, 0, 0, 4, 0, 5 << 2, 0, 0])


@pytest.mark.parametrize("record", ["100", "207", "222"])
def test_a_reference_file_is_written_again_to_the_same_marks(data: Path, record: str):
    original = read_annotations(data / "ecg" / "mitdb" / f"{record}.atr")

    again = parse_annotations(encode_annotations(original), "x")

    assert (again.symbols, again.aux) == (original.symbols, original.aux)
    assert np.array_equal(again.samples, original.samples)
    assert np.array_equal(again.subtypes, original.subtypes)


def test_the_reference_reader_reads_what_was_written(judge, tmp_path):
    samples, symbols = [5, 5, 1028, 2052, 200_000, 2_000_000], list("NVFSQN")
    write_annotations(tmp_path / "r.test", plain_marks(samples, symbols))

    read = judge.rdann(str(tmp_path / "r"), "test")

    assert read.sample.tolist() == samples
    assert read.symbol == symbols


def test_a_symbol_that_the_format_lacks_is_refused():
    with pytest.raises(ValueError, match="'%' is no symbol"):
        encode_annotations(plain_marks([1], ["%"]))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone/r\.test: No such file"):
        write_annotations(tmp_path / "gone" / "r.test", plain_marks([], []))


def test_an_exported_part_is_the_same_signal_to_the_reference_reader(judge, data, tmp_path):
    path = data / "ecg" / "mitdb" / "100"
    part = read_part(path, ["V5", "MLII"], 10.0, 20.0, "atr")
    header, samples = encode_record("part", part)
    (tmp_path / "part.hea").write_bytes(header)
    (tmp_path / "part.dat").write_bytes(samples)

    original = judge.rdrecord(str(path), sampfrom=3600, sampto=7200, channel_names=["V5", "MLII"])
    copy = judge.rdrecord(str(tmp_path / "part"))

    assert copy.fs == 360
    for name in ("V5", "MLII"):
        before = original.p_signal[:, original.sig_name.index(name)]
        after = copy.p_signal[:, copy.sig_name.index(name)]
        assert np.abs(before - after).max() < 1e-9


def test_an_exported_part_passes_its_own_checksum(data, tmp_path):
    part = read_part(data / "ecg" / "mitdb" / "100", [], 0.0, 30.0, "")
    header, samples = encode_record("part", part)
    (tmp_path / "part.hea").write_bytes(header)
    (tmp_path / "part.dat").write_bytes(samples)
    record = open_record(tmp_path / "part")

    assert sum(len(block.mv) for block in record.blocks(0, record.frames)) == 10_800

    (tmp_path / "part.dat").write_bytes(bytes([1]) + samples[1:])
    with pytest.raises(Exception, match="checksum"):
        list(open_record(tmp_path / "part").blocks(0, record.frames))


def test_a_sample_that_is_missing_stays_missing(tmp_path):
    counts = np.array([[5], [-32768], [7]], "<i2")
    (tmp_path / "r.dat").write_bytes(counts.tobytes())
    (tmp_path / "r.hea").write_text("r 1 250 3\nr.dat 16 200/mV 16 0 5 0 0 II\n")

    header, samples = encode_record("copy", read_part(tmp_path / "r", [], 0.0, None, ""))

    assert np.frombuffer(samples, "<i2").tolist() == [5, -32768, 7]
    assert b"copy.dat 16 200(0)/mV 16 0 5 " in header


def test_more_than_16_bits_are_scaled_to_fit(tmp_path):
    counts = np.array([0, 1_000_000, -8_000_000], "<i4")
    (tmp_path / "r.dat").write_bytes(counts.tobytes())
    (tmp_path / "r.hea").write_text("r 1 250 3\nr.dat 32 1000/uV 32 0 0 0 0 II\n")

    lead = read_part(tmp_path / "r", [], 0.0, None, "").leads[0]

    assert np.allclose(lead.counts / lead.per_mv, [0, 1, -8], atol=1 / lead.per_mv)
    assert lead.counts.min() == -32767
