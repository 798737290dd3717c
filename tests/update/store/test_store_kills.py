"""P07: in each state an error, a kill or a hang of a real process; then what a start finds."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from edge_runtime.errors import UpdateError
from edge_runtime.update.store import shelf
from edge_runtime.update.store.journal import FACTORY
from edge_runtime.update.store.store import Store

from ...needs import ROOT
from .bundles import model, packed

# By state: what a start finds after a kill or a hang, and after an error; which model then runs.
ENDS = {
    "fetching": ("fetching", "fetching", "old"),
    "staged": ("fetching", "idle", "old"),
    "verified": ("verified", "validated", "old"),
    "validated": ("validated", "validated", "old"),
    "trial": ("trial", "trial", "new"),
    "committed": ("committed", "committed", "new"),
    "rolled_back": ("rolled_back", "rolled_back", "old"),
    "rejected": ("rejected", "rejected", "old"),
}


@pytest.mark.parametrize("fault", ["error", "kill", "hang"])
@pytest.mark.parametrize("state", ENDS)
def test_p07_a_fault_in_any_state_has_its_end(tmp_path, monkeypatch, state, fault):
    monkeypatch.setattr(shelf, "WAIT_S", 0.1)
    home, factory = tmp_path / "update", model(tmp_path / "factory", "0")
    store = Store(home, factory)
    store.open()
    made, old = packed(tmp_path, "1.1", 1)
    store.fetching(old)
    shutil.copyfile(made, store.part(old.digest))
    store.stage(store.part(old.digest), old)
    store.validate("ok")
    store.begin_trial()
    store.commit()
    made, new = packed(tmp_path, "1.2", 2)
    command = [sys.executable, "-m", "tests.update.store.killed", home, factory, made, new.digest,
               state, fault]  # fmt: skip

    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with child:
        if fault == "hang":
            assert child.stdout.readline() == "hangs\n"
            beside = Store(home, factory)  # nobody is kept from a model by a process that hangs
            expected = new if state in ("trial", "committed") else old
            assert beside.open().live == expected
            with pytest.raises(UpdateError) as busy:
                beside.approve()
            assert busy.value.reason == "busy"
            child.kill()
        child.wait(60)
    assert child.returncode == (0 if fault == "error" else -9)

    after = Store(home, factory)
    journal = after.open()
    killed, failed, live = ENDS[state]
    if fault == "error" and state == "verified":
        failed = "committed"  # a line that cannot be written stops nothing
    if fault == "error" and state == "validated":
        failed = "committed"
    assert journal.state == (failed if fault == "error" else killed)
    if journal.state != "committed":
        assert journal.live == (new if live == "new" else old)
        assert journal.floor == (("model", 1),)
    else:
        assert (journal.live, journal.previous) == (new, old)
        assert journal.floor == (("model", 2),)
    if state in ("rolled_back", "rejected"):
        assert [one.digest for one in journal.quarantine] == [new.digest]
    assert FACTORY not in (journal.live, journal.active)
    assert after.open() == journal
    assert not after.history().broken
    assert after.history().last == journal or state == "fetching"
