"""What a live signal is: the facts of its front end, and what the run file says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_runtime.errors import BadOptionError, ConfigError
from edge_runtime.framing.bitalino import BitalinoFormat
from edge_runtime.framing.ces import CesFormat
from edge_runtime.framing.cyton import CytonFormat
from edge_runtime.framing.electrodes import Electrodes
from edge_runtime.framing.events import Parser
from edge_runtime.framing.lines import LineFormat, LineParser
from edge_runtime.framing.packets import PacketFormat, PacketParser
from edge_runtime.frontend import Channel, FrontEnd, LeadOffRule, load
from edge_runtime.sources.leads import find_lead

MAX_RATE_HZ = 100_000.0
MAX_MV_PER_COUNT = 1e6
MAX_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class Wish:
    """What a run file says of a signal; None, or nothing, where the front end is to say it."""

    frontend: str = ""
    rate_hz: float | None = None
    mv_per_count: float | None = None
    zero_count: float | None = None
    leads: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()
    t_us_column: int | None = None
    off_marker: str | None = None
    range_counts: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """What its samples mean: mV = (count - zero_count) * mv_per_count, for each lead.

    `electrodes` makes fresh eyes for electrodes that are off. `highpass_hz` as in `Frame`.
    """

    rate_hz: float
    leads: tuple[str, ...]
    mv_per_count: tuple[float, ...]
    zero_count: tuple[float, ...]
    electrodes: Callable[[], Electrodes]
    highpass_hz: float | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """A signal that comes as bytes; `parser` makes a fresh parser for them."""

    signal: Signal
    parser: Callable[[], Parser]
    baud: int
    least_rate_hz: float
    start: bytes
    stop: bytes


def declare(wish: Wish, *, messages: bool = False) -> Declared:
    """The facts of a signal; `messages` when they come in datagrams. Raises BadOptionError."""
    if not wish.frontend and not wish.leads:
        wish = replace(wish, leads=("MLII",))
    front_end = _front_end(wish)
    channels = _channels(wish, front_end)
    rate_hz = wish.rate_hz if wish.rate_hz is not None else front_end.rate_hz
    check("rate_hz", 0 < rate_hz <= MAX_RATE_HZ, f"must be above 0, at most {MAX_RATE_HZ:g}")
    limits = wish.range_counts or front_end.range_counts
    in_order = limits is None or limits[0] < limits[1]
    check("range_counts", in_order, "must be the lowest and the highest count")
    leads = tuple(channel.lead for channel in channels)
    rule = front_end.lead_off
    hold = max(1, round(rule.for_s * rate_hz))
    signal = Signal(
        rate_hz=rate_hz,
        leads=leads,
        mv_per_count=tuple(_gain(channel, wish.frontend) for channel in channels),
        zero_count=tuple(channel.zero_count for channel in channels),
        electrodes=lambda: Electrodes(rule.rule, leads, limits, hold),
        highpass_hz=front_end.filters.highpass_hz,
    )
    columns = tuple(channel.column for channel in channels)
    return Declared(
        signal=signal,
        parser=_parser(wish, front_end, columns, rate_hz, messages=messages),
        baud=front_end.baud,
        least_rate_hz=front_end.least_rate_hz,
        start=front_end.start.encode("latin-1"),
        stop=front_end.stop.encode("latin-1"),
    )


def plain(leads: tuple[str, ...], rate_hz: float, mv_per_unit: tuple[float, ...]) -> Signal:
    """A signal whose source tells of electrodes in no way."""
    return Signal(
        rate_hz=rate_hz,
        leads=leads,
        mv_per_count=mv_per_unit,
        zero_count=(0.0,) * len(leads),
        electrodes=lambda: Electrodes("marker", leads, None, 1),
    )


def check(key: str, holds: bool, message: str) -> None:
    """Raises BadOptionError for an option that cannot be."""
    if not holds:
        raise BadOptionError(key, message)


def _front_end(wish: Wish) -> FrontEnd:
    """The one that is named, or plain lines as the run file alone says them."""
    if wish.frontend:
        try:
            return load(wish.frontend)
        except ConfigError as exc:
            raise BadOptionError("frontend", str(exc)) from exc
    for key in ("rate_hz", "mv_per_count"):
        check(key, getattr(wish, key) is not None, "is missing: give it, or name a frontend")
    taken = (at for at in range(len(wish.leads) + 1) if at != wish.t_us_column)
    channels = tuple(Channel(lead, at) for lead, at in zip(wish.leads, taken, strict=False))
    return FrontEnd(
        "", "", "lines", wish.rate_hz or 1.0, (), channels, lead_off=LeadOffRule(marker="!")
    )


def _channels(wish: Wish, front_end: FrontEnd) -> tuple[Channel, ...]:
    """The columns that are used, under the names that they shall have."""
    known = {channel.column: channel for channel in front_end.channel}
    if wish.columns:
        count = len(wish.leads)
        check("columns", len(wish.columns) == count, f"must be {count}, one for each of leads")
        most = MAX_COLUMNS if front_end.framing == "lines" else _width(front_end)
        fits = all(0 <= column < most and column != wish.t_us_column for column in wish.columns)
        check("columns", fits, f"must be 0 to {most - 1}, and not t_us_column")
        pairs = zip(wish.leads, wish.columns, strict=True)
        found = [(lead, known.get(at, front_end.channel[0]), at) for lead, at in pairs]
    else:
        found = [(lead, channel, channel.column) for lead, channel in _named(wish, front_end)]
    return tuple(
        Channel(
            lead,
            column,
            channel.mv_per_count if wish.mv_per_count is None else wish.mv_per_count,
            channel.zero_count if wish.zero_count is None else wish.zero_count,
        )
        for lead, channel, column in found
    )


def _named(wish: Wish, front_end: FrontEnd) -> list[tuple[str, Channel]]:
    """The channels that `leads` picks by name; where there are as many, it renames them."""
    channels = front_end.channel
    names = [channel.lead for channel in channels]
    leads = wish.leads or tuple(names)
    try:
        return [(lead, channels[find_lead(lead, names)]) for lead in leads]
    except LookupError as exc:
        if len(leads) == len(channels):
            return list(zip(leads, channels, strict=True))
        raise BadOptionError("leads", f"{exc}; name the wired ones with columns beside") from exc


def _width(front_end: FrontEnd) -> int:
    if front_end.framing == "bitalino":
        return front_end.bitalino_channels
    return max(channel.column for channel in front_end.channel) + 1


def _gain(channel: Channel, frontend: str) -> float:
    gain, zero = channel.mv_per_count, channel.zero_count
    if gain is None:
        why = f"is missing: it depends on how '{frontend}' is set up, and nothing tells it"
        raise BadOptionError("mv_per_count", why)
    fits = 0 < abs(gain) <= MAX_MV_PER_COUNT
    check("mv_per_count", fits, "must be the millivolts in one count, and not 0")
    check("zero_count", abs(zero) <= 1e12, "must be the count that means 0 mV")
    return gain


def _parser(
    wish: Wish, front_end: FrontEnd, columns: tuple[int, ...], rate_hz: float, *, messages: bool
) -> Callable[[], Parser]:
    packets = _packets(front_end, columns)
    if packets is not None:
        return lambda: PacketParser(packets, rate_hz)
    clock = front_end.t_us_column if wish.t_us_column is None else wish.t_us_column
    check("t_us_column", clock is None or 0 <= clock < MAX_COLUMNS, "must be 0 to 63")
    marker = front_end.lead_off.marker if wish.off_marker is None else wish.off_marker
    limits = wish.range_counts or front_end.range_counts
    lines = LineFormat(columns, clock, not wish.columns, marker, limits, rate_hz)
    return lambda: LineParser(lines, messages=messages)


def _packets(front_end: FrontEnd, columns: tuple[int, ...]) -> PacketFormat | None:
    if front_end.framing == "cyton":
        return CytonFormat(columns)
    if front_end.framing == "bitalino":
        return BitalinoFormat(front_end.bitalino_channels, columns)
    if front_end.framing == "ces" and front_end.ces:
        ces = front_end.ces
        return CesFormat(
            kind=ces.type,
            lengths=ces.lengths,
            layout=ces.layout,
            samples=ces.samples,
            columns=columns,
            others=ces.others,
        )
    return None
