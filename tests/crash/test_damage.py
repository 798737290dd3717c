"""P14: what is done about a file that is damaged, incomplete or not ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from edge_runtime.outbox.row import Row
from edge_runtime.outbox.store import APPLICATION

from ..brokers import wait_until
from ..outboxes import Box, numbers

FILE, LOG = "outbox.db", "outbox.db-wal"
IN_FILE, IN_ALL = 200, 300  # rows; the others are in the log only
PAGE, FRAME, LOG_HEAD = 4096, 24 + 4096, 32  # https://sqlite.org/fileformat2.html
DAMAGED = ("outbox-damaged", False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files that a killed process leaves."""
    path = tmp_path_factory.mktemp("killed") / FILE
    box = Box(path)
    box.fill(IN_FILE, size=700)
    box.close()
    box = Box(path)
    for start in range(IN_FILE, IN_ALL, 10):
        box.fill(10, start=start, size=700, urgent=True)
        box.wait_until_saved()
    files = {name: path.with_name(name).read_bytes() for name in (FILE, LOG)}
    box.close()
    return files


class Opened:
    """What an outbox makes of some files. It is used once, so that it is known to work."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        box = Box(folder / FILE)
        self.rows = emptied(box)
        self.alarms = box.alarms
        box.put("run-x", "t", b"new", source="s", seq=IN_ALL)
        box.close()
        again = Box(folder / FILE)
        assert [row.payload for row in emptied(again)] == [b"new"]
        assert again.alarms == []
        again.close()

    @property
    def set_aside(self) -> list[Path]:
        return [path for path in self.folder.glob("*.corrupt-*") if not path.name.endswith("-wal")]


def emptied(box: Box) -> list[Row]:
    """All its rows, when the writer has done what it found to do."""
    rows: list[Row] = []
    while True:
        box.put("mark-0", "t", b"mark", urgent=True)
        box.wait_until_saved()
        wait_until(lambda: box.alarms.count(DAMAGED) == box.alarms.count((DAMAGED[0], True)))
        wait_until(lambda: box.waiting or not box._queue.wants_more)
        more = [row for row in box.empty_out(quiet_s=0.2) if row.source]
        if not more:
            return rows
        rows += more


def keys(rows: list[Row]) -> list[int]:
    return [int(row.key.partition("-")[2]) for row in rows]


def test_p14_a_log_that_was_left_over_is_used(killed: dict[str, bytes], tmp_path: Path):
    found = Opened(tmp_path, killed)

    assert numbers(found.rows) == list(range(IN_ALL))
    assert (found.alarms, found.set_aside) == ([], [])


def test_p14_without_its_log_the_file_is_as_it_was_before(killed: dict[str, bytes], tmp_path: Path):
    found = Opened(tmp_path, {FILE: killed[FILE]})

    assert numbers(found.rows) == list(range(IN_FILE))
    assert (found.alarms, found.set_aside) == ([], [])


def test_p14_a_log_cut_short_or_altered_counts_up_to_the_last_whole_commit(
    killed: dict[str, bytes], tmp_path: Path
):
    random, log = Random(14), killed[LOG]
    pages = (len(log) - LOG_HEAD) // FRAME
    damaged = [log[: LOG_HEAD + FRAME * page] for page in range(0, pages, max(1, pages // 6))]
    damaged += [log[: random.randrange(len(log))] for _ in range(3)]
    damaged += [flipped(log, random) for _ in range(6)]
    ends = set()
    for number, content in enumerate(damaged):
        found = Opened(tmp_path / str(number), {FILE: killed[FILE], LOG: content})
        end = len(found.rows)
        assert numbers(found.rows) == list(range(end))
        assert IN_FILE <= end <= IN_ALL
        assert end % 10 == 0
        assert (found.alarms, found.set_aside) == ([], [])
        ends.add(end)
    assert len(ends) > 4


def flipped(content: bytes, random: Random, start: int = 0) -> bytes:
    at = random.randrange(start, len(content))
    return content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1 :]


def other_database(folder: Path) -> bytes:
    with closing(sqlite3.connect(folder / "other.db")) as database:
        database.execute("CREATE TABLE row (id INTEGER PRIMARY KEY)")
        database.execute(f"PRAGMA application_id = {APPLICATION + 1}")
    return (folder / "other.db").read_bytes()


@pytest.mark.parametrize("kind", ["text", "picture", "zeros", "other database"])
def test_p14_a_foreign_file_is_set_aside_untouched(kind: str, tmp_path: Path):
    content = {
        "text": b"Dear diary,\n" * 1000,
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 64,
        "zeros": bytes(3 * PAGE),
        "other database": other_database(tmp_path),
    }[kind]

    found = Opened(tmp_path / "state", {FILE: content})

    assert found.rows == []
    assert found.alarms[0] == DAMAGED
    (aside,) = found.set_aside
    kept = aside.read_bytes()
    if kind == "other database":  # its head says now that it has a log
        with closing(sqlite3.connect(aside)) as database:
            assert database.execute("SELECT count(*) FROM row").fetchone() == (0,)
    else:
        assert kept == content


def test_p14_an_empty_file_is_begun_anew(tmp_path: Path):
    found = Opened(tmp_path, {FILE: b""})

    assert found.rows == []


def test_p14_a_file_cut_short_gives_what_is_left_and_says_so(
    killed: dict[str, bytes], tmp_path: Path
):
    pages = len(killed[FILE]) // PAGE
    saved = []
    for number, kept in enumerate(range(1, pages, max(1, pages // 8))):
        found = Opened(tmp_path / str(number), {FILE: killed[FILE][: kept * PAGE]})
        assert set(keys(found.rows)) <= set(range(IN_FILE))
        assert len(set(keys(found.rows))) == len(found.rows)
        assert found.alarms[0] == DAMAGED
        assert len(found.set_aside) == 1
        saved.append(len(found.rows))
    assert max(saved) > IN_FILE / 2


def test_p14_a_file_with_a_bit_flipped_never_stops_it_and_never_gives_a_row_twice(
    killed: dict[str, bytes], tmp_path: Path
):
    random, pages = Random(41), len(killed[FILE]) // PAGE
    whole = 0
    for number in range(16):
        content = killed[FILE]
        page = number % min(pages, 12)  # the first pages hold the structure
        head = content[: page * PAGE]
        altered = head + flipped(content[page * PAGE : page * PAGE + 100], random)
        found = Opened(tmp_path / str(number), {FILE: altered + content[len(altered) :]})
        assert len({row.id for row in found.rows}) == len(found.rows)
        assert len(found.rows) <= IN_FILE
        whole += len(found.rows) == IN_FILE
        if len(found.rows) < IN_FILE:
            assert DAMAGED in found.alarms
    assert whole
