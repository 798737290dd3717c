"""The update store after power cuts at every operation: always a whole model, old or new."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

from ...crash.campaign import ROOT
from ...crash.recorder import build, environment
from ...needs import program
from .campaign import Campaign


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory):
    """Run one life of the store under the recorder; gives what was seen."""
    program("gcc", "gcc")
    shim = build(tmp_path_factory.mktemp("shim"))

    @cache
    def run(*words: str) -> dict:
        command = [sys.executable, "-m", "tests.update.crash.explore", "--seeds=-1:0", *words]
        done = subprocess.run(command, cwd=ROOT, env=environment(shim), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return json.loads(done.stdout)

    return run


def test_p01_to_p06_a_power_cut_at_any_step_of_an_update_leaves_a_whole_model(explored):
    found = explored("--twice", "0.02")

    assert not found["bad"], found["violations"][:5]
    assert found["points"] > 500
    assert found["states"] > 1_000
    assert found["posix"] > 300
    assert found["doubles"] > 100
    assert found["kills"] > 10


def test_p01_to_p06_any_order_of_steps_leaves_a_whole_model_too():
    program("gcc", "gcc")
    found = Campaign(600, ("--budget", "1200"))

    found.run(1)

    assert not found.violations, found.violations[:5]
    assert found.total("states") >= 600


def test_p02_a_power_cut_at_any_step_of_a_refresh_never_unsees_what_was_seen(explored):
    found = explored("--of", "metadata", "--twice", "0.002", "--budget", "1")

    assert not found["bad"], found["violations"][:5]
    assert found["points"] > 150
    assert found["states"] > 300
    assert found["posix"] > 100
    assert found["doubles"] > 10


@pytest.mark.parametrize(
    "words",
    [
        ("--flaw", "metadata_in_place"),
        ("--drop", "tuf/[0-9]+.new"),
    ],
)
def test_p02_sets_hold_without_the_floor_and_the_floor_without_sets(explored, words):
    words = ("--of", "metadata", "--twice", "0", "--budget", "1", *words)
    alone, neither = explored(*words), explored(*words, "--flaw", "no_floor")

    assert not alone["bad"], alone["violations"][:5]
    assert neither["bad"]
    assert "is accepted, not" in "".join(neither["violations"])


@pytest.mark.parametrize(
    ("flaw", "harm"),
    [
        ("link_before_journal", "the link led to it before the journal did"),
        ("collect_before_journal", "is needed, not whole"),
        ("history_before_journal", "the journal was lost"),
        ("journal_in_place", "the journal was lost"),
        ("link_in_two_steps", "the link leads to nothing"),
        ("no_syncs_of_names", "the journal was lost"),
        ("previous_is_not_kept", "is needed, not whole"),
    ],
)
def test_p03_p04_p06_steps_in_another_order_are_found_to_do_harm(explored, flaw, harm):
    found = explored("--flaw", flaw, "--twice", "0", "--budget", "1")

    assert found["bad"]
    assert harm in "".join(found["violations"])


def test_p15_a_start_that_trusts_what_a_killed_process_did_not_sync_is_found_to_do_harm(explored):
    found = explored("--flaw", "no_sync_at_start", "--twice", "0.03", "--budget", "1")

    assert found["bad"]
    assert all(text.startswith("killed") for text in found["violations"])


@pytest.mark.parametrize(
    ("what", "harm"),
    [
        ("staging/[0-9a-f]*/weights.tflite", "not whole"),
        ("staging/[0-9a-f]*/text", "not whole"),
        ("staging/[0-9a-f]*", "not whole"),
        ("slots", "not whole"),
        ("journal.json.new", "the journal was lost"),
    ],
)
def test_p01_p02_each_sync_that_is_left_out_is_found_to_do_harm(explored, what, harm):
    found = explored("--drop", what, "--twice", "0")

    assert found["bad"]
    assert harm in "".join(found["violations"])
