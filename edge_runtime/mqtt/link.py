"""The way to a broker: which version of MQTT, the present session, and a wait that can be woken.

A link is owned by the thread that calls `connect` and `wait`; `wake` may be called by any.
"""

from __future__ import annotations

import logging
import os
import select
import time
from typing import Literal, TypeAlias

from .client import LinkDownError, NotSpokenError, Version
from .login import Login
from .session import Session, Terms

log = logging.getLogger(__name__)

Choice: TypeAlias = Literal["auto", "5", "3.1.1"]

TICK_S = 1.0  # how often the keepalive is looked after, and the longest wait


class Link:
    """See the module.

    Raises ConfigError for a password file or a certificate that cannot be used.
    """

    def __init__(self, login: Login, terms: Terms, protocol: Choice = "auto") -> None:
        self._login = login
        self._terms = terms
        self._choice: Choice = protocol
        self._secrets = (login.read_password(), login.context())
        self.protocol = ""  # of the last session; "" before the first
        self._only_311 = False
        self._fell_back = ""
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

        Raises LinkDownError; takes at most some fifteen seconds.
        """
        self.drop()
        if self._choice != "auto":
            self._session = self._open(self._choice)
        elif self._only_311:
            self._session = self._open("3.1.1")
        else:
            self._session = self._newest()
        self.protocol = self._session.version
        return self._session

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

    def _open(self, version: Version, *, probing: bool = False) -> Session:
        return Session(self._login, self._secrets, self._terms, version, probing=probing)

    def _newest(self) -> Session:
        try:
            session = self._open("5", probing=True)
        except NotSpokenError as exc:
            session = self._open("3.1.1")
            self._only_311 = exc.sure
            if str(exc) != self._fell_back:
                self._fell_back = str(exc)
                log.warning("%s does not speak MQTT 5 (%s): using 3.1.1", self._login.address, exc)
        else:
            self._fell_back = ""
        return session

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
