"""Source `brainflow`: any board that BrainFlow knows."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numpy as np

from edge_runtime.errors import ConfigError, MissingExtraError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.framing.electrodes import Reading
from edge_runtime.framing.events import Bad, Skipped
from edge_runtime.framing.order import Order
from edge_runtime.tables import nearest

from .arrival import RateWatch
from .declared import check, plain
from .live_frames import LiveFrames
from .stamped import StampedClock

BUFFER_SAMPLES = 45_000
POLL_S = 0.02  # BrainFlow has no way to wait for samples
MV_PER_UV = 1e-3
_COUNTER_MODULO = 256  # of the package numbers of its boards; see `package_num`


class Brainflow:
    """A live source: channels of a board as millivolts.

    Args:
        name: how results name this source.
        board: BrainFlow's name of it, "CYTON_BOARD" for example; "SYNTHETIC_BOARD" needs none.
        leads: names of the leads, one per column.
        columns: which of the board's channels, from 0; empty: the first ones.
        serial_port: of boards on a port or dongle.
        mac_address: of boards by Bluetooth.
        ip_address: of boards on the network.
        ip_port: of boards on the network.
        serial_number: of boards that are told apart by it.
        file: of the PLAYBACK_FILE_BOARD.
        master_board: of the PLAYBACK_FILE_BOARD and the STREAMING_BOARD: whose data it is.
        mv_per_unit: millivolts in what BrainFlow gives, which is microvolts.
        chunk_s: length of a frame.
        silence_s: so long without a sample means that the board is lost; 0 means never.

    Lost samples are seen by the board's package numbers, where it has them.
    """

    live = True

    def __init__(
        self,
        *,
        name: str,
        board: str,
        leads: tuple[str, ...],
        columns: tuple[int, ...] = (),
        serial_port: str = "",
        mac_address: str = "",
        ip_address: str = "",
        ip_port: int = 0,
        serial_number: str = "",
        file: str = "",
        master_board: str = "",
        mv_per_unit: float = MV_PER_UV,
        chunk_s: float = 0.04,
        silence_s: float = 5.0,
    ) -> None:
        check("board", bool(board), "must be BrainFlow's name of a board")
        check("leads", bool(leads), "must name one lead per column")
        matching = not columns or len(columns) == len(leads)
        check("columns", matching, f"must be {len(leads)}, one for each of leads")
        check("columns", all(column >= 0 for column in columns), "must be 0 or more")
        known = math.isfinite(mv_per_unit) and mv_per_unit != 0
        check("mv_per_unit", known, "must be the millivolts in one unit, and not 0")
        check("silence_s", 0 <= silence_s < 1e9, "must be seconds, or 0 for never")
        self.name = name
        self._board_name, self._master_name = board, master_board
        self._leads, self._columns = leads, columns or tuple(range(len(leads)))
        self._inputs: dict[str, Any] = {
            "serial_port": serial_port,
            "mac_address": mac_address,
            "ip_address": ip_address,
            "ip_port": ip_port,
            "serial_number": serial_number,
            "file": file,
        }
        self._mv_per_unit, self._silence_s = mv_per_unit, silence_s
        self._where = f"brainflow {board}"
        self._frames = LiveFrames(self._where, name, chunk_s)
        self._pause = threading.Event()
        self._shim: Any = None
        self._error: type[Exception] = OSError

    @property
    def tally(self) -> dict[str, int]:
        """How many samples came, are missing, bad, duplicate, out of order."""
        return dict(self._frames.tally)

    def open(self) -> None:
        """Start the board. Raises MissingExtraError, ConfigError, SourceLostError."""
        try:
            from brainflow.board_shim import BoardShim, BrainFlowInputParams
            from brainflow.exit_codes import BrainFlowError
        except ImportError as exc:
            raise MissingExtraError("source brainflow", "brainflow", exc) from exc
        self.close()
        self._error = BrainFlowError
        BoardShim.disable_board_logger()
        inputs = BrainFlowInputParams()
        for key, value in self._inputs.items():
            setattr(inputs, key, value)
        identity = _board_id(self._board_name)
        described = _board_id(self._master_name) if self._master_name else identity
        if self._master_name:
            inputs.master_board = described
        self._facts(BoardShim, described)
        shim = BoardShim(identity, inputs)
        try:
            shim.prepare_session()
            self._shim = shim
            shim.start_stream(BUFFER_SAMPLES)
        except BrainFlowError as exc:
            self.close()
            raise SourceLostError(f"{self._where}: {_line(exc)}") from exc
        self._heard_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """See `LiveFrames.read`. Raises SourceLostError when the board is gone or not open."""
        return self._frames.read(timeout_s, self._receive)

    def close(self) -> None:
        shim, self._shim = self._shim, None
        if shim is not None and shim.is_prepared():
            try:
                shim.release_session()
            except self._error:
                return  # the board is gone already

    def _facts(self, board_shim: Any, board: int) -> None:
        """What BrainFlow says of the board."""
        try:
            rate_hz = float(board_shim.get_sampling_rate(board))
            channels = board_shim.get_exg_channels(board)
            self._stamp_row = board_shim.get_timestamp_channel(board)
            self._counter_row = board_shim.get_package_num_channel(board)
        except self._error as exc:
            raise ConfigError(f"{self._where}: gives no biosignal: {_line(exc)}") from exc
        if max(self._columns) >= len(channels):
            raise ConfigError(f"{self._where}: columns: it has {len(channels)} channels")
        self._rows = [channels[column] for column in self._columns]
        self._order, self._clock = Order(_COUNTER_MODULO), StampedClock(rate_hz)
        self._watch = RateWatch(self._where, rate_hz)
        self._period_ns = 1e9 / rate_hz
        gains = (self._mv_per_unit,) * len(self._leads)
        self._frames.begin(plain(self._leads, rate_hz, gains))

    def _receive(self, timeout_s: float) -> bool:
        if self._shim is None:
            raise SourceLostError(f"{self._where}: is not open")
        until_s = time.monotonic() + timeout_s
        try:
            while not self._shim.get_board_data_count() and time.monotonic() < until_s:
                self._pause.wait(min(POLL_S, timeout_s))
            data = self._shim.get_board_data()
        except self._error as exc:
            raise SourceLostError(f"{self._where}: {_line(exc)}") from exc
        now_s = time.monotonic()
        if not data.shape[1]:
            if 0 < self._silence_s <= now_s - self._heard_s:
                raise SourceLostError(f"{self._where}: silent for {now_s - self._heard_s:.1f} s")
            return False
        self._heard_s = now_s
        self._watch.add(data.shape[1], round(now_s * 1e9))
        self._take(data, round(now_s * 1e9))
        return True

    def _take(self, data: Any, now_ns: int) -> None:
        """Hand on a batch, (rows, samples)."""
        shift_ns = time.time_ns() - time.monotonic_ns()
        counters = data[self._counter_row].astype(np.int64).tolist()
        steps = self._order.steps(counters, now_ns, self._period_ns)
        stamps = (data[self._stamp_row] * 1e9).astype(np.int64) - shift_ns
        for values, stamp_ns, step in zip(
            data[self._rows].T.tolist(), stamps.tolist(), steps, strict=True
        ):
            if step <= 0:
                self._frames.add(Skipped("out-of-order" if step else "duplicate"))
                continue
            time_ns, missing = self._clock.place(stamp_ns, step)
            if all(map(math.isfinite, values)):
                self._frames.add(Reading(tuple(values), time_ns, bool(missing)), missing)
            else:
                self._frames.add(Bad(1, ascii(values)[:40]))


def _board_id(name: str) -> int:
    """BrainFlow's number of a board. Raises ConfigError naming the nearest."""
    from brainflow.board_shim import BoardIds

    known = {board.name: int(board) for board in BoardIds}
    if name not in known:
        near = nearest(name.upper(), list(known))
        hint = f"did you mean '{near}'?" if near else "see BoardIds in its manual"
        raise ConfigError(f"brainflow: there is no board '{name}'; {hint}")
    return known[name]


def _line(exc: Exception) -> str:
    return " ".join(str(exc).split()).lower() or type(exc).__name__
