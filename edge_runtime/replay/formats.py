"""In which form a replay is sent: that of a declared front end, or plain lines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edge_runtime import frontend
from edge_runtime.errors import ConfigError
from edge_runtime.frontend import Channel, FrontEnd

from .encode_bitalino import Bitalino
from .encode_ces import Ces
from .encode_cyton import Cyton
from .encode_text import Lines
from .wire_format import Converter, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN = {
    "lines": "counts of 1 uV between commas, a line per sample",
    "timed-lines": "the same after the board's clock in microseconds",
}
MICROVOLT = 0.001
_FULL = {"cyton": (1 << 23) - 1, "bitalino": 1023, "ces": (1 << 31) - 1, "lines": (1 << 31) - 1}


def plain(name: str, leads: Sequence[str], rate_hz: float) -> FrontEnd:
    """Plain lines of the leads and the rate of a record."""
    first = 1 if name == "timed-lines" else 0
    return FrontEnd(
        name=name,
        title=PLAIN[name],
        framing="lines",
        rate_hz=rate_hz,
        sources=(),
        channel=tuple(Channel(lead, at, MICROVOLT) for at, lead in enumerate(leads, start=first)),
        t_us_column=0 if first else None,
        lead_off=frontend.LeadOffRule("marker", "!"),
    )


def scaled(front: FrontEnd, mv_per_count: float | None) -> FrontEnd:
    """With a gain for the channels that declare none. Raises ConfigError when they need one."""
    if mv_per_count is None and any(one.mv_per_count is None for one in front.channel):
        raise ConfigError(
            f"--as {front.name}: its gain hangs on how the chip is set up: give the millivolts "
            "in a count, --mv-per-count 0.001, and the same in the run file"
        )
    channels = tuple(replace(one, mv_per_count=mv_per_count) for one in front.channel)
    return replace(front, channel=channels) if mv_per_count is not None else front


def encoder(front: FrontEnd) -> Encoder:
    """What makes the packets of a front end."""
    converter = _converter(front)
    if front.framing == "ces" and front.ces is not None:
        return Ces(converter, front.ces)
    if front.framing == "cyton":
        return Cyton(converter)
    if front.framing == "bitalino":
        return Bitalino(converter, front.bitalino_channels)
    return Lines(converter, front.t_us_column, front.lead_off.marker)


def _converter(front: FrontEnd) -> Converter:
    full = _FULL[front.framing]
    low, high = front.range_counts or (-full - 1, full)
    return Converter(
        columns=tuple(one.column for one in front.channel),
        mv_per_count=tuple(one.mv_per_count or MICROVOLT for one in front.channel),
        zero_count=tuple(one.zero_count for one in front.channel),
        low=low,
        high=high,
        off_count=0 if front.lead_off.rule == "zeros" else int(high),
    )
