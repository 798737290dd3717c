"""Declared front ends: the facts that are shipped, what a run file overrides, electrodes."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import frontend
from edge_runtime.errors import BadOptionError, FrameError, LeadOffError
from edge_runtime.frame import Frame
from edge_runtime.framing.electrodes import Electrodes, Reading
from edge_runtime.framing.events import Sample
from edge_runtime.sources.streams.declared import Signal, Wish, declare
from edge_runtime.sources.streams.live_frames import AmplitudeWatch
from edge_runtime.sources.streams.serial import Serial
from edge_runtime.tables import parse_toml
from tests.needs import ROOT
from tests.unit.test_framing_packets import cyton_packet

NAMES = frontend.names()


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    yield ours, os.ttyname(theirs)
    for fd in (ours, theirs):
        with contextlib.suppress(OSError):
            os.close(fd)


def frames_of(source: Serial, samples: int, within_s: float = 5.0) -> tuple[list[Frame], list]:
    """Frames until so many samples have come, and the errors between."""
    frames, errors, until = [], [], time.monotonic() + within_s
    while sum(len(frame.data) for frame in frames) < samples and time.monotonic() < until:
        try:
            frame = source.read(0.05)
        except FrameError as exc:
            errors.append(exc)
            continue
        if frame is not None:
            frames.append(frame)
    return frames, errors


def said_to(fd: int, length: int) -> bytes:
    """What a source sent to its device."""
    raw = b""
    until = time.monotonic() + 5
    while len(raw) < length and time.monotonic() < until:
        if select.select([fd], [], [], 0.05)[0]:
            raw += os.read(fd, 4096)
    return raw


# --- the files


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_front_end_loads_and_names_where_its_facts_are_from(name):
    facts = frontend.load(name)
    assert facts.title
    assert facts.sources
    assert facts.rate_hz > 0
    band = facts.filters
    assert (band.highpass_hz, band.lowpass_hz) == (None, None) or band.source
    wish = Wish(frontend=name, mv_per_count=0.001)
    assert declare(wish).parser().feed(b"", 0) == []


def test_the_front_ends_that_the_documentation_names_are_there():
    assert {
        *("ad8232", "ad8232-timed", "ads1292r", "ads1292r-v1", "ads1293", "max30003"),
        *("healthypi", "healthypi5", "cyton", "cyton-ecg", "bitalino"),
    } <= set(NAMES)


def test_front_ends_are_installed_with_the_package():
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert "frontends/*.toml" in setup["options.package_data"]["edge_runtime.devices"]


def test_a_wrong_name_names_the_nearest():
    with pytest.raises(BadOptionError, match="did you mean 'ads1292r'"):
        declare(Wish(frontend="ads1292"))


def test_a_gain_that_nobody_states_is_asked_for():
    with pytest.raises(
        BadOptionError, match="mv_per_count: is missing: it depends on how 'ads1293"
    ):
        declare(Wish(frontend="ads1293"))


def test_without_a_front_end_rate_and_gain_are_asked_for():
    with pytest.raises(BadOptionError, match="rate_hz: is missing: give it, or name a frontend"):
        declare(Wish(mv_per_count=1.0))


def test_the_run_file_goes_before_the_front_end():
    declared = declare(
        Wish(frontend="ad8232", rate_hz=187.5, mv_per_count=0.003, zero_count=500.0, leads=("II",))
    )
    signal = declared.signal
    assert (signal.rate_hz, signal.leads) == (187.5, ("II",))
    assert (signal.mv_per_count, signal.zero_count) == ((0.003,), (500.0,))
    assert declared.baud == 9600


def test_leads_pick_channels_by_name_in_any_spelling_and_order():
    declared = declare(Wish(frontend="ads1293", mv_per_count=1.0, leads=("v1", "Lead I")))
    payload = struct.pack("<iii", 1, 2, 3)
    (sample,) = declared.parser().feed(b"\x0a\xfa\x0c\x00\x02" + payload + b"\x00\x0b", 0)
    assert sample.counts == (3, 1)


def test_channels_without_a_lead_are_named_with_their_columns():
    declared = declare(Wish(frontend="cyton", leads=("I", "V1"), columns=(0, 7)))
    assert declared.signal.leads == ("I", "V1")
    with pytest.raises(BadOptionError, match="name the wired ones with columns"):
        declare(Wish(frontend="cyton", leads=("I", "V1")))
    with pytest.raises(BadOptionError, match="columns: must be 0 to 7"):
        declare(Wish(frontend="cyton", leads=("I",), columns=(8,)))


def test_a_front_end_of_ones_own_is_a_file(tmp_path: Path):
    text = (ROOT / "devices" / "frontends" / "ads1292r.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace("rate_hz = 125.0", "rate_hz = 500.0"))
    assert declare(Wish(frontend=str(mine))).signal.rate_hz == 500.0
    mine.write_text(text.replace("rate_hz = 125.0", "rate = 500.0"))
    with pytest.raises(BadOptionError, match="unknown key; did you mean 'rate_hz'"):
        declare(Wish(frontend=str(mine)))


@pytest.mark.parametrize(
    ("framing", "key"), [("ces", "ces"), ("bitalino", "bitalino_channels"), ("lines", "channel")]
)
def test_a_file_that_lacks_what_its_framing_needs_is_refused(framing, key):
    channel = "" if key == "channel" else '[[channel]]\nlead = "I"\ncolumn = 0\n'
    text = f'title = "x"\nframing = "{framing}"\nrate_hz = 1.0\nsources = []\n' + (
        channel or "channel = []\n"
    )
    with pytest.raises(Exception, match=f"{key}: "):
        parse_toml(text, "x.toml").make(frontend.FrontEnd, name="x")


def test_what_was_filtered_before_is_told():
    assert declare(Wish(frontend="ad8232")).signal.highpass_hz == 0.5
    assert declare(Wish(frontend="cyton")).signal.highpass_hz is None


@pytest.mark.parametrize(
    ("name", "mv"),
    [
        ("ads1292r", 2420 / 12 / 2**23 * 2**4),
        ("ads1292r-v1", 2420 / 12 / 2**23 * 2**10),
        ("max30003", 1000 / 20 / 2**17 / 2**14),
        ("cyton", 4500 / 24 / (2**23 - 1)),
        ("cyton-ecg", 4500 / 6 / (2**23 - 1)),
        ("bitalino", 3300 / 1024 / 1100),
        ("ad8232", 3300 / 1024 / 1100),
    ],
)
def test_gains_are_those_of_reference_amplifier_and_converter(name, mv):
    assert declare(Wish(frontend=name)).signal.mv_per_count[0] == pytest.approx(mv, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("ads1292r", struct.pack("<hhhh", -321, 5, 70, 15)),
        ("ads1292r-v1", struct.pack("<hhhhx", -321, 5, 15, 70)),
        ("ads1292r-v1", struct.pack("<hh16x", -321, 5)),
        ("max30003", struct.pack("<5xiii", -321, 800, 70)),
    ],
)
def test_each_sketch_of_a_board_is_read_by_its_own_front_end_alone(name, payload):
    packet = b"\x0a\xfa" + struct.pack("<HB", len(payload), 2) + payload + b"\x00\x0b"
    boards = ("ads1292r", "ads1292r-v1", "max30003")
    read = {
        board: [
            event.counts
            for event in declare(Wish(frontend=board)).parser().feed(packet * 4, 0)
            if isinstance(event, Sample)
        ]
        for board in boards
    }
    assert read.pop(name) == [(-321,)] * 4
    assert not any(read.values())


# --- from a port


def test_a_cyton_is_started_read_in_millivolts_and_stopped(port):
    ours, name = port
    source = Serial(name="ecg", port=name, frontend="cyton", leads=("II", "I"), columns=(1, 0))
    source.open()
    assert said_to(ours, 1) == b"b"
    for at in range(50):
        os.write(ours, cyton_packet(at, (100_000, -50_000)))
    frames, errors = frames_of(source, 50)
    source.close()
    assert not errors
    mv = np.concatenate([frame.data for frame in frames])
    gain = 4500 / 24 / (2**23 - 1)
    assert mv.shape == (50, 2)
    np.testing.assert_allclose(mv, [[-50_000 * gain, 100_000 * gain]] * 50, rtol=1e-5)
    assert said_to(ours, 1) == b"s"


def test_s09_a_gap_of_the_counter_is_a_jump_of_seq_and_counted(port):
    ours, name = port
    source = Serial(name="ecg", port=name, frontend="cyton", leads=("I",), columns=(0,))
    source.open()
    for at in [*range(30), *range(35, 60)]:
        os.write(ours, cyton_packet(at, (at,)))
    frames, _ = frames_of(source, 55)
    source.close()
    seqs = [frame.seq for frame in frames]
    assert [b - a for a, b in pairwise(seqs)].count(2) == 1
    assert source.tally["missing"] == 5
    assert source.tally["samples"] == 55


def test_s08_zeros_of_an_ads1292r_are_a_lead_that_is_off_and_none_is_inferred(port):
    ours, name = port
    source = Serial(name="ecg", port=name, frontend="ads1292r")
    source.open()

    def say(*values: int) -> None:
        for value in values:
            payload = struct.pack("<hhhh", value, 5, 70, 15)
            os.write(ours, b"\x0a\xfa\x08\x00\x02" + payload + b"\x00\x0b")

    say(*range(1, 21), 0, 0, *range(1, 9), *[0] * 60)
    frames, errors = frames_of(source, 31, within_s=1.0)
    assert [type(error) for error in errors] == [LeadOffError]
    assert source.lead_off
    counts = np.concatenate([frame.data for frame in frames])[:, 0] / (2420 / 12 / 2**19)
    assert np.round(counts).tolist() == [*range(1, 21), 0, 0, *range(1, 9)]
    say(*range(1, 11))
    frames, errors = frames_of(source, 10)
    source.close()
    assert not errors
    assert not source.lead_off


def test_s11_a_port_that_breaks_inside_a_packet_goes_on_after_it(port):
    ours, name = port
    source = Serial(name="ecg", port=name, frontend="cyton", leads=("I",), columns=(0,))
    source.open()
    os.write(ours, b"".join(cyton_packet(at, (at,)) for at in range(20)))
    os.write(ours, cyton_packet(20, (20,))[:17])
    source.close()
    source.open()
    os.write(ours, cyton_packet(20, (20,))[17:])
    os.write(ours, b"".join(cyton_packet(at, (at,)) for at in range(21, 41)))
    frames, _ = frames_of(source, 20)
    source.close()
    assert sum(len(frame.data) for frame in frames) == 20


# --- electrodes and amplitude


def readings(*values: float) -> list[Reading]:
    return [Reading((value,), at, gap=False) for at, value in enumerate(values)]


def test_samples_at_the_end_of_the_range_are_held_until_it_is_decided():
    electrodes = Electrodes("rail", ("II",), (0.0, 1023.0), hold=3)
    freed = [len(electrodes.judge(item)) for item in readings(5, 1023, 0, 6, 1023, 1023, 1023, 0)]
    assert freed == [1, 0, 0, 3, 0, 0, 0, 0]
    assert electrodes.off == "an electrode is off: II at the end of its range"
    assert len(electrodes.judge(readings(7)[0])) == 1
    assert not electrodes.off


def watch(signal: Signal, data: np.ndarray) -> None:
    eye = AmplitudeWatch("/dev/ttyUSB0", signal)
    for at in range(0, len(data), 10):
        eye.add(data[at : at + 10].astype(np.float32))


@pytest.mark.parametrize(("factor", "told"), [(1.0, 0), (1000.0, 1), (0.001, 1), (0.0, 0)])
def test_s10_microvolts_taken_for_millivolts_are_told(caplog, factor, told):
    signal = declare(Wish(rate_hz=250.0, mv_per_count=1.0)).signal
    beat = np.zeros((250, 1))
    beat[100:110] = 1.0
    watch(signal, np.tile(beat, (30, 1)) * factor)
    assert len(caplog.records) == told
    assert not told or "is mv_per_count right, or the unit?" in caplog.text
