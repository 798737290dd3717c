"""AWS IoT Jobs over MQTT: which release, no bytes.

A job's document says {"edge-run": {"name": "ecg-beats", "version": "1.2.0"}}, or a counter in
place of the version. Jobs with other documents are left to the agents that they are for. Written
against "Jobs device MQTT API operations" of the AWS IoT Core developer guide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, NoReturn

from edge_runtime.errors import BadOptionError, DownloadError

from .engine import State, Wanted
from .talk import ANSWER_S, Talk, talk

DETAIL_MAX = 1024  # characters of a value in statusDetails
LOOKED_AT = 10  # open jobs; more are not ours to sort out
TRIES = 3  # of an update, when somebody else changed the execution meanwhile
DOCUMENT_KEY = "edge-run"
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_JOB = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_STATUS: Mapping[State, str] = {
    "downloading": "IN_PROGRESS",
    "installing": "IN_PROGRESS",
    "not-cancelled": "IN_PROGRESS",
    "done": "SUCCEEDED",
    "failed": "FAILED",
}
_OPEN = frozenset({"QUEUED", "IN_PROGRESS"})
_CLOSED = frozenset({"ResourceNotFound", "TerminalStateReached", "InvalidStateTransition"})


class _Execution(NamedTuple):
    """A job on this thing; `version` rises with every update."""

    status: str
    version: int
    document: Any


class AwsJobs:
    """One thing's jobs; see the module and `engine.Engine`.

    The service does not ask to cancel: a job that was cancelled is closed, so `tell` is False.

    Args:
        url: of the account's endpoint (iot:Data-ATS), mqtts://.
        thing: the device's name there.
        model: the name in a job's document that is ours.
        cert_file: PEM; the thing's certificate, with key_file.
        key_file: PEM, readable by its owner only.
        ca_file: PEM; the endpoint's authority, if the system does not know it.
        alpn: to offer inside TLS, for port 443: x-amzn-mqtt-ca.
        client_id: at the broker; not that of the pipeline's sink, which would be sent away.
        answer_s: how long each answer may take.

    Raises:
        BadOptionError: an option is impossible or careless.
    """

    def __init__(
        self,
        url: str,
        *,
        thing: str,
        model: str,
        cert_file: str = "",
        key_file: str = "",
        ca_file: str = "",
        alpn: tuple[str, ...] = (),
        client_id: str = "",
        answer_s: float = ANSWER_S,
    ) -> None:
        from edge_runtime.mqtt.login import Login, parse_url

        if not _THING.fullmatch(thing):
            raise BadOptionError("thing", "is no name of a thing: letters, digits, : _ -")
        self.pause_s = 0.0  # the service does not say
        self._login = Login(
            parse_url(url), cert_file=cert_file, key_file=key_file, ca_file=ca_file, alpn=alpn
        )
        self._model = model
        self._root = f"$aws/things/{thing}/jobs"
        self._client_id = client_id or f"{thing}-update"
        self._answer_s = answer_s

    def wanted(self) -> Wanted | None:
        """The release of the first open job that is ours; asking changes nothing.

        A document with our key that cannot be read is closed as failed: nobody else would.
        Raises DownloadError.
        """
        with self._connected() as jobs:
            for job in self._open(jobs):
                found = self._execution(jobs, job)
                document = found.document if found else None
                if not isinstance(document, dict) or DOCUMENT_KEY not in document:
                    continue
                wanted = _read(job, document[DOCUMENT_KEY])
                if wanted is None:
                    self._update(jobs, job, "FAILED", "names no name and version or counter")
                elif wanted.name == self._model:
                    return wanted
        return None

    def tell(self, job: str, state: State, detail: str = "") -> bool:
        """Update a job; False when it is closed there. Raises DownloadError."""
        if not _JOB.fullmatch(job) or state not in _STATUS:
            return False
        with self._connected() as jobs:
            return self._update(jobs, job, _STATUS[state], detail or state)

    def __repr__(self) -> str:
        return f"AWS IoT Jobs at {self._login.address}"

    def _connected(self) -> AbstractContextManager[Talk]:
        return talk(self._login, self._client_id, self._root, self._answer_s)

    def _open(self, jobs: Talk) -> list[str]:
        """GetPendingJobExecutions: ids, those that were begun first."""
        answer = self._ask(jobs, "get", {})
        listed = [
            one.get("jobId") if isinstance(one, dict) else None
            for key in ("inProgressJobs", "queuedJobs")
            for one in answer.get(key) or ()
        ]
        ids = [job for job in listed if isinstance(job, str) and _JOB.fullmatch(job)]
        if len(ids) < len(listed):
            self._garbled("jobs without an id")
        return ids[:LOOKED_AT]

    def _execution(self, jobs: Talk, job: str) -> _Execution | None:
        """DescribeJobExecution; None for a job that is no more."""
        answer = self._ask(jobs, f"{job}/get", {"includeJobDocument": True})
        found = answer.get("execution")
        if answer.get("code") in _CLOSED or found is None:
            return None
        version = found.get("versionNumber") if isinstance(found, dict) else None
        if type(version) is not int or found.get("jobId") != job:
            self._garbled("an execution that is none")
        return _Execution(str(found.get("status")), version, found.get("jobDocument"))

    def _update(self, jobs: Talk, job: str, status: str, detail: str) -> bool:
        """UpdateJobExecution of the state that was seen, not of one that came meanwhile.

        A queued job is begun before it is ended, as the service's own order of states has it.
        """
        told = {"statusDetails": {"detail": _plain(detail)}}
        for _ in range(TRIES):
            seen = self._execution(jobs, job)
            if seen is None or seen.status not in _OPEN:
                return False
            step = "IN_PROGRESS" if seen.status == "QUEUED" else status
            asked = {"status": step, "expectedVersion": seen.version, **told}
            code = self._ask(jobs, f"{job}/update", asked).get("code")
            if code in _CLOSED:
                return False
            if code is None and step == status:
                return True
        raise DownloadError(f"{self}: job {job} changes all the time", reason="busy")

    def _ask(self, jobs: Talk, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """An answer; one with a "code" is a refusal that says something of the job."""
        answer = jobs.ask(path, body)
        code = answer.get("code")
        if code is None or code in _CLOSED or code == "VersionMismatch":
            return answer
        reason = "busy" if code == "RequestThrottled" else "server"
        raise DownloadError(f"{self} refused {path}: {_plain(str(code))}", reason=reason)

    def _garbled(self, what: str) -> NoReturn:
        raise DownloadError(f"{self} sent {what}", reason="malformed")


def _read(job: str, facts: object) -> Wanted | None:
    """The release that a document names, or None when it names none."""
    if not isinstance(facts, dict):
        return None
    name, version, counter = facts.get("name"), facts.get("version", ""), facts.get("counter", 0)
    if not isinstance(name, str) or not isinstance(version, str) or type(counter) is not int:
        return None
    named = name and (version or counter > 0) and version.isprintable()
    return Wanted(job, name, version, counter) if named else None


def _plain(detail: str) -> str:
    """The service takes no control characters in details, and no empty ones."""
    return "".join(letter if letter.isprintable() else " " for letter in detail)[:DETAIL_MAX] or "-"
