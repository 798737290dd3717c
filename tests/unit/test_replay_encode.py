from __future__ import annotations

import numpy as np
import pytest

from edge_runtime import frontend
from edge_runtime.framing.bitalino import BitalinoFormat
from edge_runtime.framing.ces import CesFormat
from edge_runtime.framing.cyton import CytonFormat
from edge_runtime.framing.events import LeadOff, Sample
from edge_runtime.framing.lines import LineFormat, LineParser
from edge_runtime.framing.packets import PacketParser
from edge_runtime.replay import formats
from edge_runtime.replay.wire_format import Samples

COUNT = 64


def parser_of(front: frontend.FrontEnd):
    """The other end: what a source puts behind a front end."""
    columns = tuple(channel.column for channel in front.channel)
    if front.framing == "lines":
        marker = front.lead_off.marker
        line_format = LineFormat(columns, front.t_us_column, False, marker, None, front.rate_hz)
        return LineParser(line_format, messages=True)
    packets = {
        "ces": lambda: CesFormat(
            kind=front.ces.type,
            lengths=front.ces.lengths,
            layout=front.ces.layout,
            columns=columns,
            samples=front.ces.samples,
            others=front.ces.others,
        ),
        "cyton": lambda: CytonFormat(columns),
        "bitalino": lambda: BitalinoFormat(front.bitalino_channels, columns),
    }
    return PacketParser(packets[front.framing](), front.rate_hz)


def signal(front: frontend.FrontEnd, *, off: bool = False, first: int = 0) -> Samples:
    """Half a millivolt up and down in every lead, each by its own phase."""
    at = np.arange(first, first + COUNT)
    leads = range(len(front.channel))
    mv = np.stack([0.5 * np.sin(at / 5 + lead) for lead in leads], axis=1)
    return Samples(first, mv.astype(np.float32), at * 1_000_000 // round(front.rate_hz), off)


def front_of(name: str) -> frontend.FrontEnd:
    if name in formats.PLAIN:
        return formats.plain(name, ("I", "II"), 250.0)
    front = frontend.load(name)
    needs = any(channel.mv_per_count is None for channel in front.channel)
    return formats.scaled(front, 0.001 if needs else None)


@pytest.mark.parametrize("name", [*formats.PLAIN, *frontend.names()])
def test_what_an_encoder_sends_the_parser_of_the_front_end_reads(name):
    front = front_of(name)
    sent = signal(front)
    packets = formats.encoder(front)(sent)
    # A last packet is believed once the next begins.
    more = formats.encoder(front)(signal(front, first=COUNT))
    events = parser_of(front).feed(b"".join(packets + more), 0)
    assert {type(event) for event in events} == {Sample}
    counts = np.array([event.counts for event in events[:COUNT]])
    scale = np.array([channel.mv_per_count for channel in front.channel])
    zero = np.array([channel.zero_count for channel in front.channel])
    assert np.abs((counts - zero) * scale - sent.mv).max() <= 0.51 * scale.max()
    assert not any(event.missing for event in events)


@pytest.mark.parametrize("name", ["lines", "timed-lines", "ad8232", "ad8232-timed"])
def test_a_fallen_electrode_is_the_mark_of_the_board(name):
    front = front_of(name)
    raw = b"".join(formats.encoder(front)(signal(front, off=True)))
    events = parser_of(front).feed(raw, 0)
    assert {type(event) for event in events} == {LeadOff}


@pytest.mark.parametrize(("name", "count"), [("ads1292r", 0), ("bitalino", 1023)])
def test_a_fallen_electrode_is_what_the_front_end_declares(name, count):
    front = front_of(name)
    raw = b"".join(formats.encoder(front)(signal(front, off=True)))
    events = parser_of(front).feed(raw, 0)
    assert {event.counts[0] for event in events} == {count}


@pytest.mark.parametrize("name", ["cyton", "bitalino", "timed-lines"])
def test_samples_that_are_not_sent_are_missing_by_counter_or_clock(name):
    front = front_of(name)
    encode = formats.encoder(front)
    raw = b"".join(encode(signal(front)) + encode(signal(front, first=COUNT + 5)))
    events = parser_of(front).feed(raw, 0)
    missing = [(at, event.missing) for at, event in enumerate(events) if event.missing]
    assert [at for at, _ in missing] == [COUNT]
    assert missing[0][1] == 5 or name == "timed-lines"


def test_a_packet_of_eight_that_lacks_a_sample_is_lost_whole():
    front = front_of("healthypi5")
    encode = formats.encoder(front)
    whole = encode(signal(front))
    after = encode(signal(front, first=COUNT + 3))
    assert (len(whole), len(after)) == (8, 7)
    again = formats.encoder(front)(signal(front, first=COUNT + 8))
    assert after[0] == again[0]


def test_a_lead_that_the_record_lacks_is_at_zero():
    front = front_of("ads1293")
    samples = Samples(0, np.full((4, 1), 0.3, np.float32), np.arange(4))
    events = parser_of(front).feed(b"".join(formats.encoder(front)(samples)), 0)
    assert [event.counts for event in events] == [(300, 0, 0)] * 4


def test_a_converter_stays_in_its_range():
    front = front_of("ad8232")
    samples = Samples(0, np.array([[9.0], [-9.0]], np.float32), np.arange(2))
    assert formats.encoder(front)(samples) == [b"1023\r\n", b"0\r\n"]
