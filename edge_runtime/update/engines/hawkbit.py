"""Eclipse hawkBit, and what else speaks its Direct Device Integration API: which release, no bytes.

A release is a software module with the model's name and the release's version. hawkBit wants an
artifact in none of them: what is attached is never fetched, as the bytes come from the repository.
Written against hawkBit's documentation of DDI v1 and its DdiRootController, proven on gooseBit.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from edge_runtime import state
from edge_runtime.errors import BadOptionError, ConfigError, DownloadError

from .engine import State, Wanted
from .rest import TIMEOUT_S, Answer, Rest

log = logging.getLogger(__name__)

PAUSE_MIN_S, PAUSE_MAX_S = 5.0, 86_400.0  # what is believed of a server's wish to be left alone
JITTER = 0.2  # devices that were switched on together do not stay in step
DETAIL_MAX = 500  # characters; hawkBit keeps 512 of a message
_ACTION = re.compile(r"[A-Za-z0-9-]{1,64}")
_SUFFIXES = (".swu", ".raucb")  # gooseBit names a module after its file, which must be one of these
_SLEEP = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d)")

# How a state is told: execution and result of DDI's feedback.
_FEEDBACK: Mapping[State, tuple[str, str]] = {
    "downloading": ("proceeding", "none"),  # gooseBit leaves DDI's "download" unhandled
    "installing": ("proceeding", "none"),
    "done": ("closed", "success"),
    "failed": ("closed", "failure"),
    "cancelled": ("closed", "success"),
    "not-cancelled": ("rejected", "none"),
}
_OF_A_CANCELLATION = frozenset({"cancelled", "not-cancelled"})


class HawkBit:
    """One device, "controller" there, at a server; see the module and `engine.Engine`.

    Args:
        url: of the server, https; http on this machine only.
        controller: the device's id there.
        model: the name of the software module that is ours.
        attributes: what the server is told of the device when it asks, such as its board.
        tenant: of the server.
        token: rather in EDGE_RUN_HAWKBIT_TOKEN, or in a file.
        token_file: its first line, read anew each time; only its owner may read it.
        gateway: the token is that of many devices, not this one's own.
        ca_file: PEM; the server's authority, if the system does not know it.
        timeout_s: of one request.
    """

    def __init__(
        self,
        url: str,
        *,
        controller: str,
        model: str,
        attributes: Mapping[str, str] | None = None,
        tenant: str = "DEFAULT",
        token: str = "",
        token_file: str = "",
        gateway: bool = False,
        ca_file: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.pause_s = 0.0
        self._rest = Rest(url, ca_file=ca_file, timeout_s=timeout_s)
        self._base = f"/{quote(tenant, safe='')}/controller/v1/{quote(controller, safe='')}"
        self._model = model
        self._attributes = dict(attributes or {})
        if token and token_file:
            raise BadOptionError("token_file", "stands beside token; give only one of them")
        self._token, self._token_file = token, token_file
        self._scheme = "GatewayToken" if gateway else "TargetToken"
        self._cancelling: dict[str, str] = {}  # the action to stop -> that of the cancellation
        if token:
            _check(token, "token")

    def wanted(self) -> Wanted | None:
        """The release of the open action, or the action to cancel. Raises DownloadError.

        An action without our module is closed as failed at once: nobody else would.
        """
        base = self._table(self._call("GET", ""), "the base resource")
        self._heed(_at(base, "config", "polling", "sleep"))
        if _at(base, "_links", "configData", "href"):
            self._introduce()
        if job := self._action(base, "cancelAction"):
            return self._cancellation(job)
        if job := self._action(base, "deploymentBase"):
            return self._deployment(job)
        return None

    def tell(self, job: str, state: State, detail: str = "") -> bool:
        """Feedback on an action; False when it is closed there. Raises DownloadError."""
        if not _ACTION.fullmatch(job):
            return False
        execution, finished = _FEEDBACK[state]
        body = {
            "id": job,  # older servers want it
            "status": {
                "execution": execution,
                "result": {"finished": finished},
                "details": [_plain(detail or state)],
            },
        }
        if state in _OF_A_CANCELLATION:
            place = f"cancelAction/{self._cancelling.get(job, job)}"
        else:
            place = f"deploymentBase/{job}"
        answer = self._call("POST", f"/{place}/feedback", body, gone=True)
        if answer.status in (404, 410):
            log.warning("%s: action %s is closed there, '%s' is not wanted", self, job, state)
        return answer.status not in (404, 410)

    def __repr__(self) -> str:
        return f"hawkBit at {self._rest.shown}"

    def _deployment(self, job: str) -> Wanted | None:
        answer = self._call("GET", f"/deploymentBase/{job}", gone=True)
        if answer.status in (404, 410):  # closed or cancelled since the poll
            return None
        found = self._table(answer, "a deployment")
        if _at(found, "deployment", "update") == "skip":
            return None  # outside its maintenance window
        chunks = _at(found, "deployment", "chunks")
        if not isinstance(chunks, list):
            self._garbled("a deployment without chunks")
        for chunk in chunks:
            name, version = _at(chunk, "name"), _at(chunk, "version")
            if not isinstance(name, str) or not isinstance(version, str):
                self._garbled("a chunk without name and version")
            if _without_suffix(name) == self._model:
                return Wanted(job, self._model, _plain(version))
        self.tell(job, "failed", f"holds no software module '{self._model}'")
        return None

    def _cancellation(self, job: str) -> Wanted | None:
        answer = self._call("GET", f"/cancelAction/{job}", gone=True)
        if answer.status in (404, 410):
            return None
        stop = str(_at(self._table(answer, "a cancellation"), "cancelAction", "stopId"))
        if not _ACTION.fullmatch(stop):
            self._garbled("a cancellation of no action")
        self._cancelling = {stop: job}  # hawkBit gives both the same id
        return Wanted(stop, cancel=True)

    def _introduce(self) -> None:
        """Send the device's attributes in place of those that the server has."""
        body = {"mode": "replace", "data": self._attributes}
        self._call("PUT", "/configData", body)

    def _action(self, base: Mapping[str, Any], kind: str) -> str:
        """The id in a link; the rest of the address is ours, so that no token goes elsewhere."""
        href = _at(base, "_links", kind, "href")
        if href is None:
            return ""
        _, found, rest = str(href).partition(f"/{kind}/")
        job = re.split(r"[/?#]", rest)[0]
        if not found or not _ACTION.fullmatch(job):
            self._garbled(f"a link to {kind} without an action")
        return job

    def _heed(self, sleep: object) -> None:
        """Take over how long the server wants to be left alone."""
        found = _SLEEP.fullmatch(sleep) if isinstance(sleep, str) else None
        if found is None:
            self.pause_s = 0.0
            return
        hours, minutes, seconds = map(int, found.groups())
        self._rest_for(hours * 3600 + minutes * 60 + seconds)

    def _rest_for(self, seconds: float) -> None:
        """Never shorter than asked: the jitter is added."""
        wished_s = min(max(float(seconds), PAUSE_MIN_S), PAUSE_MAX_S)
        self.pause_s = wished_s * random.uniform(1.0, 1.0 + JITTER)

    def _call(self, method: str, path: str, body: object = None, *, gone: bool = False) -> Answer:
        """A request that succeeded, or with `gone` one for something that is no more."""
        token = self._token or self._read_token()
        headers = {"Authorization": f"{self._scheme} {token}"} if token else {}
        answer = self._rest.call(method, self._base + path, headers, body)
        if answer.status in (200, 201, 204) or (gone and answer.status in (404, 410)):
            return answer
        if answer.status in (429, 503):
            after = answer.retry_after[:9]  # seconds; a longer number is the longest pause anyway
            self._rest_for(int(after) if after.isascii() and after.isdigit() else 0)
        words, reason = _REFUSALS.get(answer.status, ("it failed", "server"))
        raise DownloadError(f"{self}: {words} (HTTP {answer.status})", reason=reason)

    def _read_token(self) -> str:
        if not self._token_file:
            return ""
        state.check_private(self._token_file, "token_file")
        try:
            token = Path(self._token_file).read_text(encoding="ascii").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "is not ASCII"
            raise ConfigError(f"token_file: {self._token_file}: {why}") from None
        try:
            _check(token, "token_file")
        except BadOptionError as exc:
            raise ConfigError(f"token_file: {self._token_file}: {exc.message}") from None
        return token

    def _table(self, answer: Answer, what: str) -> Mapping[str, Any]:
        if not isinstance(answer.body, dict):
            self._garbled(f"{what} that is no JSON object")
        return answer.body

    def _garbled(self, what: str) -> NoReturn:
        raise DownloadError(f"{self} sent {what}", reason="malformed")


_REFUSALS = {
    401: ("it does not know our token", "login"),
    403: ("our token may not do that", "login"),
    404: ("it does not know this device or tenant", "unknown-device"),
    429: ("it wants fewer requests", "busy"),
    503: ("it is overloaded", "busy"),
}


def _check(token: str, key: str) -> None:
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise BadOptionError(key, "is not a token: one word of printable ASCII")


def _at(table: object, *path: str) -> Any:
    """What lies at a path of JSON objects; None where there is nothing."""
    for key in path:
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _plain(detail: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in detail)[:DETAIL_MAX]


def _without_suffix(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name
