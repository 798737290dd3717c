"""Source `polar`: the ECG of a Polar H10 chest strap by Bluetooth Low Energy."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from typing import Any

from edge_runtime.errors import MissingExtraError, SourceLostError
from edge_runtime.frame import Frame
from edge_runtime.framing import pmd
from edge_runtime.framing.electrodes import Reading
from edge_runtime.framing.events import Bad

from .arrival import ArrivalClock, RateWatch
from .declared import check, plain
from .live_frames import LiveFrames

HELD_MOST = 256  # notifications that wait: over two minutes
STOP_S = 5.0  # how long a strap may take to let go
_GONE = b""  # stands in the queue for the end of the connection


class Polar:
    """A live source: one lead at 130 Hz, in millivolts.

    Args:
        name: how results name this source.
        address: of the strap, "24:AC:AC:01:02:03"; empty: the first Polar H10 that is found.
        lead: what its one channel is called.
        connect_s: how long finding it and connecting may take.
        silence_s: so long without a frame means that it is lost; the first takes up to 30 s.
        chunk_s: length of a frame; the strap sends about half a second at once.

    Times are the strap's own, laid on this machine's clock by the earliest arrival. A strap that
    is not worn is not found.
    """

    live = True

    def __init__(
        self,
        *,
        name: str,
        address: str = "",
        lead: str = "MLII",
        connect_s: float = 20.0,
        silence_s: float = 40.0,
        chunk_s: float = 0.2,
    ) -> None:
        check("lead", bool(lead), "must be a name")
        check("connect_s", 0 < connect_s <= 120, "must be above 0, at most 120")
        check("silence_s", 0 <= silence_s < 1e9, "must be seconds, or 0 for never")
        self.name = name
        self._address, self._connect_s, self._silence_s = address, connect_s, silence_s
        self._signal = plain((lead,), pmd.RATE_HZ, (pmd.MV_PER_COUNT,))
        self._where = f"polar {address or 'H10'}"
        self._frames = LiveFrames(self._where, name, chunk_s, "is it a Polar H10?")
        self._watch = RateWatch(self._where, pmd.RATE_HZ)
        self._link: Link | None = None
        self._begin()

    @property
    def tally(self) -> dict[str, int]:
        """How many samples came, are missing, bad."""
        return dict(self._frames.tally)

    def open(self) -> None:
        """Connect and start. Raises MissingExtraError, SourceLostError."""
        try:
            import bleak
        except ImportError as exc:
            raise MissingExtraError("source polar", "polar", exc) from exc
        self.close()
        self._begin()
        self._link = Link(bleak, self._address, self._connect_s)
        try:
            self._link.open()
        except SourceLostError as exc:
            self.close()
            raise SourceLostError(f"{self._where}: {exc}") from exc
        self._heard_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """See `LiveFrames.read`. Raises SourceLostError when the strap is gone or not open."""
        return self._frames.read(timeout_s, self._receive)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _begin(self) -> None:
        self._times, self._clock = pmd.SensorTime(), ArrivalClock()
        self._watch.meter.restart()
        self._frames.begin(self._signal)
        self._heard_s = time.monotonic()

    def _receive(self, timeout_s: float) -> bool:
        if self._link is None:
            raise SourceLostError(f"{self._where}: is not open")
        try:
            arrival_ns, raw = self._link.arrived.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            quiet_s = time.monotonic() - self._heard_s
            if 0 < self._silence_s <= quiet_s:
                raise SourceLostError(f"{self._where}: silent for {quiet_s:.1f} s") from None
            return False
        if raw == _GONE:
            raise SourceLostError(f"{self._where}: is gone")
        self._heard_s = time.monotonic()
        self.take(raw, arrival_ns)
        return True

    def take(self, raw: bytes, arrival_ns: int) -> None:
        """Hand on what one notification holds."""
        try:
            frame = pmd.parse(raw)
        except ValueError as exc:
            self._frames.add(Bad(1, f"{raw[:12].hex(' ')} {exc}"))
            return
        if frame is None:
            return
        times, missing, restarted = self._times.place(frame)
        if restarted:
            self._clock.restart()
        self._clock.observe(times[-1], arrival_ns)
        self._watch.add(len(times) + missing, arrival_ns)
        for microvolts, elapsed_ns in zip(frame.microvolts, times, strict=True):
            time_ns = self._clock.time_ns(elapsed_ns)
            self._frames.add(Reading((microvolts,), time_ns, bool(missing)), missing)
            missing = 0


class Link:
    """The connection to a strap, in a thread with an event loop of its own.

    `arrived` gets each notification with its time of arrival, and at last an empty one.
    """

    def __init__(self, bleak: Any, address: str, connect_s: float) -> None:
        self.arrived: queue.Queue[tuple[int, bytes]] = queue.Queue(HELD_MOST)
        self._bleak, self._address, self._connect_s = bleak, address, connect_s
        self._loop = asyncio.new_event_loop()
        self._leave = asyncio.Event()
        self._ready = threading.Event()
        self._fault = ""
        self._thread = threading.Thread(target=self._run, name="polar", daemon=True)

    def open(self) -> None:
        """Returns when the strap measures. Raises SourceLostError."""
        self._thread.start()
        if not self._ready.wait(self._connect_s + STOP_S):
            raise SourceLostError("did not connect in time")
        if self._fault:
            raise SourceLostError(self._fault)

    def close(self) -> None:
        """Tell the strap to stop, and leave."""
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._measure())
        except (self._bleak.exc.BleakError, OSError, asyncio.TimeoutError) as exc:
            self._fault = " ".join(str(exc).split()) or "no answer: is Bluetooth on?"
        finally:
            self._ready.set()
            self._put(_GONE)
            self._loop.close()

    async def _measure(self) -> None:
        client = await self._connected()
        try:
            answered: asyncio.Queue[bytes] = asyncio.Queue()
            await client.start_notify(pmd.CONTROL, lambda _, raw: answered.put_nowait(bytes(raw)))
            await client.start_notify(pmd.DATA, lambda _, raw: self._put(bytes(raw)))
            await client.write_gatt_char(pmd.CONTROL, pmd.START, response=True)
            answer = await asyncio.wait_for(answered.get(), self._connect_s)
            self._fault = pmd.refusal(answer)
            self._ready.set()
            if not self._fault:
                await self._leave.wait()
                if client.is_connected:
                    await client.write_gatt_char(pmd.CONTROL, pmd.STOP, response=True)
        finally:
            await client.disconnect()

    async def _connected(self) -> Any:
        found: Any = self._address
        if not found:
            found = await self._bleak.BleakScanner.find_device_by_filter(
                lambda device, _: (device.name or "").startswith("Polar H10"), self._connect_s
            )
        if found is None:
            raise OSError("none was found: is it worn, and its electrodes wet?")
        client = self._bleak.BleakClient(found, disconnected_callback=lambda _: self._leave.set())
        await asyncio.wait_for(client.connect(), self._connect_s)
        return client

    def _put(self, raw: bytes) -> None:
        """Keep the newest: the oldest is dropped when nobody reads."""
        if self.arrived.full():
            with contextlib.suppress(queue.Empty):
                self.arrived.get_nowait()
        self.arrived.put_nowait((time.monotonic_ns(), raw))
