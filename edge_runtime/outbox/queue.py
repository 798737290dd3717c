"""The order of things in memory: which rows wait, which are taken, which are not yet saved.

Rows go from oldest to newest through five places, and whatever is on disk only stands between
the third and the fourth:

    again      were taken, and their connection was lost
    old        were loaded from disk, or waited before the connection was made
    (on disk)  from `disk_next` up to `disk_end`
    new        came lately
    (taken)    in flight, or with the broker but not confirmed

Rows leave in the order in which they came while they are live. When the oldest of them is older
than that, it is backlog, and the new ones go first three times of four; whatever they overtook is
historical, as settled when it is taken. All that is live is in order, and so is all that is not.

A row is `unsaved` until a commit has returned for it. One that is acknowledged before that is
never written: with a broker at hand the disk rests.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from .row import LIVE_NS, Row
from .unsaved import Unsaved

NEW_MAX = 256  # saved rows that stay in memory to be sent from there
LOADED_LOW = 128  # when so few loaded rows are left, more are asked for
STEP_NS = 100_000_000  # of the wall clock against the monotonic one; less is drift
PASSED_MAX = 1024  # rows to keep that are passed over in search of one that may go
BACKLOG_SHARE = 4  # of so many rows sent, one at least is old while there are new ones


class Queue:
    """See the module. Not locked.

    `rows` and `bytes` count the results that are not acknowledged, `others` what no source said.
    """

    def __init__(self) -> None:
        self.rows = self.others = self.bytes = 0
        self.next_id = 1  # of the row that comes next
        self.disk_next = self.disk_end = 0
        self.unsaved = Unsaved()
        self.settled: list[Row] = []  # acknowledged, and still on disk
        self.taken: dict[int, Row] = {}
        self._again: deque[Row] = deque()
        self._old: deque[Row] = deque()
        self._new: deque[Row] = deque()
        self._turn = 0
        self._overtaken_by = 0  # the last new row that went before the backlog
        self._disk_since_ns = 0  # about when the first row that only the disk has was accepted
        self._boots: deque[tuple[int, int]] = deque(maxlen=100)  # row id, wall less monotonic clock

    @property
    def waiting(self) -> bool:
        """Whether `take` would give something."""
        return self._next_lane() is not None

    @property
    def wants_more(self) -> bool:
        """Whether rows should be loaded from disk."""
        return self.disk_next < self.disk_end and len(self._old) < LOADED_LOW

    def add(self, row: Row) -> None:
        """A new row, not yet saved."""
        self._new.append(row)
        boot_ns = row.timestamp_ns - row.accepted_ns
        if not self._boots or abs(boot_ns - self._boots[-1][1]) > STEP_NS:
            self._boots.append((row.id, boot_ns))
        self.unsaved.add(row)
        self._count(row, 1)

    def take(self, count: int) -> list[Row]:
        """The next rows; what leaves as historical has an `accepted_ns` of 0."""
        rows: list[Row] = []
        now_ns = time.monotonic_ns()
        if self._backlog:  # a broker that answers nothing for a while is still connected
            self._retire(LIVE_NS)
        while len(rows) < count and (lane := self._next_lane()):
            row = lane.popleft()
            self._turn += 1
            if lane is self._new and self._backlog:
                self._overtaken_by = row.id
            elif 0 < row.id < self._overtaken_by or now_ns - row.accepted_ns > LIVE_NS:
                row = row._replace(accepted_ns=0)
            self.taken[row.id] = row
            rows.append(row)
        return rows

    def give_back(self, ids: Iterable[int], *, overtaken: bool) -> None:
        """These wait again, each in its place; what was overtaken goes first, as historical."""
        for row in [self.taken.pop(row_id) for row_id in ids if row_id in self.taken]:
            if overtaken:
                self._again.append(row._replace(accepted_ns=0))
            elif (lane := self._lane_of(row)) is not None:
                lane.append(row)
        self._again, self._old, self._new = (
            deque(sorted(lane)) for lane in (self._again, self._old, self._new)
        )

    def connected(self) -> None:
        """What waits now may be overtaken by what comes from now on."""
        self._retire(0)

    def _retire(self, age_ns: int) -> None:
        """New rows that have waited so long join the backlog."""
        while self._new and time.monotonic_ns() - self._new[0].accepted_ns >= age_ns:
            if self._is_saved(self._new[0]):
                self._leave_on_disk(self._new.popleft())
            elif self.disk_next < self.disk_end:
                return
            else:
                self._old.append(self._new.popleft())

    def ack(self, row_id: int) -> Row | None:
        """A row is delivered, or given up: it counts no more. None when it is unknown."""
        row = self.taken.pop(row_id, None)
        if row is None:
            return None
        if row.id > 0:
            self._count(row, -1)
        if not self.unsaved.drop(row):
            self.settled.append(row)
        return row

    def end_save(self, rows: list[Row]) -> None:
        """They are saved. Those that were acknowledged meanwhile can be removed."""
        self.settled += self.unsaved.end(rows)
        while len(self._new) > NEW_MAX and self._is_saved(self._new[0]):
            self._leave_on_disk(self._new.popleft())

    def undo_save(self, removed: list[Row]) -> None:
        """They are not saved, and these not removed."""
        self.settled = removed + self.settled
        self.unsaved.undo()

    def loaded(self, rows: list[Row], next_id: int) -> None:
        """Rows from disk; all before `next_id` have been looked at."""
        here = {row.id for row in (*self._again, *self.settled)} | self.taken.keys()
        for row in rows:
            boots = [boot_ns for first_id, boot_ns in self._boots if first_id <= row.id]
            if boots:  # else it is of an earlier process
                self._disk_since_ns = row.timestamp_ns - boots[-1]
                row = row._replace(accepted_ns=self._disk_since_ns)  # noqa: PLW2901
            if row.id not in here:
                self._old.append(row)
        self.disk_next = max(self.disk_next, next_id)

    def push_out_saved(self, count: int, *, lately: bool) -> list[Row]:
        """Let go of the oldest rows that need not be kept, of those loaded or that came lately."""
        return self._push_out(self._new if lately else self._old, count, saved=True)

    def push_out_unsaved(self, count: int) -> list[Row]:
        """The same, of those that only memory has."""
        gone = self._push_out(self._old, count, saved=False)
        gone += self._push_out(self._new, count - len(gone), saved=False)
        for row in gone:
            self.unsaved.drop(row)
        return gone

    def expire(self, is_over: Callable[[Row], bool]) -> list[Row]:
        """Take out the oldest rows that are saved, in memory, and too old."""
        gone: list[Row] = []
        lane = self._old if self._backlog else self._new
        while lane and self._is_saved(lane[0]) and is_over(lane[0]):
            gone.append(lane.popleft())
            self._count(gone[-1], -1)
        return gone

    def let_go(self, rows: list[Row]) -> list[Row]:
        """Give up rows that stand on disk; gives those that were not taken or given up before."""
        here = {row.id for row in (*self._again, *self.settled)} | self.taken.keys()
        gone = [row for row in rows if row.id not in here]
        for row in gone:
            self._count(row, -1)
        return gone

    def found(self, rows: int, size: int, first_id: int, end_id: int) -> None:
        """So much lies on disk from before."""
        self.rows += rows
        self.bytes += size
        self.disk_next, self.disk_end = first_id, end_id

    def start_afresh(self) -> None:
        """The file is another one: nothing is saved."""
        waiting = {row.id: row for row in (*self._again, *self._old, *self._new)}
        here = sorted(row for row in {**waiting, **self.taken}.values() if row.id > 0)
        self.unsaved = Unsaved(here)
        self.rows = self.bytes = self.others = 0
        for row in here:
            self._count(row, 1)
        self.disk_next = self.disk_end = 0
        self.settled = []

    def salvaged(self, rows: list[Row]) -> None:
        """These were brought into the new file from the old one."""
        fresh = [row for row in rows if row not in self.unsaved and row.id not in self.taken]
        for row in fresh:
            self._count(row, 1)
        self.disk_next = min([self.disk_next or rows[0].id, *(row.id for row in rows)])
        self.disk_end = max(self.disk_end, *(row.id + 1 for row in rows))

    def _push_out(self, lane: deque[Row], count: int, *, saved: bool) -> list[Row]:
        gone: list[Row] = []
        passed: list[Row] = []
        while lane and len(gone) < count and len(passed) < PASSED_MAX:
            row = lane.popleft()
            here = self._is_saved(row) if saved else row.id in self.unsaved.rows
            (gone if here and not row.keep else passed).append(row)
        lane.extendleft(reversed(passed))
        for row in gone:
            self._count(row, -1)
        return gone

    @property
    def _backlog(self) -> bool:
        return bool(self._old) or self.disk_next < self.disk_end

    def _next_lane(self) -> deque[Row] | None:
        if self._again:
            return self._again
        if not self._backlog:
            return self._new or None
        since_ns = self._old[0].accepted_ns if self._old else self._disk_since_ns
        if time.monotonic_ns() - since_ns < LIVE_NS:  # in order, after a load if need be
            return self._old or None
        if self._new and self._old:
            return self._new if self._turn % BACKLOG_SHARE else self._old
        return self._new or self._old or None

    def _lane_of(self, row: Row) -> deque[Row] | None:
        """Where a row has its place by its age; None when it will be loaded from there."""
        first_id = self._old[0].id if self._old else self.disk_next
        if not self._backlog or row.id < first_id:
            return self._again
        if self._old and row.id < self._old[-1].id:
            return self._old
        if self.disk_next < self.disk_end and row.id < self.disk_end:
            to_load = row.id >= self.disk_next and self._is_saved(row)
            return None if to_load else self._again
        return self._new

    def _is_saved(self, row: Row) -> bool:
        return row not in self.unsaved

    def _leave_on_disk(self, row: Row) -> None:
        if self.disk_next >= self.disk_end:
            self.disk_next = row.id
            self._disk_since_ns = row.accepted_ns
        self.disk_end = row.id + 1

    def _count(self, row: Row, step: int) -> None:
        if row.source:
            self.rows += step
            self.bytes += step * row.weight
        else:
            self.others += step
