"""The rules that a command has to pass, in order, and the answers: a Companion of the sender."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import state
from edge_runtime.errors import BadOptionError, ConfigError, EdgeRunError
from edge_runtime.mqtt.message import Message, Post
from edge_runtime.tables import nearest
from edge_runtime.wire import Topics

from .audit import Audit
from .bucket import Bucket
from .ledger import Ledger
from .letter import Letter, MalformedError, read
from .options import CommandOptions, read_key
from .reply import Replies
from .verbs import Verb

if TYPE_CHECKING:
    from edge_runtime.frame import Identity, Info

log = logging.getLogger(__name__)

VALID_NS = 60_000_000_000  # a command may not be valid for longer than this
# 2026-01-01, before this was written: a clock that is behind it was never set.
WRITTEN_NS = 1_767_225_600_000_000_000
BURST = 5
_LONGEST = 64  # characters of a verb, and of what a sender says of itself
_CLAIMS = 4  # things that a sender may say of itself


class RefusedError(Exception):
    """A command is not obeyed; `reason` is one word."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Commands:
    """Obeys the verbs of `options`, which `verbs` knows how to run. See docs/commands.md.

    `open` before it is used, `close` afterwards. Raises BadOptionError for an unknown verb.
    """

    def __init__(
        self,
        identity: Identity,
        options: CommandOptions,
        verbs: Mapping[str, Verb],
        folder: Path,
        *,
        prefix: str = "edge",
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        for verb in options.verbs:
            if verb not in verbs:
                near = nearest(verb, tuple(verbs))
                hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(verbs)}"
                raise BadOptionError("commands", f"no verb '{verb}'; {hint}")
        self._root = Topics(identity, prefix).command
        self.filters = (f"{self._root}/+",) if options.verbs else ()
        self.accepted = 0
        self._identity = identity
        self._options = options
        self._known = {name: verbs[name] for name in options.verbs}
        self._verbs: Mapping[str, Verb] = {}  # none before `open`
        self._folder = folder
        self._wall_ns = wall_ns
        self._replies = Replies(identity, self._root, prefix)
        self._bucket = Bucket(options.per_minute, min(BURST, options.per_minute))
        self._audit = Audit(folder)
        self._key = b""
        self._ledger: Ledger | None = None

    @property
    def refused(self) -> Mapping[str, int]:
        """How many were refused since the start, by reason."""
        return dict(self._audit.counts)

    def open(self) -> None:
        """Read the key, and what was obeyed before.

        Raises ConfigError for a key or a folder that cannot be used. A full or failing disk and a
        damaged memory are logged, and commands refused until that is mended.
        """
        if not self._options.verbs:
            return
        if self._options.key_file:
            self._key = read_key(self._options.key_file)
        try:
            self._remember()
        except (OSError, ValueError) as exc:
            log.warning("commands are refused: %s", exc)
        self._verbs = self._known

    def close(self) -> None:
        """Write what the audit log has only counted so far."""
        self._audit.flush(self._wall_ns())

    def greet(self, info: Info) -> Iterable[Post]:  # noqa: ARG002 - the Companion's signature
        return ()

    def hear(self, message: Message) -> Iterable[Post]:
        root, _, verb = message.topic.rpartition("/")
        if root != self._root or not self._verbs:
            return ()
        now_s = time.monotonic()
        entry: dict[str, object] = {"verb": verb[:_LONGEST]}
        if message.retained:
            return self._ignore("retained", now_s, entry)
        if not self._bucket.take(now_s):
            large = len(message.payload) > self._options.size_max
            return self._ignore("too-large" if large else "too-many", now_s, entry)
        if message.user:
            entry["claims"] = {
                key[:_LONGEST]: value[:_LONGEST] for key, value in message.user[:_CLAIMS]
            }
        try:
            letter = self._read(verb, message.payload)
            entry |= {"id": letter.id, "counter": letter.counter}
            self._judge(verb, letter)
            self._enter(letter, now_s, entry)
        except RefusedError as exc:
            said = {**entry, "text": str(exc)}
            self._audit.refused(self._wall_ns(), now_s, exc.reason, said)
            return self._answer(message, verb, entry, reason=exc.reason, text=str(exc))
        return self._run(message, verb, letter, entry)

    def _ignore(self, reason: str, now_s: float, entry: Mapping[str, object]) -> Iterable[Post]:
        """Refuse without a look and without an answer: there may be any number of them."""
        self._audit.refused(self._wall_ns(), now_s, reason, entry)
        return ()

    def _read(self, verb: str, payload: bytes) -> Letter:
        """The command, if it is one that is known here. Raises RefusedError."""
        if len(payload) > self._options.size_max:
            most = self._options.size_max
            raise RefusedError("too-large", f"has {len(payload)} bytes; {most} are allowed")
        if verb not in self._verbs:
            raise RefusedError("verb-not-allowed", "the run file does not list this verb")
        try:
            letter = read(payload)
        except MalformedError as exc:
            raise RefusedError("malformed", str(exc)) from exc
        for key in letter.args:
            if key not in self._verbs[verb].args:
                raise RefusedError("malformed", f"args hold '{key}', which the verb does not know")
        return letter

    def _judge(self, verb: str, letter: Letter) -> None:
        """Whether it is in time, from whom it has to be, and new. Raises RefusedError."""
        ledger = self._remembered()
        now_ns = self._wall_ns()
        if now_ns < max(WRITTEN_NS, ledger.time_ns - VALID_NS):
            if not self._verbs[verb].read_only:
                raise RefusedError("clock-untrusted", "the clock of the device is not set")
        elif letter.expires_ns <= now_ns:
            raise RefusedError("expired", "came too late; or one of the two clocks is wrong")
        elif letter.expires_ns > now_ns + VALID_NS:
            raise RefusedError("expires-late", "is valid for more than 60 s by the device's clock")
        if not self._options.allow_unsigned:
            if not letter.signature:
                raise RefusedError("unsigned", "has no signature")
            expected = letter.sign(self._identity, verb, self._key).encode()
            if not hmac.compare_digest(
                expected, letter.signature.lower().encode("utf-8", "replace")
            ):
                raise RefusedError("wrong-signature", "is not signed for this, with this key")
        reason = ledger.refusal(letter)
        if reason:
            raise RefusedError(reason, "was had before, or is older than one that was")

    def _enter(self, letter: Letter, now_s: float, entry: Mapping[str, object]) -> None:
        """Remember it, then log it, each for good. Raises RefusedError when either fails."""
        now_ns = self._wall_ns()
        try:
            self._remembered().enter(letter, now_ns)
        except OSError as exc:
            raise RefusedError("not-remembered", f"could not be remembered: {exc}") from exc
        try:
            self._audit.accepted(now_ns, now_s, entry)
        except OSError as exc:
            raise RefusedError("not-logged", f"could not be logged: {exc}") from exc

    def _run(
        self, message: Message, verb: str, letter: Letter, entry: Mapping[str, object]
    ) -> Iterable[Post]:
        self.accepted += 1
        log.info("command %s accepted (id %s)", verb, letter.id)
        try:
            answer = self._verbs[verb].run(letter.args)
        except EdgeRunError as exc:
            log.warning("command %s failed: %s", verb, exc)
            self._audit.note(self._wall_ns(), {**entry, "failed": str(exc)})
            return self._answer(message, verb, entry, reason="failed", text=str(exc))
        return self._answer(message, verb, entry, answer=answer)

    def _answer(
        self, message: Message, verb: str, entry: Mapping[str, object], **what: object
    ) -> Iterable[Post]:
        if len(verb) > _LONGEST:
            return ()
        about = {"id": entry.get("id", ""), "accepted": "reason" not in what, **what}
        return (self._replies.post(message, verb, about),)

    def _remember(self) -> Ledger:
        """Raises ConfigError, OSError and ValueError."""
        state.ensure(self._folder)
        self._ledger = Ledger(self._folder)
        return self._ledger

    def _remembered(self) -> Ledger:
        """What was obeyed before; tried again at each command until it can be had."""
        try:
            return self._ledger or self._remember()
        except (OSError, ValueError, ConfigError) as exc:
            raise RefusedError("not-remembered", str(exc)) from exc
