"""F03, F18, F20: what a model that runs code of its own can do in the child, by real system calls.

A delegate compiled here is in the place of a hostile model: it runs where a faulty runtime would.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from edge_runtime.config import Rung
from edge_runtime.errors import UpdateError
from edge_runtime.update.gate.checks import GateReport

from ...needs import program
from . import hostile
from .gates import judged, refusal
from .hostile import HALF

NOT_ALLOWED, REFUSED, UNKNOWN = errno.EPERM, errno.EACCES, errno.ENOSYS


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> str:
    compiler = program("gcc", "gcc")
    built = tmp_path_factory.mktemp("hostile") / "libhostile.so"
    source = Path(__file__).with_name("hostile_delegate.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-pthread", "-o", built, source], check=True)
    return str(built)


@pytest.fixture
def slot(tmp_path) -> Path:
    return hostile.slot(tmp_path / "slot", HALF)


def acting(library: str, act: str, slot: Path, path: Path | str = "") -> tuple[Rung, Rung]:
    """A ladder: the hostile delegate, which acts in the candidate's child, and one that works."""
    options = {"do": act, "path": str(path), "slot": str(slot / "model.toml")}
    return Rung("probe", library=library, options=options), Rung("xnnpack")


def answers(report: GateReport) -> dict[str, int]:
    """What the kernel said to each attempt, by its name; the candidate itself is a good one."""
    assert report.passed
    (seen,) = (check.seen for check in report.checks if check.name == "delegate")
    said = seen.partition("kernel: ")[2].partition(";")[0]
    return {word: int(value) for word, _, value in (part.partition("=") for part in said.split())}


def test_f18_a_loader_reaches_no_network(slot, library):
    found = answers(judged(slot, HALF, *acting(library, "network", slot)))
    assert found == {"inet": REFUSED, "unix": REFUSED, "packet": REFUSED, "connect": NOT_ALLOWED}


def test_f18_a_loader_writes_nothing_and_reads_nothing_of_others(slot, library, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    secret.chmod(0o644)
    found = answers(judged(slot, HALF, *acting(library, "files", slot, secret)))
    assert (found.pop("create"), found.pop("read")) == (REFUSED, REFUSED)
    changes = ("mkdir", "chmod", "unlink", "rename", "truncate", "mount")
    assert found == dict.fromkeys(changes, NOT_ALLOWED)
    assert secret.read_text() == "mine"
    assert secret.stat().st_mode & 0o777 == 0o644


def test_f18_a_loader_starts_and_touches_no_process_and_may_have_threads(slot, library):
    found = answers(judged(slot, HALF, *acting(library, "processes", slot)))
    assert (found.pop("thread"), found.pop("ring")) == (0, UNKNOWN)
    attempts = ("fork", "ptrace", "kill", "limit", "exec")
    assert found == dict.fromkeys(attempts, NOT_ALLOWED)


def test_f18_a_loader_slows_no_process_down_and_cannot_outlive_its_parent(slot, library):
    found = answers(judged(slot, HALF, *acting(library, "priorities", slot)))
    assert found.pop("own_affinity") == 0
    attempts = ("nice", "scheduler", "affinity", "outlive", "outlive_32")
    assert found == dict.fromkeys(attempts, NOT_ALLOWED)


@pytest.mark.parametrize(
    ("act", "seen"), [("segv", "Segmentation fault"), ("abort", "Aborted"), ("exit", "exit 0")]
)
def test_f03_a_crash_in_the_child_is_a_refusal(slot, library, act, seen):
    failure = refusal(slot, HALF, *acting(library, act, slot))
    assert failure.name == "crash"
    assert failure.seen.startswith(seen)
    assert "after tolerance" in failure.seen  # that is: while it loads


@pytest.mark.parametrize("act", ["kill", "sleep"])
def test_f20_killed_or_out_of_time_is_a_validation_timeout(slot, library, act):
    failure = refusal(slot, HALF, *acting(library, act, slot), wall_s=4.0)
    assert failure.name == "validation_timeout"


def test_f20_all_the_memory_it_asks_for_is_what_it_was_given(slot, library):
    failure = refusal(slot, HALF, *acting(library, "memory", slot), address_mb=300)
    assert failure.name in ("load", "memory")  # malloc gave up, the machine did not


def test_f20_no_room_for_any_runtime_is_no_fault_of_the_candidates(slot):
    with pytest.raises(UpdateError, match="the live model does not load either: ") as caught:
        judged(slot, HALF, Rung("xnnpack"), address_mb=40)
    assert (type(caught.value), caught.value.reason) == (UpdateError, "gate")


def test_no_process_is_left_behind(slot, library):
    judged(slot, HALF, *acting(library, "sleep", slot), wall_s=4.0)
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            facts, words = status.read_text(), status.with_name("cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        ours = f"\nPPid:\t{os.getpid()}\n" in facts
        assert not (ours and b"edge_runtime.update.gate.child" in words)


def test_no_secret_of_the_environment_goes_along(slot, library, monkeypatch):
    monkeypatch.setenv("EDGE_RUN_MQTT_PASSWORD", "hidden")
    seen = []
    start = subprocess.Popen

    def noted(*arguments, **options):
        seen.append(options["env"])
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", noted)
    judged(slot, HALF, Rung("xnnpack"))
    assert len(seen) == 2
    assert all("hidden" not in environment.values() for environment in seen)
