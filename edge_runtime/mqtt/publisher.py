"""An outbox and the sender that empties it, with the words they have for people: `alert`, `gap`."""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.errors import ConfigError, SinkError, UndeliveredError
from edge_runtime.notices import Notices, gap_key
from edge_runtime.outbox.outbox import Outbox
from edge_runtime.outcome import Events
from edge_runtime.wire import Encoder

from .plan import Counters, Plan
from .sender import Sender

if TYPE_CHECKING:
    from edge_runtime.frame import Identity, Info, Result
    from edge_runtime.outbox.gap import Gap
    from edge_runtime.outbox.options import Limits

    from .companion import Companion
    from .login import Login
    from .terms import Terms

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the results so far. A repeat after a lost connection is published twice."""

    published: int  # with alerts and gap records
    acknowledged: int  # the same
    dropped: int
    refused: int
    reconnects: int
    waiting: int


class Publisher:
    """See the module. `folder` is where the outbox's file is, if there is one."""

    def __init__(
        self,
        identity: Identity,
        *,
        login: Login,
        terms: Terms,
        plan: Plan,
        limits: Limits,
        folder: Path,
    ) -> None:
        self._login = login
        self._terms = terms
        self._plan = plan
        self._encoder = Encoder(identity)
        self._notices = Notices(identity)
        self.path = None if limits.durability == "memory" else folder / limits.file
        self._outbox = Outbox(
            limits, self.path, tell=self._tell, alarm=self._alarm, wake=self._wake
        )
        self._sender: Sender | None = None
        self._run = uuid.uuid4().hex[:16]
        self._alerts = itertools.count(1)
        self._closed = False

    @property
    def protocol(self) -> str:
        """The version of MQTT, 5 or 3.1.1; empty before the first connection."""
        return self._sender.protocol if self._sender else ""

    @property
    def delivery(self) -> Delivery:
        """The counters, now; they stay readable after `close`."""
        counters = self._sender.counters if self._sender else Counters()
        return Delivery(
            published=counters.published,
            acknowledged=counters.acknowledged,
            dropped=self._outbox.dropped,
            refused=self._outbox.refused,
            reconnects=counters.reconnects,
            waiting=self._outbox.size,
        )

    @property
    def full(self) -> bool:
        """Whether one more result would push another out."""
        return self._outbox.full

    def open(self, companions: Sequence[Companion]) -> None:
        """Find what waits since the last run, and start connecting. Raises ConfigError."""
        sender = Sender(
            self._login,
            self._terms,
            self._plan,
            self._outbox,
            alarm=self._alert,  # the log has it from the sender
            encode_info=self._encode_info,
            companions=companions,
        )
        try:
            self._outbox.open()
        except ConfigError:
            sender.close()
            raise
        if self._outbox.size:
            log.info("%d results wait since the last run", self._outbox.size)
        self._sender = sender
        sender.start()

    def put(self, result: Result, *, keep: bool, urgent: bool) -> None:
        """Accept a result. Raises SinkError when the sender thread died of a bug."""
        sender = self._running()
        topics, found = self._plan.topics, isinstance(result.outcome, Events)
        self._outbox.put(
            result.id,
            topics.event(result.source) if found else topics.result(result.source),
            self._encoder.result(result),
            source=result.source,
            seq=result.seq,
            version=result.model.version,
            keep=keep,
            urgent=urgent,
        )
        sender.wake()

    def announce(self, info: Info) -> None:
        """Publish what runs here, now and after every reconnect."""
        self._running().announce(info)

    def announce_again(self) -> None:
        """Publish the same once more."""
        self._running().announce_again()

    def close(self, drain_s: float) -> None:
        """Deliver what waits, for so long at most, publish `stopped`, leave.

        Raises UndeliveredError for what the next start will deliver, SinkError for what is lost.
        """
        if self._sender is None or self._closed:
            return
        self._closed = True
        self._sender.stop(drain_s)
        self._outbox.close()
        self._sender.close()
        done, kept = self.delivery, self._outbox.kept
        still = done.waiting - kept
        lost = still + done.dropped + done.refused
        why = f" ({self._sender.cause})" if done.waiting and self._sender.cause else ""
        where = self._sender.where
        if lost:
            raise SinkError(
                f"{where}: {lost} results not delivered{why}: {still} still waited, "
                f"{done.dropped} dropped, {done.refused} refused; {kept} are kept"
            )
        if kept:
            raise UndeliveredError(
                f"{where}: {kept} results not delivered{why}: they are kept in {self.path} and "
                "sent at the next start"
            )

    def _running(self) -> Sender:
        if self._sender is None or self._sender.ended:
            raise SinkError(f"{self._login.address}: the sender is not running")
        return self._sender

    def _wake(self) -> None:
        if self._sender:
            self._sender.wake()

    def _tell(self, gap: Gap) -> tuple[str, str, bytes]:
        return gap_key(gap), self._plan.topics.gap(gap.source), self._notices.gap(gap)

    def alarm(self, kind: str, text: str) -> None:
        """Tell a person, in the log and on `alert`."""
        self._alarm(kind, text, False)

    def _alarm(self, kind: str, text: str, cleared: bool) -> None:
        """Say it in the log and on `alert`; any thread may call it."""
        log.log(logging.WARNING if cleared else logging.ERROR, "%s: %s", kind, text)
        self._alert(kind, text, cleared)

    def _alert(self, kind: str, text: str, cleared: bool) -> None:
        key = f"{self._run}-alert-{next(self._alerts)}"
        payload = self._notices.alert(key, time.time_ns(), kind, text, cleared=cleared)
        self._outbox.put(key, self._plan.topics.alert, payload, keep=True, urgent=True)
        self._wake()

    def _encode_info(self, info: Info, protocol: str) -> bytes:
        return self._encoder.info(info, time.time_ns(), protocol)
