"""The course of an update in a running pipeline, followed by a thread beside the loop.

    validated -> loading -> shadow -> (canary) -> trial -> committed
                    |          |          |         |
                    +----------+----------+---------+---> rejected or rolled back: the old one

Written as generators of pauses: `run` goes on for as long as somebody asks for the next one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from edge_runtime.errors import EdgeRunError
from edge_runtime.update_state import ShadowReport, UpdateState

from . import jury
from .desk import persisted
from .evidence import Baseline, Outputs, baseline
from .jury import TICK_S, stateful
from .probation import Rules
from .shadow import Shadow, attempt
from .stages import Alone, Shadowed, Trial

if TYPE_CHECKING:
    from edge_runtime.model import Model

    from .desk import Begun, Desk

log = logging.getLogger(__name__)

RETRY_S = 10.0  # after an active model that cannot be loaded
LOAD_S = 120.0  # a load that takes longer never ends

Pauses: TypeAlias = Generator[float, None, None]
Stage: TypeAlias = Alone | Shadowed | Trial


class Course:
    """See the module. The loop reads `now`, and sets it to `next` between two frames."""

    def __init__(
        self, live: Model, desk: Desk, rules: Rules, hung: Callable[[], None], poll_s: float
    ) -> None:
        self.now: Stage = Alone(live)
        self.next: Stage = self.now
        self.update: UpdateState = desk.state()
        self.turns = 0  # of the loop
        self.stuck = False  # a candidate's thread never returns
        self._news_at = 0  # the turn before which there was news
        self._desk, self._rules, self._hung, self._poll_s = desk, rules, hung, poll_s
        self._begun: Begun | None = None
        self._left: list[Model] = []  # beside the live one; to be closed
        self._shadow: Shadow | None = None

    def start(self, live: Model, begun: Begun | None) -> None:
        """What speaks first; `begun` when that is a candidate on trial."""
        self.update, self._begun = self._desk.state(), begun
        self.now = self.next = Alone(live) if begun is None else Trial(live, None)
        if begun is not None and isinstance(self.next, Trial):
            self.next.evidence.results = begun.results
            self.next.evidence.before_s = begun.seconds
        self._news_at = self.turns

    def run(self) -> Iterator[float]:
        """For ever."""
        if self._begun is not None and isinstance(self.next, Trial):
            yield from self._resume(self._begun, self.next)
        while True:
            wish = self._desk.look()
            if wish.kind == "try" and isinstance(self.next, Alone):
                yield from self._try(wish.digest, self.next)
            elif wish.kind == "follow":
                yield from self._follow(wish.digest)
            if self.update.news and self.turns > self._news_at + 1:
                yield from persisted(self._desk.told)
                self.update = self.update._replace(news=False)
            yield self._poll_s

    @property
    def trying(self) -> bool:
        """Whether a candidate is loaded, or being loaded."""
        return self._shadow is not None or isinstance(self.next, Trial)

    def progress(self, now_s: float) -> tuple[int, float]:
        """Results and seconds of the trial under way; zeros without."""
        if not isinstance(self.next, Trial):
            return 0, 0.0
        seen = self.next.evidence
        return seen.results, now_s - seen.since_s + seen.before_s

    def close(self) -> None:
        """Close every model, but one that does not return."""
        if self._shadow is not None and not self._shadow.stop():
            self.stuck = True
            self._left.remove(self._shadow.model)
        for stage in (self.now, self.next):
            self._left += [stage.speaker]
        for model in {id(model): model for model in self._left}.values():
            model.close()

    def _try(self, digest: str, live: Alone) -> Pauses:
        """One candidate, from its load to its verdict."""
        yield from persisted(lambda: self._desk.enter(digest))
        self._say("loading")
        shadow = yield from self._load(digest)
        if isinstance(shadow, str):
            yield from self._refuse(f"load: {shadow}", live, None)
            return
        candidate, before = shadow.model, baseline(live.times, Outputs())
        if self._rules.shadow_s or self._rules.shadow_frames:
            stage = Shadowed(live, shadow)
            self._put(stage, "shadow")
            wanted = self._wants("try", digest)
            finding = yield from jury.shadow(shadow, stage.outputs, self._rules, wanted, self._say)
            before = baseline(live.times, stage.outputs)
            if finding.verdict != "good":
                yield from self._refuse(finding.reason, live, shadow.model)
                return
        yield from self._joined(shadow)
        if self._rules.canary_percent and not stateful(candidate):
            trial = Trial(candidate, live.speaker, self._rules.canary_percent)
            self._put(trial, "canary")
            wanted = self._wants("try", digest)
            finding = yield from jury.canary(trial, before, self._rules, wanted)
            if finding.verdict != "good":
                yield from self._refuse(finding.reason, live, candidate)
                return
        begins = yield from persisted(lambda: self._desk.begin(before))
        if not begins:
            yield from self._refuse("", live, candidate)
            return
        candidate.forget()
        trial = Trial(candidate, live.speaker)
        self._put(trial, "trial")
        yield from self._prove(digest, trial, before, live)

    def _prove(self, digest: str, trial: Trial, before: Baseline, old: Alone | None) -> Pauses:
        """Probation, and what follows from it."""
        wanted = self._wants("stay", digest)
        finding = yield from jury.trial(trial, before, self._rules, wanted)
        if finding.verdict != "good":
            back = Alone(trial.other) if trial.other is not None and old is None else old
            yield from self._refuse(finding.reason, back, trial.candidate)
            return
        yield from persisted(self._desk.commit)
        log.info("%s stays: %s", trial.candidate.manifest.name, finding.reason)
        self._put(Alone(trial.candidate, trial.evidence.times))
        yield from self._settled()
        trial.candidate.watch = None
        self._drop(trial.other)
        self._verdict(finding.reason)

    def _refuse(self, reason: str, back: Alone | None, candidate: Model | None) -> Pauses:
        """The old model speaks again; then the desk is told, and a model that hangs is ended.

        No reason: somebody else decided. `back` is None where the old model is not loaded: it is
        the desk's wish from now on.
        """
        hangs = isinstance(self.now, Trial) and self.now.evidence.busy_s > 0
        if back is not None:
            self._put(back)
        if reason:
            log.error("the candidate is taken back: %s", reason)
            if hangs and attempt(lambda: self._desk.refuse(reason)) is not None:
                self._hung()  # what is counted at the start will do
            yield from persisted(lambda: self._desk.refuse(reason))
        self._verdict()
        if hangs and reason.startswith("hang"):
            self._hung()
        if back is None:
            return
        yield from self._settled()
        back.speaker.watch = None
        if self._shadow is None or self._shadow.stop():
            self._shadow = None
            self._drop(candidate)
        else:
            log.error("the candidate's thread never returns: left behind until the next start")

    def _resume(self, begun: Begun, trial: Trial) -> Pauses:
        """Go on with the trial that an earlier life began, the old model beside it again."""
        loaded = yield from self._load(begun.old)
        if isinstance(loaded, str):
            log.warning("the old model cannot be loaded: %s", loaded)
        else:
            yield from self._joined(loaded)
            trial.join(loaded.model)
        yield from self._prove(self._desk.look().digest, trial, begun.before, None)

    def _follow(self, digest: str) -> Pauses:
        """Somebody made another model the active one: it speaks as soon as it is loaded."""
        loaded = yield from self._load(digest)
        if isinstance(loaded, str):
            log.error("the active model cannot be loaded: %s", loaded)
            yield RETRY_S
            return
        yield from self._joined(loaded)
        before = self.next
        self._put(Alone(loaded.model))
        yield from persisted(lambda: self._desk.follow(digest))
        self._verdict()
        yield from self._settled()
        self._drop(before.speaker)

    def _joined(self, shadow: Shadow) -> Pauses:
        """Until a shadow's thread has left its model alone."""
        while not shadow.stop():
            yield TICK_S
        shadow.model.watch = self._shadow = None

    def _load(self, digest: str) -> Generator[float, None, Shadow | str]:
        """A model, open, in a thread that may shadow with it; or why it cannot be had."""
        try:
            model = self._desk.load(digest)
        except EdgeRunError as exc:
            return str(exc)
        self._left.append(model)
        self._shadow = shadow = Shadow(model, comparable=not stateful(model))
        shadow.start()
        began_s = time.monotonic()
        while not shadow.ready:
            if shadow.error is not None:
                return str(shadow.error)
            if time.monotonic() - began_s > LOAD_S:
                return f"hang: not loaded within {LOAD_S:g} s"
            yield TICK_S
        return shadow

    def _wants(self, kind: str, digest: str) -> Callable[[], bool]:
        """Whether the desk still has this wish."""
        return lambda: self._desk.look() == (kind, digest)

    def _put(self, stage: Stage, word: str = "") -> None:
        self.next = stage
        if word:
            self._say(word)

    def _settled(self) -> Pauses:
        """Until the loop uses the next stage."""
        while self.now is not self.next:
            yield TICK_S

    def _drop(self, model: Model | None) -> None:
        if model is not None:
            model.close()
            with suppress(ValueError):
                self._left.remove(model)

    def _verdict(self, reason: str = "") -> None:
        self._news_at = self.turns
        said = self._desk.state()
        self.update = said._replace(reason=said.reason or reason, shadow=self.update.shadow)

    def _say(self, word: str, shadow: ShadowReport | None = None) -> None:
        self.update = self._desk.state()._replace(state=word, shadow=shadow or self.update.shadow)
