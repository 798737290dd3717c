"""ECG frames of Polar's measurement data service (PMD), as the H10 notifies them.

    type | time stamp, 64 bit LE | frame type | n x 24 bit LE, microvolts

After Polar's library polar-ble-sdk: PmdDataFrame, EcgData, PmdSetting,
PmdControlPointResponse, TimeSystemExplained.md. The stamp is that of the last
sample, in nanoseconds since 2000-01-01 by the sensor's own clock.
"""

from __future__ import annotations

from typing import NamedTuple

ECG = 0
RATE_HZ = 130.0
MV_PER_COUNT = 1e-3
_HEAD_BYTES = 10
MAX_SAMPLES = 256
_PERIOD_NS = round(1e9 / RATE_HZ)
_RESTART_NS = 1_000_000_000  # a clock that falls by more began anew

CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
# Request "start measurement": type ECG; setting 0 (rate), one value, 130; setting 1 (resolution),
# one value, 14.
START = bytes((0x02, ECG, 0x00, 0x01, 0x82, 0x00, 0x01, 0x01, 0x0E, 0x00))
STOP = bytes((0x03, ECG))

_ERRORS = {  # PmdResponseCode in PmdControlPointResponse.swift
    1: "it does not know the command",
    2: "it does not measure ECG",
    3: "it does not support that",
    5: "it does not take a parameter",
    6: "it measures already: is another program connected?",
    7: "it does not know the resolution",
    8: "it does not know the rate",
    12: "it is not in a state to measure",
    13: "it is charging",
}


class EcgFrame(NamedTuple):
    """Microvolts, and the sensor's time of the last of them."""

    last_ns: int
    microvolts: tuple[int, ...]


def parse(raw: bytes) -> EcgFrame | None:
    """The frame of a notification; None for one of another measurement. Raises ValueError."""
    if not raw or raw[0] != ECG:
        return None
    body = raw[_HEAD_BYTES:]
    if len(raw) < _HEAD_BYTES or raw[9] != 0:
        raise ValueError("is no ECG frame of type 0")
    if not body or len(body) % 3 or len(body) > 3 * MAX_SAMPLES:
        raise ValueError(f"ends inside a sample: {len(body)} bytes are not a multiple of 3")
    values = tuple(
        int.from_bytes(body[at : at + 3], "little", signed=True) for at in range(0, len(body), 3)
    )
    return EcgFrame(int.from_bytes(raw[1:9], "little"), values)


class SensorTime:
    """Where the samples of each frame lie in the sensor's time.

    Frames that follow each other are spread between their stamps, for the true rate is up to one
    percent from the nominal. Where firmware repeats a stamp, time is counted on.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None

    def place(self, frame: EcgFrame) -> tuple[list[int], int, bool]:
        """Times of the samples, how many are missing before, and whether time began anew."""
        count = len(frame.microvolts)
        nominal_ns = count * _PERIOD_NS
        begun_ns, end_ns, missing, restarted = self._last_ns, frame.last_ns, 0, False
        if begun_ns is not None and end_ns < begun_ns - _RESTART_NS:
            begun_ns, missing, restarted = None, 1, True
        if begun_ns is None:
            begun_ns = end_ns - nominal_ns
        slack_ns = 2 * _PERIOD_NS
        if end_ns - begun_ns > nominal_ns + slack_ns:
            missing = round((end_ns - begun_ns) / _PERIOD_NS) - count
            begun_ns = end_ns - nominal_ns
        elif end_ns - begun_ns < nominal_ns - slack_ns:
            end_ns = begun_ns + nominal_ns
        self._last_ns = end_ns
        step = (end_ns - begun_ns) / count
        return [begun_ns + round((at + 1) * step) for at in range(count)], missing, restarted


def refusal(raw: bytes) -> str:
    """Why the control point refuses what was asked; "" when it does not (F0, command, type, why).

    An answer that is shorter is none.
    """
    if len(raw) < 4 or raw[0] != 0xF0 or raw[3] == 0:
        return ""
    return _ERRORS.get(raw[3], f"error {raw[3]}")
