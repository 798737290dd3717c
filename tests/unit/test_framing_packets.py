"""Packets of front ends: what is in them, and what becomes of a stream that is damaged."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.framing.bitalino import BitalinoFormat, crc4, size
from edge_runtime.framing.ces import CesFormat
from edge_runtime.framing.cyton import CytonFormat
from edge_runtime.framing.events import TIMEOUT_NS, Bad, Event, Sample, Skipped
from edge_runtime.framing.packets import PacketParser

PERIOD_NS = 4_000_000  # 250 Hz


def ces_packet(values: tuple[int, ...], *, kind: int = 2, pad: bytes = b"\0") -> bytes:
    payload = struct.pack(f"<{len(values)}i", *values)
    head = b"\x0a\xfa" + struct.pack("<HB", len(payload), kind)
    return head + payload + pad + b"\x0b"


def cyton_packet(counter: int, values: tuple[int, ...]) -> bytes:
    channels = b"".join(value.to_bytes(3, "big", signed=True) for value in (*values, *[0] * 8)[:8])
    return bytes((0xA0, counter % 256)) + channels + bytes(6) + b"\xc0"


def bitalino_packet(counter: int, values: tuple[int, ...]) -> bytes:
    """Six channels, packed by the device's own description: bits from the end to the front."""
    a1, a2, a3, a4, a5, a6 = (*values, 0, 0, 0, 0, 0, 0)[:6]
    bits = counter % 16 << 4  # the low nibble is the checksum's
    word = (((((a1 << 10 | a2) << 10 | a3) << 10 | a4) << 6 | a5) << 6) | a6
    raw = bytearray(word.to_bytes(7, "big")[::-1] + bytes((bits,)))
    raw[-1] |= crc4(bytes(raw))
    return bytes(raw)


@dataclass(frozen=True)
class Kind:
    """A framing, and how its packets are made."""

    make: Callable[[int, tuple[int, ...]], bytes]
    parser: Callable[[], PacketParser]
    high: int  # of a count
    beyond: int  # packets that one damaged place may cost beyond those that it hits


KINDS = {
    "ces": Kind(
        lambda _, values: ces_packet((*values, 0)),
        lambda: PacketParser(CesFormat(kind=2, lengths=(12,), layout="<iii", columns=(0, 1)), 250),
        2**31 - 1,
        0,
    ),
    "cyton": Kind(cyton_packet, lambda: PacketParser(CytonFormat((0, 1)), 250), 2**23 - 1, 1),
    "bitalino": Kind(
        bitalino_packet, lambda: PacketParser(BitalinoFormat(6, (0, 1)), 250), 1023, 1
    ),
}


@pytest.fixture(params=KINDS)
def kind(request) -> Kind:
    return KINDS[request.param]


def stream(kind: Kind, count: int, seed: int = 1) -> tuple[list[bytes], list[tuple[int, ...]]]:
    rng = random.Random(seed)
    values = [(at % (kind.high + 1), rng.randint(0, kind.high)) for at in range(count)]
    return [kind.make(at, pair) for at, pair in enumerate(values)], values


def counts(events: list[Event]) -> list[tuple[float, ...]]:
    return [event.counts for event in events if isinstance(event, Sample)]


def feed(parser: PacketParser, packets: list[bytes]) -> list[Event]:
    """Each packet at its time."""
    return [
        event for at, packet in enumerate(packets) for event in parser.feed(packet, at * PERIOD_NS)
    ]


# --- what is in them


def test_every_packet_gives_its_sample_and_its_time(kind):
    packets, values = stream(kind, 600)
    events = feed(kind.parser(), packets)
    assert counts(events) == values[: len(events)]
    assert len(values) - len(events) <= 3  # a beginning is believed when it goes on
    steps = {b.elapsed_ns - a.elapsed_ns for a, b in pairwise(events)}
    assert steps == {PERIOD_NS}


def test_s11_packets_may_come_in_pieces_of_any_length(kind):
    packets, _ = stream(kind, 40)
    raw = b"".join(packets)
    whole = counts(kind.parser().feed(raw, 0))
    for length in (1, 2, 7, 50):
        parser = kind.parser()
        pieces = [raw[at : at + length] for at in range(0, len(raw), length)]
        assert counts([e for piece in pieces for e in parser.feed(piece, 0)]) == whole


def test_cyton_counts_are_signed_and_of_the_columns_that_were_asked_for():
    parser = PacketParser(CytonFormat((7, 0)), 250)
    values = (-1, 2, 3, 4, 5, 6, 7, -(2**23))
    events = parser.feed(cyton_packet(9, values) + cyton_packet(10, values) + b"\xa0\x0b", 0)
    assert counts(events) == [(-(2**23), -1)] * 2


@pytest.mark.parametrize("footer", range(0xC0, 0xC7))
def test_cyton_footers_of_every_kind_are_taken(footer):
    parser = PacketParser(CytonFormat((0,)), 250)
    packets = [cyton_packet(at, (at,))[:-1] + bytes((footer,)) for at in range(3)]
    assert len(counts(parser.feed(b"".join(packets) + b"\xa0\x03", 0))) == 3


def test_bitalino_packets_of_fewer_channels_are_shorter():
    assert [size(channels) for channels in range(1, 7)] == [3, 4, 6, 7, 8, 8]


def test_a_bitalino_packet_by_hand():
    packet = bytes((0b01_000011, 0b0010_1000, 0b11_000001, 0x55, 0x03, 0b000010_01, 0x40, 0xF0))
    packet = packet[:-1] + bytes((0xF0 | crc4(packet),))
    (sample,) = BitalinoFormat(6, tuple(range(6))).samples(packet)
    assert sample[0] == 0b0000_000010
    assert sample[1] == 0b01_00000011
    assert sample[2] == 0x55 << 2 | 0b11
    assert sample[3] == 0b000001_0010
    assert sample[4] == 0b1000_01
    assert sample[5] == 0b000011


def test_the_bitalino_checksum_is_that_of_its_makers_program():
    def makers(data: list[int]) -> int:
        data = [*data[:-1], data[-1] & 0xF0]
        x = 0
        for byte in data:
            for bit in range(7, -1, -1):
                x <<= 1
                if x & 0x10:
                    x ^= 0x03
                x ^= byte >> bit & 1
        return x & 0x0F

    rng = random.Random(3)
    for _ in range(200):
        packet = [rng.randrange(256) for _ in range(8)]
        assert crc4(bytes(packet)) == makers(packet)


def test_healthypi_packets_hold_eight_samples_with_others_between():
    form = CesFormat(
        kind=3, lengths=(50,), layout="<8i", samples=8, columns=(0,), others=((4, 19),)
    )
    payload = struct.pack("<12iBB", *range(12), 70, 15)
    ecg = b"\x0a\xfa\x32\x00\x03" + payload + b"\x00\x0b"
    ppg = b"\x0a\xfa\x13\x00\x04" + bytes(19) + b"\x00\x0b"
    events = PacketParser(form, 125).feed(ecg + ppg + ecg, 0)
    assert counts(events) == [(at,) for at in range(8)] * 2
    assert Skipped("other") in events
    assert [e.elapsed_ns for e in events if isinstance(e, Sample)][-1] == 16 * 8_000_000


@pytest.mark.parametrize("pad", [b"", b"\0"])
def test_the_zero_before_a_ces_footer_may_be_missing(pad):
    parser = KINDS["ces"].parser()
    assert counts(parser.feed(ces_packet((1, 2, 3), pad=pad) * 3, 0)) == [(1, 2)] * 3


# --- what is lost, repeated, late


@pytest.mark.parametrize("name", ["cyton", "bitalino"])
def test_s09_a_lost_packet_is_a_gap_of_its_length(name):
    packets, _ = stream(KINDS[name], 60)
    events = feed(KINDS[name].parser(), packets[:20] + packets[23:])
    samples = [event for event in events if isinstance(event, Sample)]
    assert [s.missing for s in samples if s.missing] == [3]
    assert samples[-1].elapsed_ns - samples[0].elapsed_ns == (len(samples) + 2) * PERIOD_NS


@pytest.mark.parametrize("lost", [255, 256, 257, 700])
def test_s09_a_loss_of_more_than_the_counter_holds_is_seen_by_the_time_of_arrival(lost):
    packets, _ = stream(KINDS["cyton"], 1000)
    parser = KINDS["cyton"].parser()
    events = feed(parser, packets[:20])
    for at in range(20 + lost, 1000):
        events += parser.feed(packets[at], at * PERIOD_NS)
    assert sum(event.missing for event in events if isinstance(event, Sample)) == lost


def test_s09_what_a_computer_held_back_is_no_loss():
    packets, values = stream(KINDS["cyton"], 1000)
    parser = KINDS["cyton"].parser()
    events = feed(parser, packets[:20])
    events += parser.feed(b"".join(packets[20:]), 999 * PERIOD_NS)
    assert counts(events) == values
    assert not any(event.missing for event in events)


def test_s09_repeated_and_late_packets_are_left_out_and_named():
    packets, values = stream(KINDS["cyton"], 30)
    order = [*range(10), 9, 10, 12, 11, *range(13, 30)]
    events = feed(KINDS["cyton"].parser(), [packets[at] for at in order])
    kept = [values[at] for at in [*range(11), *range(12, 30)]]
    assert counts(events) == kept[: len(counts(events))]
    assert [e for e in events if isinstance(e, Skipped)] == [
        Skipped("duplicate"),
        Skipped("out-of-order"),
    ]


def test_s09_a_wrong_bit_in_a_counter_costs_no_packet():
    packets, values = stream(KINDS["cyton"], 60)
    packets[20] = packets[20][:1] + bytes((packets[20][1] ^ 64,)) + packets[20][2:]
    assert counts(feed(KINDS["cyton"].parser(), packets)) == values


# --- damage


def damaged(kind: Kind, hits: dict[int, bytes | None]) -> tuple[list[Event], list]:
    """A stream of 60 packets in which some are replaced, or cut short by a byte (None)."""
    packets, values = stream(kind, 60)
    for at, other in hits.items():
        packets[at] = packets[at][:-1] if other is None else other
    return kind.parser().feed(b"".join(packets), 0), values


def test_s11_a_packet_cut_short_costs_itself_alone(kind):
    events, values = damaged(kind, {20: None})
    found = counts(events)
    assert set(values[5:20] + values[22:55]) <= set(found)
    assert set(found) <= set(values)
    assert sum(event.count for event in events if isinstance(event, Bad)) <= 2
    assert any(isinstance(event, Bad) for event in events)


def test_s11_a_packet_inside_a_rejected_one_is_found():
    inner = ces_packet((7, 8, 9))
    false_start = b"\x0a\xfa\x0c\x00\x02" + b"\x55" * 5
    parser = KINDS["ces"].parser()
    assert counts(parser.feed(false_start + inner + inner, 0)) == [(7, 8)] * 2


def test_s11_halves_of_two_packets_with_a_pause_between_are_no_sample():
    before, after, whole = (ces_packet((at, at, at)) for at in (1, 2, 3))
    parser = KINDS["ces"].parser()
    assert not counts(parser.feed(before[:10], 0))
    events = parser.feed(after[10:] + whole, TIMEOUT_NS + 1)
    assert counts(events) == [(3, 3)]
    assert any(isinstance(event, Bad) for event in events)


def test_a_length_that_no_packet_has_is_rejected_at_once():
    parser = KINDS["ces"].parser()
    assert counts(parser.feed(b"\x0a\xfa\xff\xff\x02" + ces_packet((1, 2, 3)), 0)) == [(1, 2)]


def test_s11_garbage_that_never_ends_is_told_and_bounded(kind):
    parser = kind.parser()
    rng = random.Random(5)
    events: list[Event] = []
    for _ in range(100):
        events += parser.feed(rng.randbytes(200), 0)
        assert len(parser._scanner._held) <= 64
    told = sum(event.count for event in events if isinstance(event, Bad))
    assert told > 300
    assert len(counts(events)) <= 3


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(KINDS)),
    damage=st.binary(max_size=120),
    at=st.integers(200, 400),
    cut=st.integers(0, 100),
)
def test_s11_after_any_damage_the_stream_is_found_again(name, damage, at, cut):
    """Bytes are cut out and others put in: all packets but the two after the place come."""
    kind = KINDS[name]
    packets, values = stream(kind, 60)
    raw = b"".join(packets)
    length = len(packets[0])
    parser = kind.parser()
    events = parser.feed(raw[:at] + damage, at * PERIOD_NS // length)
    for begin in range(at + cut, len(raw), length):
        arrival_ns = (begin + length) * PERIOD_NS // length
        events += parser.feed(raw[begin : begin + length], arrival_ns)
    safe = values[5 : at // length] + values[-(-(at + cut) // length) + 2 : -4]
    assert set(safe) <= set(counts(events))


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(KINDS)),
    pieces=st.lists(st.binary(max_size=60), max_size=20),
    gaps=st.lists(st.integers(0, 10**9), min_size=20, max_size=20),
)
def test_s11_no_bytes_at_any_time_make_a_parser_fail(name, pieces, gaps):
    parser = KINDS[name].parser()
    now_ns = 0
    for piece, gap_ns in zip(pieces, gaps, strict=False):
        now_ns += gap_ns
        parser.feed(piece, now_ns)
        assert len(parser._scanner._held) <= 64


@pytest.mark.parametrize("errors_per_bit", [1e-5, 1e-4, 1e-3])
def test_s11_bit_errors_cost_no_more_than_the_packets_that_they_hit(kind, errors_per_bit):
    packets, values = stream(kind, 3000, seed=11)
    rng = random.Random(12)
    hit = set()
    for at, packet in enumerate(packets):
        raw = bytearray(packet)
        for bit in range(len(raw) * 8):
            if rng.random() < errors_per_bit:
                raw[bit // 8] ^= 1 << bit % 8
                hit.add(at)
        packets[at] = bytes(raw)
    assert hit
    found = set(counts(kind.parser().feed(b"".join(packets), 0)))
    lost = [at for at in range(2996) if at not in hit and values[at] not in found]
    assert len(lost) <= kind.beyond * len(hit) * len(hit) / 3000 + kind.beyond
