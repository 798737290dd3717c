"""The history: appended, chained, mended after a power cut, and honest about tampering."""

from __future__ import annotations

import pytest

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
