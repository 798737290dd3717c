"""The history: appended, chained, mended after a power cut, and honest about tampering."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from edge_runtime import state
from edge_runtime.update.store import history
from edge_runtime.update.store.history import Event


def written(path, count=5):
    heads = [history.append(path, Event(at, "trial", f"reason {at}")) for at in range(count)]
    return path.read_bytes().splitlines(keepends=True), heads


def test_lines_come_back_and_the_chain_holds(tmp_path):
    _, heads = written(tmp_path / "h")

    account = history.read(tmp_path / "h")

    assert [one.at for one in account.events] == [0, 1, 2, 3, 4]
    assert (account.head, account.torn, account.broken) == (heads[-1], 0, "")
    assert account.hashes == set(heads)
    assert history.read(tmp_path / "none").events == ()


@pytest.mark.parametrize("line", range(4))
def test_any_changed_removed_moved_or_added_line_is_found(tmp_path, line):
    lines, _ = written(tmp_path / "h")
    edited = lines[line].replace(b"reason", b"Reason")
    others = {
        "changed": [*lines[:line], edited, *lines[line + 1 :]],
        "removed": [*lines[:line], *lines[line + 1 :]],
        "twice": [*lines[: line + 1], lines[line], *lines[line + 1 :]],
        "moved": [*lines[:line], lines[line + 1], lines[line], *lines[line + 2 :]],
        "broken": [*lines[:line], b"x" + lines[line], *lines[line + 1 :]],
        "added": [*lines[: line + 1], b"\n", *lines[line + 1 :]],
        "spaced": [*lines[:line], lines[line].replace(b", ", b",  "), *lines[line + 1 :]],
    }
    for what, content in others.items():
        assert history.verify(b"".join(content)).broken, what


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"at": 4', b'"at": "4"'),
        (b'"at": 4', b'"at": 4.0'),
        (b'"at": 4', b'"at": -4'),
        (b'"at": 4', b'"at": 4' + b"0" * 30),
        (b'"trial"', b"{}"),
        (b'"reason 4"', b"null"),
        (b'"table": {}', b'"table": 7'),
    ],
)
def test_a_line_that_nobody_could_print_is_none(tmp_path, old, new):
    lines, heads = written(tmp_path / "h")
    assert old in lines[-1]
    last = lines[-1].replace(old, new)

    account = history.verify(b"".join([*lines[:-1], last]))

    assert (len(account.events), account.head, account.torn) == (4, heads[-2], len(last))


def test_every_torn_end_is_told_and_gone_on_from(tmp_path):
    path = tmp_path / "h"
    lines, heads = written(path, 3)
    whole, last = b"".join(lines[:2]), lines[2]
    for length in (1, 2, *range(3, len(last) - 2, 11), len(last) - 2, len(last) - 1):
        noise = b"\xa5" * length
        for torn in (last[:length], bytes(length), noise, bytes(length) + last[length:]):
            path.write_bytes(whole + torn)
            before = history.read(path)
            history.append(path, Event(9, "trial"))
            account = history.read(path)

            assert (before.head, before.torn, before.broken) == (heads[1], len(torn), "")
            assert (account.torn, account.broken) == (0, "")
            assert [one.event for one in account.events[2:]] == [history.TORN, "trial"]
            assert account.events[2].reason == f"{len(torn)} bytes"
        history.append(path, Event(10, "trial"))
        assert not history.read(path).broken


def test_a_mended_end_cannot_hide_a_line(tmp_path):
    path = tmp_path / "h"
    lines, _ = written(path, 3)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:-5])
    history.append(path, Event(9, "trial"))
    content = path.read_bytes()

    assert not history.verify(content).broken
    assert history.verify(content.replace(lines[1], b"")).broken
    assert history.verify(content.replace(lines[2][:-5], b"")).broken
    assert history.verify(content.replace(lines[2][:-5], b"x" * (len(lines[2]) - 5))).broken == ""


def test_a_long_history_is_appended_to_from_its_end_alone(tmp_path):
    path = tmp_path / "h"
    lines, heads = written(path, 400)
    assert sum(map(len, lines)) > 2 * history._TAIL

    assert history.end(path).head == heads[-1]
    assert len(history.end(path).events) < 400
    path.write_bytes(b"".join(lines) + b"\0" * (2 * history._TAIL))
    history.append(path, Event(9, "trial"))

    account = history.read(path)
    assert (account.broken, account.torn, len(account.events)) == ("", 0, 402)


def test_a_history_that_is_a_link_is_not_written_to(tmp_path):
    (tmp_path / "other").write_text("precious")
    (tmp_path / "h").symlink_to("other")

    with pytest.raises(OSError, match="symbolic links"):
        history.append(tmp_path / "h", Event(1, "trial"))

    assert (tmp_path / "other").read_text() == "precious"


# A history has two files at most.


class KilledError(BaseException):
    """The process ends here; nothing cleans up after it."""


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(history, "FULL", 1000)


def test_a_full_history_is_renamed_once_and_the_chain_goes_on(tmp_path, short):
    path = tmp_path / "history.jsonl"
    _, heads = written(path, 50)

    account = history.read(path)

    assert {found.name for found in tmp_path.iterdir()} == {"history.jsonl", "history.1.jsonl"}
    assert all(found.stat().st_size < 1200 for found in tmp_path.iterdir())
    assert all(found.stat().st_mode & 0o777 == 0o600 for found in tmp_path.iterdir())
    told = [one.at for one in account.events if one.event == "trial"]
    assert told == list(range(told[0], 50))
    assert 0 < told[0] < 50
    (first, gone), (second, before) = (
        (number, one.reason)
        for number, one in enumerate(account.events)
        if one.event == history.CONTINUED
    )
    assert (first, gone) == (0, account.gone)
    assert before == f"after {second} lines"
    assert (account.broken, account.head) == ("", heads[-1])
    assert history.end(path).head == heads[-1]


@pytest.mark.parametrize("name", ["history.jsonl", "history.1.jsonl"])
def test_a_changed_cut_or_missing_file_of_the_two_is_found(tmp_path, short, name):
    path = tmp_path / "history.jsonl"
    written(path, 50)
    hurt = tmp_path / name
    lines = hurt.read_bytes().splitlines(keepends=True)
    for number in range(len(lines) - (name == "history.jsonl")):  # its end is the journal's to know
        hurt.write_bytes(b"".join([*lines[:number], *lines[number + 1 :]]))
        assert history.read(path).broken, number
        edited = lines[number].replace(b'"at": ', b'"at": 1')
        hurt.write_bytes(b"".join([*lines[:number], edited, *lines[number + 1 :]]))
        assert history.read(path).broken, number
    hurt.write_bytes(b"".join(lines))
    assert not history.read(path).broken
    if name == "history.1.jsonl":
        hurt.unlink()
        assert history.read(path).broken == "history.1.jsonl is missing"


@pytest.mark.parametrize("torn", [b"", b'{"bef', b"\xa5" * 30])
def test_a_process_that_is_killed_between_any_two_steps_of_a_renaming_breaks_nothing(
    tmp_path, short, torn, monkeypatch
):
    for number in count(1):
        path = tmp_path / str(number) / "history.jsonl"
        path.parent.mkdir()
        _, heads = written(path, 7)
        assert path.stat().st_size > 1000
        with path.open("ab") as file:
            file.write(torn)
        done = 0

        def counted(act, number=number):
            def acted(*words, **more):
                nonlocal done
                done += 1
                if done == number:
                    raise KilledError
                return act(*words, **more)

            return acted

        with monkeypatch.context() as patch:
            for where, name in ((Path, "replace"), (state, "settle"), (os, "open"), (os, "fsync")):
                patch.setattr(where, name, counted(getattr(where, name)))
            try:
                history.append(path, Event(7, "trial"))
                ended = True
            except KilledError:
                ended = False
        between = history.read(path)
        assert (between.broken, history.end(path).head) == ("", between.head)
        assert heads[-1] in between.hashes
        history.append(path, Event(8, "trial"))
        after = history.read(path)
        told = [one.at for one in after.events if one.event == "trial"]
        assert (after.broken, after.torn, after.gone) == ("", 0, "")
        assert told in ([*range(9)], [*range(7), 8])
        assert history.older(path).exists()
        if ended:
            break
    assert number > 8


def test_what_a_killed_process_wrote_is_on_the_disk_before_anything_builds_on_it(
    tmp_path, monkeypatch
):
    _, heads = written(tmp_path / "h")
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))

    assert history.end(tmp_path / "h").head == heads[-1]
    assert synced == [(tmp_path / "h").stat().st_ino]
