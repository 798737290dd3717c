"""JSON over HTTP to one server: no redirects, a cap on bytes, one deadline for a whole request."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from edge_runtime.errors import BadOptionError, DownloadError
from edge_runtime.update.remote.dial import dial
from edge_runtime.update.remote.mirrors import allowed
from edge_runtime.update.remote.pace import Limits, Pace, Wire

BYTES_MAX = 1_000_000  # of an answer
TIMEOUT_S = 30.0  # from the look-up of the name to the last byte of the answer


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is the JSON of an answer that succeeded, None of any other."""

    status: int
    body: Any
    retry_after: str


class Rest:
    """See the module.

    Args:
        url: https://host, with a path before every other; http:// on this machine only.
        ca_file: PEM; the server's authority, if the system does not know it.
        timeout_s: of one request.

    Raises:
        BadOptionError: the URL is none, or is read by anyone on the way.
    """

    def __init__(self, url: str, *, ca_file: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._parts = parts = _parts(url)
        self.shown = f"{parts.scheme}://{parts.netloc}"
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._ca_file = ca_file
        self._timeout_s = timeout_s

    def call(
        self, method: str, path: str, headers: Mapping[str, str], body: object = None
    ) -> Answer:
        """One request on a connection of its own. Raises DownloadError."""
        content = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        told = {"Accept": "application/json", **kind, **headers}
        try:
            with self._connected() as wire:
                connection = http.client.HTTPConnection(self._host, self._port)
                connection.sock = wire
                connection.request(method, self._prefix + path, content, told)
                return _answer(connection.getresponse())
        except DownloadError as exc:  # of the pace
            raise DownloadError(f"{self.shown}: {exc}", reason=exc.reason) from exc
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as exc:
            what = exc.strerror if isinstance(exc, OSError) else None
            message = f"{self.shown}: {what or exc or type(exc).__name__}"
            raise DownloadError(message, reason=_reason(exc)) from exc

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """A socket as `http.client` uses it, with the deadline in each of its reads and writes."""
        pace = Pace(time.monotonic() + self._timeout_s, Limits(rate=0))
        with dial(self._parts, pace, pace.left_s) as plain:
            if not self._tls:
                yield _Wire(plain, pace)
                return
            context = ssl.create_default_context(cafile=self._ca_file or None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            plain.settimeout(pace.left_s())  # of the whole handshake, not of one read
            with context.wrap_socket(plain, server_hostname=self._host) as secured:
                yield _Wire(secured, pace)


class _Wire(Wire):
    """Stays open for the body: `http.client` closes it before, where the server ends with it."""

    def close(self) -> None:
        pass


def _answer(response: http.client.HTTPResponse) -> Answer:
    """Raises ValueError for more than may be, and for what is no JSON."""
    read = response.read(BYTES_MAX + 1)
    if len(read) > BYTES_MAX:
        raise ValueError(f"an answer of more than {BYTES_MAX} bytes")
    good = response.status in (200, 201, 204)
    parsed = json.loads(read) if good and read else None
    return Answer(response.status, parsed, response.headers.get("Retry-After", ""))


def _reason(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "too-slow"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return "certificate"
    return "connection" if isinstance(exc, OSError) else "malformed"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise BadOptionError("url", f"is no URL: {exc}") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise BadOptionError("url", "must be like https://host")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadOptionError("url", "ends after the path, and holds no user: give a token")
    if not allowed(parts):
        raise BadOptionError("url", f"{url} sends the token in the clear; use https://")
    return parts
