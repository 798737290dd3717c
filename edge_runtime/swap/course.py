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
from typing import TYPE_CHECKING, TypeAlias

from edge_runtime.update_state import ShadowReport, UpdateState

from . import jury
from .desk import persisted
from .evidence import Baseline, Outputs, baseline
from .jury import GONE, TICK_S, Judged, Wanted, stateful
from .loaded import Loaded
from .probation import Finding, Rules, hang
from .shadow import Shadow, attempt
from .stages import Alone, Shadowed, Trial

if TYPE_CHECKING:
    from edge_runtime.model import Model

    from .desk import Begun, Desk

log = logging.getLogger(__name__)

RETRY_S = 10.0  # after an active model that cannot be loaded

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
        self._news_at = 0  # the turn before which there was news
        self._desk, self._rules, self._hung, self._poll_s = desk, rules, hung, poll_s
        self._begun: Begun | None = None
        self._models = Loaded(live, desk.load)

    def start(self, live: Model, begun: Begun | None) -> None:
        """What speaks first; `begun` when that is a candidate on trial."""
        self.update, self._begun = self._desk.state(), begun
        self._models = Loaded(live, self._desk.load)
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
        models = self._models
        return models.shadow is not None or models.stuck or isinstance(self.next, Trial)

    @property
    def stuck(self) -> bool:
        """Whether a candidate's thread never returns."""
        return self._models.stuck

    def progress(self, now_s: float) -> tuple[int, float]:
        """Results and seconds of the trial under way; zeros without."""
        if not isinstance(self.next, Trial):
            return 0, 0.0
        seen = self.next.evidence
        return seen.results, now_s - seen.since_s + seen.before_s

    def close(self) -> None:
        """Close every model, but one that does not return."""
        self._models.close()

    def _try(self, digest: str, live: Alone) -> Pauses:
        """One candidate, from its load to its verdict."""
        yield from persisted(lambda: self._desk.enter(digest))
        self._say("loading")
        shadow = yield from self._models.load(digest)
        if isinstance(shadow, str):
            yield from self._refuse(f"load: {shadow}", live, None)
            return
        finding, before = yield from self._prepared(digest, live, shadow)
        if finding.verdict == "good":
            begun = yield from persisted(lambda: self._desk.begin(before))
            finding = finding if begun else GONE
        if finding.verdict != "good":
            yield from self._refuse(finding.reason, live, shadow.model)
            return
        shadow.model.forget()
        trial = Trial(shadow.model, live.speaker)
        self._put(trial, "trial")
        yield from self._prove(digest, trial, before, live)

    def _prepared(
        self, digest: str, live: Alone, shadow: Shadow
    ) -> Generator[float, None, tuple[Finding, Baseline]]:
        """What is found before the trial, and the live model's latency by which it is judged."""
        rules, wanted = self._rules, self._wants("try", digest)
        finding, before = Finding("good"), baseline(live.times, Outputs())
        if rules.shadow_s or rules.shadow_frames:
            stage = Shadowed(live, shadow)
            self._put(stage, "shadow")
            finding = yield from jury.shadow(shadow, stage.outputs, rules, wanted, self._say)
            before = baseline(live.times, stage.outputs)
        if finding.verdict == "good":
            finding = yield from self._quiet(live, shadow)
        if finding.verdict == "good" and rules.canary_percent and not stateful(shadow.model):
            trial = Trial(shadow.model, live.speaker, rules.canary_percent)
            self._put(trial, "canary")
            finding = yield from jury.canary(trial, before, rules, wanted)
            if finding.verdict == "good":
                finding = yield from self._quiet(live, shadow)
        return finding, before

    def _quiet(self, live: Alone, shadow: Shadow) -> Judged:
        """The live model alone: nobody calls the candidate, for the journal may take its time."""
        self._put(live)
        settled = yield from self._settled()
        if settled and (yield from self._models.joined(shadow, self._rules.hang_s)):
            return Finding("good")
        return Finding("bad", hang(self._rules))

    def _prove(self, digest: str, trial: Trial, before: Baseline, old: Alone | None) -> Pauses:
        """Probation, and what follows from it; it lasts until its end is on the disk."""
        rules, wanted = self._rules, self._wants("stay", digest)

        def still() -> bool:
            return wanted() and jury.look(trial, before, rules).verdict == "good"

        finding = yield from jury.trial(trial, before, rules, wanted)
        while finding.verdict == "good" and not (yield from persisted(self._desk.commit, still)):
            finding = yield from jury.trial(trial, before, rules, wanted)
        if finding.verdict != "good":
            back = Alone(trial.other) if trial.other is not None and old is None else old
            yield from self._refuse(finding.reason, back, trial.candidate)
            return
        log.info("%s stays: %s", trial.candidate.manifest.name, finding.reason)
        self._put(Alone(trial.candidate, trial.evidence.times))
        self._verdict(finding.reason)
        yield from self._changed(trial.candidate, trial.other)

    def _refuse(self, reason: str, back: Alone | None, candidate: Model | None) -> Pauses:
        """The old model speaks again; then the desk is told, and a model that hangs is ended.

        No reason: somebody else decided. `back` is None where the old model is not loaded: it is
        the desk's wish from now on.
        """
        if back is not None:
            self._put(back)
        if reason:
            log.error("the candidate is taken back: %s", reason)
            if self._hangs() and attempt(lambda: self._desk.refuse(reason)) is not None:
                self._hung()  # what is counted at the start will do
            yield from persisted(lambda: self._desk.refuse(reason))
        self._verdict()
        if back is not None:
            yield from self._changed(back.speaker, candidate)
        elif self._hangs():
            self._hung()

    def _resume(self, begun: Begun, trial: Trial) -> Pauses:
        """Go on with the trial that an earlier life began, the old model beside it again."""
        loaded = yield from self._models.load(begun.old)
        if isinstance(loaded, str):
            log.warning("the old model cannot be loaded: %s", loaded)
        elif (yield from self._models.joined(loaded, self._rules.hang_s)):
            trial.join(loaded.model)
        yield from self._prove(self._desk.look().digest, trial, begun.before, None)

    def _follow(self, digest: str) -> Pauses:
        """Somebody made another model the active one: it speaks as soon as it is loaded."""
        loaded = yield from self._models.load(digest)
        if isinstance(loaded, str):
            log.error("the active model cannot be loaded: %s", loaded)
            yield RETRY_S
            return
        yield from self._models.joined(loaded, self._rules.hang_s)
        before = self.next
        self._put(Alone(loaded.model))
        yield from persisted(lambda: self._desk.follow(digest))
        self._verdict()
        yield from self._changed(loaded.model, before.speaker)

    def _wants(self, kind: str, digest: str) -> Wanted:
        """Whether the desk still has this wish."""
        return lambda: self._desk.look() == (kind, digest)

    def _put(self, stage: Stage, word: str = "") -> None:
        self.next = stage
        if word:
            self._say(word)

    def _changed(self, speaker: Model, other: Model | None) -> Pauses:
        """Close the other model when the loop has left it; end the process where it never does."""
        if not (yield from self._settled()):
            self._hung()
            return
        speaker.watch = None
        if self._models.ended():
            self._models.drop(other)

    def _settled(self) -> Generator[float, None, bool]:
        """Whether the loop came to use the next stage, or is in a call that never ends."""
        while self.now is not self.next:
            if self._hangs():
                return False
            yield TICK_S
        return True

    def _hangs(self) -> bool:
        """Whether the loop is in a call of a candidate that never ends."""
        stage = self.now  # which the loop changes
        began_s = stage.evidence.busy_s if isinstance(stage, Trial) else 0.0
        return began_s > 0 and time.monotonic() - began_s > self._rules.hang_s

    def _verdict(self, reason: str = "") -> None:
        said = self._desk.state()
        self.update = said._replace(reason=said.reason or reason, shadow=self.update.shadow)
        self._news_at = self.turns

    def _say(self, word: str, shadow: ShadowReport | None = None) -> None:
        self.update = self._desk.state()._replace(state=word, shadow=shadow or self.update.shadow)
