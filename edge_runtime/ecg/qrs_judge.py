"""Which peaks of the QRS energy are beats: thresholds, T waves, search-back, learning."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

from .qrs_levels import Levels, Peak, QrsSettings
from .qrs_peak import Look


class Verdict(NamedTuple):
    """A beat."""

    look: Look
    decided: int  # sample of the envelope at which it was decided
    late: bool  # found by looking back, or while the levels were being learned


class Judge:
    """Takes peaks in the order of time, and knows time by their indices only.

    What happens at a time is done before what happens later, however late the calls come: that
    is why the beats do not depend on how the stream is cut.

    Args:
        look: what the signal shows around an index of the envelope.
        background: median of the envelope in the seconds before an index.
    """

    def __init__(
        self,
        rate_hz: float,
        settings: QrsSettings,
        look: Callable[[int], Look],
        background: Callable[[int], float],
    ) -> None:
        self._set = settings
        self._look, self._background = look, background
        self._refractory = round(settings.refractory_s * rate_hz)
        self._unclear = round(settings.unclear_s * rate_hz)
        self._wait = round(settings.wait_s * rate_hz)
        self._doubt = round(settings.doubt_s * rate_hz)
        self._t_wave = round(settings.t_wave_s * rate_hz)
        self._learn = round(settings.learn_s * rate_hz)
        self._relearn = round(settings.relearn_s * rate_hz)
        self._levels = Levels(settings)
        self._candidate: tuple[int, float] | None = None
        self._seen: Peak | None = None  # the candidate, once it was looked at
        self._previous: tuple[int, float] | None = None  # the last one that was judged
        self._clear_from = 0  # before it, no peak is clear
        self._early: list[Peak] | None = []
        self._missed: deque[Peak] = deque(maxlen=64)  # no beats, since the last one
        self._beat: Peak | None = None
        self._search_at: int | None = None  # when a beat is overdue
        self._now = 0

    def peak(self, index: int, height: float) -> Iterator[Verdict]:
        """Take the next maximum; give the beats that are certain now."""
        yield from self.until(index)
        before = self._candidate or self._previous
        shadow = self._unclear if self._candidate else self._refractory
        if before and index - before[0] < shadow:
            if height <= before[1]:
                return
            if self._candidate is None:
                self._correct(index, height)
                return
        self._candidate, self._seen = (index, height), None

    def _correct(self, index: int, height: float) -> None:
        """The beat that was clear at once was what precedes the QRS, often a P wave."""
        self._levels.corrected(height)
        self._previous = (index, height)
        self._clear_from = index + self._doubt
        if self._beat:
            self._beat = self._beat._replace(place=index, height=height)

    def until(self, index: int) -> Iterator[Verdict]:
        """Time passes to `index`; give the beats that are certain now."""
        while True:
            candidate = self._candidate
            due = math.inf
            if candidate:
                due = candidate[0] + (self._unclear if self._seen else self._wait)
            search = math.inf if self._search_at is None else self._search_at
            self._now = max(self._now, int(min(due, search, index)))
            if min(due, search) > index:
                return
            if search < due:
                self._search_at = None
                yield from self._search_back()
            elif candidate:
                yield from self._weigh(candidate)

    def flush(self) -> Iterator[Verdict]:
        """The stream has ended."""
        if self._candidate:
            yield from self._confirm(self._seen or self._peak(self._candidate))
        self._candidate = None
        yield from self._learned()

    def _peak(self, candidate: tuple[int, float]) -> Peak:
        return Peak(*candidate, self._look(candidate[0]))

    def _weigh(self, candidate: tuple[int, float]) -> Iterator[Verdict]:
        if self._seen:
            seen, self._candidate, self._previous = self._seen, None, candidate
            yield from self._confirm(seen)
            return
        self._seen = seen = self._peak(candidate)
        if self._early is None and seen.place >= self._clear_from:
            if not self._is_beat(seen, max(self._set.clear, self._set.threshold)):
                return
            self._candidate, self._previous = None, candidate
            yield from self._accept(seen, late=False)

    def _confirm(self, peak: Peak) -> Iterator[Verdict]:
        if peak.look.is_step:
            return
        if self._early is None:
            yield from self._decide(peak, late=False)
            return
        self._early.append(peak)
        if peak.place >= self._learn:
            yield from self._learned()

    def _learned(self) -> Iterator[Verdict]:
        early, self._early = self._early, None
        if not early:
            return
        heights = sorted(peak.height for peak in early)
        # The larger maxima of each second are beats; the lower half of all peaks is noise.
        seconds = max(1, round(2 * (early[-1].place - early[0].place) / self._learn))
        signal = median(heights[-max(2, seconds) :])
        noise = median(heights[: (len(heights) + 1) // 2])
        if len(heights) < 4 or noise > 0.8 * signal:  # all of them are beats
            noise = 0.0
        self._levels.learn(signal, noise)
        for peak in early:
            yield from self._decide(peak, late=True)

    def _relearned(self, now: int) -> Iterator[Verdict]:
        """After an artefact that set the levels too high: regular peaks that stand out."""
        recent = [peak for peak in self._missed if now - peak.place < self._relearn]
        if len(recent) < 4 or recent[0].place > now - self._relearn // 2:
            return
        heights = sorted(peak.height for peak in recent)
        strong, weak = median(heights[-3:]), median(heights[: len(heights) // 2])
        if strong < max(3 * weak, 1.2 * self._set.floor_mv):
            return
        self._levels.learn(strong, weak)
        self._missed.clear()
        self._beat = self._search_at = None
        for peak in recent:
            yield from self._decide(peak, late=True)

    def _decide(self, peak: Peak, *, late: bool) -> Iterator[Verdict]:
        if self._search_at is None:  # a beat is overdue already
            yield from self._search_back()
        if self._is_beat(peak, self._set.threshold):
            yield from self._accept(peak, late=late)
            return
        self._levels.noise(peak.height)
        self._missed.append(peak)
        if peak.place - (self._beat.place if self._beat else 0) > self._relearn:
            yield from self._relearned(peak.place)

    def _is_beat(self, peak: Peak, share: float) -> bool:
        if peak.look.is_step or peak.height <= self._levels.at(share):
            return False
        beat = self._beat
        if beat is None or peak.place - beat.place > self._t_wave:
            return True
        if peak.height < self._set.t_wave_share * beat.height:
            return False
        blunt = peak.look.sharpness < self._set.blunt * beat.look.sharpness
        return not (blunt and peak.height < self._set.blunt_share * beat.height)

    def _overdue_at(self) -> float:
        mean = self._levels.mean_interval
        if self._beat is None or mean is None:
            return math.inf
        return self._beat.place + self._set.search_back_rr * mean

    def _search_back(self) -> Iterator[Verdict]:
        """The largest missed peak, when a beat is overdue; again, while one still is."""
        while self._beat and self._now - self._refractory > self._overdue_at():
            least = max(
                self._set.search_back_share * self._levels.at(self._set.threshold),
                self._set.floor_mv,
            )
            after = self._beat.place + self._t_wave
            likely = [p for p in self._missed if p.place > after and p.height > least]
            if not likely:
                return
            yield from self._accept(max(likely, key=lambda p: p.height), late=True)

    def _accept(self, peak: Peak, *, late: bool) -> Iterator[Verdict]:
        interval = peak.look.position - self._beat.look.position if self._beat else None
        self._levels.beat(peak.height, interval)
        self._beat = peak
        later = [p for p in self._missed if p.place > peak.place]
        self._missed.clear()
        self._missed.extend(later)
        overdue = self._overdue_at()
        self._search_at = None if overdue == math.inf else math.ceil(overdue) + self._refractory
        if not self._levels.is_noise(self._background(self._now)):
            yield Verdict(peak.look, self._now, late)
