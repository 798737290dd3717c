"""What a pipeline remembers of a candidate over its own end, and on a disk that fails."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from edge_runtime import build_update, config, state
from edge_runtime.errors import UpdateError
from edge_runtime.swap.evidence import Baseline
from edge_runtime.tables import parse_toml

from .switch_kit import Bench, model, validated, write_model


@pytest.fixture
def tried(tmp_path):
    """A pipeline that has a candidate on trial, and never says goodbye."""
    running = Bench(tmp_path, count=1)
    release = offer(tmp_path, running)
    running.desk.look()
    running.desk.enter(release.digest)
    running.desk.begin(Baseline())
    return running


def offer(tmp_path, running, name="new", **words):
    return validated(running.store, write_model(tmp_path / name, version="2.0.0"), **words)


def lives(tmp_path, count: int) -> list[tuple[str, str]]:
    """The journal's state and reason after each of so many starts without an orderly end."""
    journals = [Bench(tmp_path, count=1).store.journal for _ in range(count)]
    return [(journal.state, journal.reason) for journal in journals]


def test_p08_crashes_after_a_clean_stop_in_the_middle_of_a_trial_are_counted(tried, tmp_path):
    tried.desk.leave(5, 1.0)
    states = [word for word, _ in lives(tmp_path, 5)]
    assert states == ["trial", "trial", "trial", "rolled_back", "rolled_back"]


@pytest.mark.parametrize("content", [None, b"", b'{"digest": "another"}'])
def test_p15_crashes_are_counted_where_the_note_of_the_trial_is_lost(tried, tmp_path, content):
    path = tmp_path / "update/running.json"
    path.unlink() if content is None else path.write_bytes(content)
    assert [word for word, _ in lives(tmp_path, 4)] == ["trial", "trial", *["rolled_back"] * 2]


def test_a_hang_after_a_clean_stop_is_rolled_back_by_the_next_start(tried, tmp_path):
    tried.desk.leave(5, 1.0)
    lives(tmp_path, 1)
    tried.desk.hung_path.write_text("Timeout (0:00:08)!\n")
    assert lives(tmp_path, 1) == [("rolled_back", "hang")]


@pytest.mark.parametrize("clean", [False, True])
def test_p13_a_trial_that_cannot_be_counted_is_given_up_and_the_old_model_runs(
    tried, tmp_path, monkeypatch, clean
):
    if clean:
        tried.desk.leave(5, 1.0)
    fill(monkeypatch)
    again = Bench(tmp_path, count=1)
    assert (again.store.journal.state, again.store.journal.reason) == ("rolled_back", "not-counted")
    assert again.switch.manifest.version == "1.0.0"
    assert again.desk.state().state == "rolled_back"
    (tmp_path / "update/journal.json").touch()  # somebody else was at it: it still says "trial"
    assert again.desk.look() == ("stay", "")


def fill(monkeypatch, code=errno.ENOSPC):
    def full(path, content):
        raise OSError(code, "the disk fails", str(path))

    monkeypatch.setattr(state, "replace", full)


def test_p13_a_pipeline_starts_where_the_disk_of_its_store_became_read_only(tmp_path, monkeypatch):
    Bench(tmp_path, count=1)
    text = f"""
name = "ward"
device = "bed"
[model]
path = "{tmp_path / "factory"}"
[[source]]
kind = "ecgsyn"
[[sink]]
kind = "console"
[update]
repository = "https://models.example.org/"
state = "{tmp_path / "state"}"
"""
    loaded = config.from_table(parse_toml(text, str(tmp_path / "ward.toml")), {})
    build_update.store(loaded, loaded.update)

    def read_only(path):
        raise OSError(errno.EROFS, "read-only", str(path))

    fill(monkeypatch, errno.EROFS)
    monkeypatch.setattr(state, "ensure", read_only)
    switch = build_update.switch(loaded, loaded.update, lambda made, _: model(made.path), exit)
    assert switch.manifest.version == "1.0.0"


def test_p13_a_trial_that_began_although_the_disk_said_no_is_ours_the_next_time(
    tmp_path, monkeypatch
):
    running = Bench(tmp_path, count=1)
    release = offer(tmp_path, running)
    running.desk.look()
    running.desk.enter(release.digest)
    begin = running.store.begin_trial

    def not_synchronised():
        begin()
        raise OSError(errno.EIO, "the name could not be synchronised")

    with monkeypatch.context() as patch:
        patch.setattr(running.store, "begin_trial", not_synchronised)
        with pytest.raises(OSError):
            running.desk.begin(Baseline())
    running.desk.begin(Baseline())
    assert running.desk.look() == ("stay", release.digest)


def test_a_commit_whose_note_could_not_be_written_is_made_good_the_next_time(tried, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tried.desk, "_write", refusing)
        with pytest.raises(OSError):
            tried.desk.commit()
    tried.desk.commit()
    assert tried.store.journal.state == "committed"
    assert tried.desk.state().news


def refusing(note):
    raise OSError(errno.ENOSPC, "full")


def test_another_candidate_neither_goes_on_trial_nor_is_refused_in_place_of_the_first(tmp_path):
    running = Bench(tmp_path, count=1)
    first = offer(tmp_path, running)
    running.desk.look()
    running.desk.enter(first.digest)
    running.store.drop("superseded")
    other = write_model(tmp_path / "other", version="3.0.0")
    second = validated(running.store, other, 2, "3.0.0")
    with pytest.raises(UpdateError, match="another"):
        running.desk.begin(Baseline())
    running.desk.refuse("not-finite")
    journal = running.store.refresh()
    assert (journal.state, journal.candidate) == ("validated", second)
    assert not journal.quarantine


def test_the_baseline_and_what_was_proven_last_over_a_clean_stop(tried, tmp_path):
    before = Baseline(2.0, 3.0, 0.5)
    tried.desk._write(replace(tried.desk._note, **before._asdict()))
    tried.desk.leave(7, 1.5)
    begun = Bench(tmp_path, count=1).desk.begun()
    assert (begun.before, begun.results, begun.seconds) == (before, 7, 1.5)
