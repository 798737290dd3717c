"""The way to a broker: which of several, which version of MQTT, and a wait that can be woken.

A link is owned by the thread that calls `connect` and `wait`; `wake` may be called by any.
"""

from __future__ import annotations

import functools
import logging
import os
import select
import time
from dataclasses import replace
from typing import Literal, TypeAlias

from .client import (
    WILL_NOT_RETAINED,
    WILL_QOS_TOO_HIGH,
    LinkDownError,
    NotSpokenError,
    Version,
)
from .credentials import Credentials
from .login import Address, Login
from .session import Session
from .terms import Terms

log = logging.getLogger(__name__)

Choice: TypeAlias = Literal["auto", "5", "3.1.1"]

TICK_S = 1.0  # how often the keepalive is looked after, and the longest wait


class Link:
    """See the module.

    Raises ConfigError for a password file or a certificate that cannot be used.
    """

    def __init__(self, login: Login, terms: Terms, protocol: Choice = "auto") -> None:
        self.address = login.address  # of the broker in use, or tried last
        self.protocol = ""  # of the last session; "" before the first
        self._logins = [login.at(address) for address in login.addresses]
        self._next = 0  # which of them to try
        self._tried = 0  # attempts since the last that succeeded
        self._hopeless = False  # every attempt of this round was
        self._credentials = Credentials(login)
        self._terms = terms
        self._choice: Choice = protocol
        self._only_311: set[Address] = set()
        self._told: dict[Address, set[str]] = {address: set() for address in login.addresses}
        self._session: Session | None = None
        self._tick_at = 0.0
        self._woken = False
        self._asleep = False
        self._bell_out, self._bell_in = os.pipe()
        os.set_blocking(self._bell_out, False)
        os.set_blocking(self._bell_in, False)
        self._bell = select.poll()
        self._bell.register(self._bell_out, select.POLLIN)
        self._all = select.poll()
        self._all.register(self._bell_out, select.POLLIN)
        self._watched = (-1, 0)

    @property
    def session(self) -> Session:
        """The present session. Raises LinkDownError when there is none."""
        if self._session is None:
            raise LinkDownError("not connected")
        return self._session

    def connect(self) -> Session:
        """A new session, with the newest version that is allowed and spoken.

        Tries one broker: the one that worked last, and after each failure the next. Raises
        LinkDownError; takes at most some fifteen seconds.
        """
        self.drop()
        self._credentials.current()  # a file of ours that is broken is not the broker's failure
        login = self._logins[self._next]
        self.address = login.address
        try:
            session = self._session = self._negotiate(login)
        except LinkDownError as exc:
            self._count_failure(exc)
            raise
        self._tried = 0
        self.protocol = session.version
        self._terms = replace(self._terms, client_id=session.client_id)
        return session

    def set_will(self, topic: str, payload: bytes) -> None:
        """The will of the sessions from the next one on."""
        self._terms = replace(self._terms, will=(topic, payload))

    def wait(self, timeout_s: float, *, deaf: bool = False) -> None:
        """Wait for the broker or for `wake`, at most TICK_S; then read and write.

        `deaf` waits for `wake` alone and reads only when it did not come: answers that nobody
        waits for are then taken in batches. Raises LinkDownError when the connection has ended.
        """
        session = self.session
        self._watch(session)
        self._asleep = True
        none_due = not self._woken and not (session.unread and not deaf)
        poll = self._bell if deaf else self._all
        events = poll.poll(max(0.0, min(timeout_s, TICK_S)) * 1000 if none_due else 0)
        self._asleep = self._woken = False
        heard = deaf and not events
        for descriptor, flags in events:
            if descriptor == self._bell_out:
                os.read(self._bell_out, 64)
            else:
                heard = True
                if flags & select.POLLOUT:
                    session.write()
        if heard or session.unread:
            session.read()
        now = time.monotonic()
        if now >= self._tick_at:
            self._tick_at = now + TICK_S
            session.tick()
        if session.lost is not None:
            raise session.lost

    def wake(self) -> None:
        """Let `wait` return; costs a system call only when it sleeps."""
        self._woken = True
        if self._asleep:
            self._asleep = False
            os.write(self._bell_in, b"\0")

    def drop(self) -> None:
        """Forget the present session, if there is one."""
        if self._session is not None:
            self._unwatch()
            self._session.drop()
            self._session = None

    def hang_up(self, timeout_s: float = 1.0) -> None:
        """End the present session in good order."""
        if self._session is not None:
            self._unwatch()
            self._session.hang_up(timeout_s)
            self._session = None

    def close(self) -> None:
        """Give everything back; nothing may be called afterwards."""
        self.drop()
        os.close(self._bell_in)
        os.close(self._bell_out)

    def _count_failure(self, exc: LinkDownError) -> None:
        """Turn to the next broker, at once while this round of them is not over."""
        count = len(self._logins)
        self._hopeless = exc.hopeless and (self._hopeless or self._tried % count == 0)
        self._tried += 1
        self._next = (self._next + 1) % count
        exc.more = self._tried % count > 0
        exc.hopeless = self._hopeless and not exc.more

    def _negotiate(self, login: Login) -> Session:
        if self._choice != "auto":
            return self._open(login, self._choice)
        if login.address in self._only_311:
            return self._open(login, "3.1.1")
        try:
            return self._open(login, "5", probing=True)
        except NotSpokenError as exc:
            session = self._open(login, "3.1.1")
            if exc.sure:
                self._only_311.add(login.address)
            self._tell(login.address, f"it does not speak MQTT 5 ({exc}): using 3.1.1")
            return session

    def _open(self, login: Login, version: Version, *, probing: bool = False) -> Session:
        """Connect; with a milder will where the broker takes only such a one."""
        terms, secrets = self._terms, self._credentials.current()
        tell = functools.partial(self._tell, login.address)
        while True:
            try:
                return Session(login, secrets, terms, version, tell=tell, probing=probing)
            except LinkDownError as exc:
                if exc.code == WILL_QOS_TOO_HIGH and terms.will_qos > 0:
                    terms = replace(terms, will_qos=0)
                elif exc.code == WILL_NOT_RETAINED and terms.will_retained:
                    terms = replace(terms, will_retained=False)
                else:
                    raise
                tell(f"it does not take our last will as it is ({exc})")

    def _tell(self, address: Address, text: str) -> None:
        """Say it once."""
        if text not in self._told[address]:
            self._told[address].add(text)
            log.warning("%s: %s", address, text)

    def _watch(self, session: Session) -> None:
        flags = select.POLLIN | (select.POLLOUT if session.clogged else 0)
        wanted = (session.fileno(), flags)
        if wanted != self._watched:
            self._all.register(*wanted)
            self._watched = wanted

    def _unwatch(self) -> None:
        if self._watched[0] != -1:
            self._all.unregister(self._watched[0])
            self._watched = (-1, 0)
