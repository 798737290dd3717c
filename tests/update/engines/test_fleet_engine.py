"""What all fleet servers have in common: which release is meant, and how often they are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import DownloadError
from edge_runtime.update.engines.engine import State, Wanted
from edge_runtime.update.engines.patient import LONGEST_S, Patient
from edge_runtime.update.release import Release

FIRST = Wanted("7", "ecg-beats", "1.2.0")
SECOND = Wanted("8", "ecg-beats", "1.3.0")


def signed(name: str = "ecg-beats", version: str = "1.2.0", counter: int = 7) -> Release:
    return Release("p", "0" * 64, 1, name, version, counter, "beats", ("tflite",))


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Wanted("1", "ecg-beats", "1.2.0"), True),
        (Wanted("1", "ecg-beats", "1.2"), False),
        (Wanted("1", "wake-word", "1.2.0"), False),
        (Wanted("1", "ecg-beats", counter=7), True),
        (Wanted("1", "ecg-beats", "1.2.0", counter=8), False),  # the counter is the surer word
        (Wanted("1", "ecg-beats", "1.2.0", cancel=True), False),
    ],
)
def test_a_release_is_meant_by_its_name_and_its_counter_or_else_its_version(wanted, meant):
    assert wanted.means(signed()) is meant


class Server:
    """Gives answers in turn, and a pause with each."""

    def __init__(self, *answers: Wanted | DownloadError | None, pause_s: float = 300.0) -> None:
        self._answers = list(answers)
        self.pause_s = pause_s
        self.told: list[tuple[str, State]] = []
        self.open = True

    def wanted(self) -> Wanted | None:
        answer = self._answers.pop(0)
        if isinstance(answer, DownloadError):
            raise answer
        return answer

    def tell(self, job: str, state: State, detail: str = "") -> bool:
        self.told.append((job, state))
        return self.open


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engine.json"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_800_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def test_an_answer_holds_for_the_next_process_until_its_pause_is_over(path, clock):
    server = Server(FIRST, SECOND)
    assert Patient(server, path).wanted() == FIRST
    clock[0] += 299
    assert Patient(server, path).wanted() == FIRST
    assert Patient(server, path).pause_s == pytest.approx(1)
    clock[0] += 2
    assert Patient(server, path).wanted() == SECOND


def test_a_server_that_says_no_pause_is_asked_each_time(path, clock):
    server = Server(None, FIRST, SECOND, pause_s=0.0)
    assert [Patient(server, path).wanted() for _ in range(3)] == [None, FIRST, SECOND]


def test_news_is_told_at_once_and_what_ended_is_not_wanted_again(path, clock):
    server = Server(FIRST)
    patient = Patient(server, path)
    patient.wanted()
    patient.tell("7", "installing")
    assert patient.wanted() == FIRST
    patient.tell("6", "done")  # of an earlier job
    assert patient.wanted() == FIRST
    patient.tell("7", "done")
    assert patient.wanted() is None
    assert server.told == [("7", "installing"), ("6", "done"), ("7", "done")]


@pytest.mark.parametrize("state", ["cancelled", "not-cancelled"])
def test_a_cancellation_is_answered_once(path, clock, state: State):
    patient = Patient(Server(Wanted("7", cancel=True)), path)
    assert patient.wanted() == Wanted("7", cancel=True)
    patient.tell("7", state)
    assert patient.wanted() is None


def test_a_job_that_was_closed_there_is_not_wanted_again(path, clock):
    server = Server(FIRST)
    patient = Patient(server, path)
    patient.wanted()
    server.open = False
    assert patient.tell("7", "downloading") is False
    assert patient.wanted() is None


def test_a_server_that_sends_us_away_is_left_alone_for_so_long(path, clock):
    server = Server(DownloadError("busy"), FIRST)
    with pytest.raises(DownloadError):
        Patient(server, path).wanted()
    assert Patient(server, path).wanted() is None
    clock[0] += 301
    assert Patient(server, path).wanted() == FIRST


def test_a_server_that_is_out_of_reach_is_asked_again_at_once(path, clock):
    server = Server(DownloadError("gone"), FIRST, pause_s=0.0)
    with pytest.raises(DownloadError):
        Patient(server, path).wanted()
    assert Patient(server, path).wanted() == FIRST


def test_a_clock_that_was_set_back_by_years_does_not_silence_the_device(path, clock):
    server = Server(FIRST, SECOND)
    Patient(server, path).wanted()
    clock[0] -= 2 * LONGEST_S
    assert Patient(server, path).wanted() == SECOND


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"until": 9e9}', b'{"until": "x", "wanted": null}', b"[" * 9999]
)
def test_a_file_that_was_cut_off_is_none(path, clock, content):
    path.write_bytes(content)
    assert Patient(Server(FIRST), path).wanted() == FIRST


def test_a_disk_that_takes_nothing_does_not_stop_an_update(tmp_path, clock):
    server = Server(FIRST, SECOND)
    nowhere = tmp_path / "missing" / "engine.json"
    assert Patient(server, nowhere).wanted() == FIRST
    assert Patient(server, nowhere).wanted() == SECOND
