"""AWS IoT Jobs over a real broker, against a service that answers by AWS's documented shapes.

The shapes are those of "Jobs device MQTT API operations" in the AWS IoT Core developer guide:
GetPendingJobExecutions, DescribeJobExecution, UpdateJobExecution and ErrorResponse.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from edge_runtime.errors import BadOptionError, DownloadError
from edge_runtime.update.engines.aws import AwsJobs
from edge_runtime.update.engines.engine import State, Wanted

from ...brokers import wait_until

THING = "bed-7"
ROOT = f"$aws/things/{THING}/jobs"
OURS = {"edge-run": {"name": "ecg-beats", "version": "1.2.0"}}
TERMINAL = {"SUCCEEDED", "FAILED", "REJECTED", "CANCELED", "TIMED_OUT", "REMOVED"}


@dataclass
class Job:
    document: Any
    status: str = "QUEUED"
    version: int = 1
    details: dict[str, str] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)


class Service:
    """The side of AWS: keeps jobs, answers on the reserved topics, takes no wrong version."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.jobs: dict[str, Job] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.interferes = 0  # so many updates come just after somebody else's
        self.says: dict[str, bytes] = {}  # in place of an answer, by what was asked
        ready: list[bool] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_subscribe = lambda *_: ready.append(True)
        self._client.on_message = lambda _client, _data, message: self._hear(message)
        self._client.connect("localhost", port)
        self._client.subscribe([("$aws/things/+/jobs/get", 1), ("$aws/things/+/jobs/+/+", 1)])
        self._client.loop_start()
        wait_until(lambda: ready)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, message: Any) -> None:
        path = message.topic.removeprefix(f"{ROOT}/")
        if path.endswith(("accepted", "rejected")):
            return
        request = json.loads(message.payload)
        self.asked.append((path, request))
        if path in self.says:
            self._client.publish(f"{message.topic}/accepted", self.says[path], 1)
            return
        code, answer = self._answer(path, request)
        body = {**answer, "clientToken": request["clientToken"], "timestamp": int(time.time())}
        if code:
            body |= {"code": code, "message": f"{code} it is"}
        self._client.publish(
            f"{message.topic}/{'rejected' if code else 'accepted'}", json.dumps(body), 1
        )

    def _answer(self, path: str, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if path == "get":
            summaries = {"IN_PROGRESS": [], "QUEUED": []}
            for name, job in self.jobs.items():
                if job.status in summaries:
                    summary = {
                        "jobId": name,
                        "queuedAt": 1,
                        "lastUpdatedAt": 1,
                        "executionNumber": 1,
                    }
                    summaries[job.status].append({**summary, "versionNumber": job.version})
            return "", {
                "inProgressJobs": summaries["IN_PROGRESS"],
                "queuedJobs": summaries["QUEUED"],
            }
        name, verb = path.split("/")
        job = self.jobs.get(name)
        if job is None:
            return "ResourceNotFound", {}
        return self._describe(name, job) if verb == "get" else self._update(job, request)

    def _describe(self, name: str, job: Job) -> tuple[str, dict[str, Any]]:
        execution = {
            "jobId": name,
            "thingName": THING,
            "status": job.status,
            "statusDetails": job.details,
            "queuedAt": 1,
            "lastUpdatedAt": 1,
            "versionNumber": job.version,
            "executionNumber": 1,
            "jobDocument": job.document,
        }
        return "", {"execution": execution}

    def _update(self, job: Job, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if self.interferes:
            self.interferes -= 1
            job.version += 1
        state = {"status": job.status, "versionNumber": job.version, "statusDetails": job.details}
        if job.status in TERMINAL:
            return "TerminalStateReached", {"executionState": state}
        if request["expectedVersion"] != job.version:
            return "VersionMismatch", {"executionState": state}
        if job.status == "QUEUED" and request["status"] != "IN_PROGRESS":
            return "InvalidStateTransition", {"executionState": state}
        job.version += 1
        job.status, job.details = request["status"], request["statusDetails"]
        job.history.append(job.status)
        return "", {}


@pytest.fixture
def broker(mosquitto):
    return mosquitto()


@pytest.fixture
def service(broker) -> Iterator[Service]:
    running = Service(broker.port)
    yield running
    running.close()


def engine(broker, **options: Any) -> AwsJobs:
    return AwsJobs(broker.url, **{"thing": THING, "model": "ecg-beats", "answer_s": 5.0, **options})


def test_nothing_is_wanted_while_no_job_is_open(broker, service):
    service.jobs["old"] = Job(OURS, status="SUCCEEDED")
    assert engine(broker).wanted() is None
    assert [path for path, _ in service.asked] == ["get"]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"version": "1.2.0"}, Wanted("job-1", "ecg-beats", "1.2.0")),
        ({"counter": 7}, Wanted("job-1", "ecg-beats", counter=7)),
    ],
)
def test_a_job_wants_the_release_of_its_document_and_asking_changes_nothing(
    broker, service, said, wanted
):
    service.jobs["job-1"] = Job({"edge-run": {"name": "ecg-beats", **said}})
    assert engine(broker).wanted() == wanted
    assert engine(broker).wanted() == wanted  # another process, after a reboot
    assert service.jobs["job-1"].history == []


def test_jobs_of_other_agents_and_other_models_are_left_alone(broker, service):
    service.jobs["reboot"] = Job({"operation": "reboot"}, status="IN_PROGRESS")
    service.jobs["other"] = Job({"edge-run": {"name": "wake-word", "version": "3.0.0"}})
    service.jobs["text"] = Job("a document that is no object")
    service.jobs["ours"] = Job(OURS)
    assert engine(broker).wanted() == Wanted("ours", "ecg-beats", "1.2.0")
    assert [job.history for job in service.jobs.values()] == [[], [], [], []]


def test_a_job_that_was_begun_is_taken_before_one_that_waits(broker, service):
    service.jobs["new"] = Job({"edge-run": {"name": "ecg-beats", "version": "1.3.0"}})
    service.jobs["begun"] = Job(OURS, status="IN_PROGRESS", version=4)
    assert engine(broker).wanted().job == "begun"


@pytest.mark.parametrize(
    "facts",
    [
        7,
        {},
        {"name": "ecg-beats"},
        {"name": 1, "version": "1"},
        {"version": "1.2.0"},
        {"name": "ecg-beats", "version": "1.0\x1b[2J"},
    ],
)
def test_a_document_for_us_that_cannot_be_read_is_closed_as_failed(broker, service, facts):
    service.jobs["job-1"] = Job({"edge-run": facts})
    assert engine(broker).wanted() is None
    assert service.jobs["job-1"].history == ["IN_PROGRESS", "FAILED"]


@pytest.mark.parametrize(
    ("state", "history"),
    [
        ("downloading", ["IN_PROGRESS"]),
        ("installing", ["IN_PROGRESS"]),
        ("done", ["IN_PROGRESS", "SUCCEEDED"]),
        ("failed", ["IN_PROGRESS", "FAILED"]),
    ],
)
def test_each_state_is_told_in_the_order_that_the_service_wants(
    broker, service, state: State, history
):
    service.jobs["job-1"] = Job(OURS)
    assert engine(broker).tell("job-1", state, "gate: NaN\nin output 0") is True
    assert service.jobs["job-1"].history == history
    assert service.jobs["job-1"].details == {"detail": "gate: NaN in output 0"}


def test_an_update_names_the_version_that_was_seen_and_looks_again_when_it_changed(broker, service):
    service.jobs["job-1"] = Job(OURS, status="IN_PROGRESS", version=5)
    service.interferes = 1
    assert engine(broker).tell("job-1", "done") is True
    told = [body["expectedVersion"] for path, body in service.asked if path == "job-1/update"]
    assert told == [5, 6]


def test_an_execution_that_changes_all_the_time_is_later(broker, service):
    service.jobs["job-1"] = Job(OURS, status="IN_PROGRESS")
    service.interferes = 100
    with pytest.raises(DownloadError) as caught:
        engine(broker).tell("job-1", "done")
    assert caught.value.reason == "busy"


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_news_of_a_closed_or_cancelled_job_is_not_owed(broker, service, status):
    service.jobs["job-1"] = Job(OURS, status=status)
    assert engine(broker).tell("job-1", "done") is False
    assert [path for path, _ in service.asked] == ["job-1/get"]


def test_news_of_a_deleted_job_is_not_owed(broker, service):
    assert engine(broker).tell("job-1", "done") is False


def test_a_service_that_throttles_is_later(broker, service):
    service._answer = lambda path, request: ("RequestThrottled", {})
    with pytest.raises(DownloadError, match="RequestThrottled") as caught:
        engine(broker).wanted()
    assert caught.value.reason == "busy"


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_garbage_is_later_not_a_crash(broker, service, answer):
    service.says["get"] = answer
    with pytest.raises(DownloadError) as caught:
        engine(broker).wanted()
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("jobs", [[7], [{}], [{"jobId": "../x"}]])
def test_a_list_of_nonsense_is_later_not_a_crash(broker, service, jobs):
    service._answer = lambda path, request: ("", {"queuedJobs": jobs})
    with pytest.raises(DownloadError) as caught:
        engine(broker).wanted()
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("execution", [7, {}, {"jobId": "other", "versionNumber": 1}])
def test_an_execution_of_nonsense_is_later_not_a_crash(broker, service, execution):
    service._describe = lambda name, job: ("", {"execution": execution})
    service.jobs["job-1"] = Job(OURS)
    with pytest.raises(DownloadError) as caught:
        engine(broker).wanted()
    assert caught.value.reason == "malformed"


def test_an_answer_to_somebody_else_is_not_ours_and_silence_has_an_end(broker, service):
    service.says["get"] = b'{"clientToken": "theirs", "queuedJobs": [{"jobId": "job-1"}]}'
    with pytest.raises(DownloadError) as caught:
        engine(broker, answer_s=0.5).wanted()
    assert caught.value.reason == "too-slow"


def test_a_broker_that_is_not_there_is_later(broker):
    broker.kill()
    with pytest.raises(DownloadError) as caught:
        engine(broker).wanted()
    assert caught.value.reason == "connection"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"thing": "a/+/#"}, "thing"),
        ({"url": "mqtt://endpoint.example"}, "url"),
        ({"url": "mqtts://endpoint.example"}, "username"),  # or a certificate
    ],
)
def test_a_careless_option_is_refused(options, key):
    with pytest.raises(BadOptionError) as caught:
        AwsJobs(**{"url": "mqtt://localhost", "thing": THING, "model": "ecg-beats", **options})
    assert caught.value.key == key
