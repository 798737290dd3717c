"""Bytes from a mirror: https, a file or a folder, within limits of time, rate and size.

TLS is always verified; `http://` is for this machine alone. A redirect stays on its host and never
leaves TLS. A host that sent us away (Retry-After) is not asked again before its time: `waits`.
"""

from __future__ import annotations

import email.utils
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from edge_runtime.errors import DownloadError, VerificationError

from .mirrors import PLAIN, StatusError, allowed
from .pace import Limits, Pace
from .waits import Wait, Waits
from .web import Web, chunks, drain, shown

_CHUNK = 65_536
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_REASONS = {
    403: "forbidden",
    404: "not-found",
    410: "not-found",
    416: "range",
    429: "busy",
    503: "busy",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A file that begins to come. `length` is of what comes, None where the server does not say."""

    status: int  # 200, or 206 for a part
    headers: Mapping[str, str]  # keys in lower case
    length: int | None
    chunks: Iterator[bytes]  # raises DownloadError when it ends early or is too slow


class Fetcher:
    """Reads from mirrors; keeps one connection open between requests, so close it.

    Args:
        limits: of time and rate.
        ca_file: the only authorities to trust, instead of the system's.
        waits: a file of ours, of hosts that are not to be asked before a moment.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        ca_file: Path | None = None,
        waits: Path | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.server_time: int | None = None  # the last answer's Date: a hint, never trusted
        self._web = Web(self.limits, ca_file)
        self._waits = Waits(waits)

    def __enter__(self) -> Fetcher:  # noqa: PYI034 - Self is in typing from 3.11 on
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._web.close()

    def read(self, url: str, limit: int, end: float) -> bytes:
        """A small file whole, by the moment `end` of `time.monotonic`.

        Raises:
            VerificationError: "oversize", before more than `limit` bytes are kept.
            DownloadError: everything else; StatusError for an answer without a file.
        """
        held = bytearray()
        with self.open(url, end=end) as answer:
            for chunk in within(answer, limit, url):
                held += chunk
        return bytes(held)

    @contextmanager
    def open(self, url: str, *, end: float, start: int = 0) -> Iterator[Answer]:
        """Begin to read a file, from byte `start` where the server can (status 206)."""
        pace = Pace(end, self.limits)
        for _ in range(_REDIRECTS):
            parts = urlsplit(url)
            if parts.scheme == "file":
                with _file(url, start) as answer:
                    yield answer
                return
            self._admit(parts)
            headers = {"Accept-Encoding": "identity"} | (
                {"Range": f"bytes={start}-"} if start else {}
            )
            with self._web.get(parts, headers, pace) as response:
                told = {key.lower(): value for key, value in response.getheaders()}
                self.server_time = _moment(told.get("date", ""))
                if response.status in (200, 206):
                    _check_encoding(parts, told)
                    coming = chunks(shown(parts), response)
                    yield Answer(response.status, told, response.length, coming)
                    return
                drain(response)
                if response.status not in _MOVED:
                    raise self._failure(parts, response.status, told)
                url = _followed(parts, told.get("location", ""))
        raise DownloadError(f"{shown(parts)}: more than {_REDIRECTS} redirects", reason="redirect")

    def _admit(self, parts: SplitResult) -> None:
        if not allowed(parts):
            raise DownloadError(f"{shown(parts)}: only https is read", reason="redirect")
        if wait := self._waits.of(parts.netloc):
            raise _status(parts, wait.status, wait)

    def _failure(self, parts: SplitResult, status: int, told: Mapping[str, str]) -> StatusError:
        """What an answer without a file says; a busy server's Retry-After is kept to from now."""
        seconds = _seconds(told.get("retry-after", "")) if status in (429, 503) else 0.0
        wait = self._waits.begin(parts.netloc, seconds, status) if seconds else None
        return _status(parts, status, wait)


def within(answer: Answer, limit: int, url: str) -> Iterator[bytes]:
    """The chunks, never more than `limit` bytes of them. Raises VerificationError("oversize")."""
    left = limit - (answer.length or 0)
    if left >= 0:
        left = limit
        for chunk in answer.chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    if left < 0:
        raise VerificationError(f"{url}: longer than the {limit} bytes it may", reason="oversize")


@contextmanager
def _file(url: str, start: int) -> Iterator[Answer]:
    path = Path(unquote(urlsplit(url).path))
    try:  # a pipe or a device planted on a stick must neither block nor be read
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise StatusError(f"{path}: {exc.strerror}", reason="not-found", status=404) from exc
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise StatusError(f"{path}: no file", reason="not-found", status=404)
    with os.fdopen(descriptor, "rb") as file:
        if start and start >= facts.st_size:
            raise StatusError(f"{path}: ends before", reason="range", status=416)
        file.seek(start)
        told = {"content-range": f"bytes {start}-{facts.st_size - 1}/{facts.st_size}"}
        yield Answer(206 if start else 200, told, facts.st_size - start, _pieces(file, path))


def _pieces(file: BinaryIO, path: Path) -> Iterator[bytes]:
    while True:
        try:
            piece = file.read(_CHUNK)
        except OSError as exc:  # a stick that was pulled
            raise DownloadError(f"{path}: {exc.strerror}", reason="connection") from exc
        if not piece:
            return
        yield piece


def _followed(old: SplitResult, location: str) -> str:
    """Where a redirect leads: on the same host, and by TLS unless it never was."""
    try:
        there = urljoin(old.geturl(), location)
        new = urlsplit(there)
        usable = PLAIN.fullmatch(there) and new.username is None and new.port != 0
    except ValueError:
        usable = None
    if not usable:
        raise DownloadError(f"{shown(old)}: sends us to no address", reason="redirect")
    if new.hostname != old.hostname or new.scheme not in ("https", old.scheme):
        raise DownloadError(
            f"{shown(old)}: sends us to {new.scheme}://{new.hostname}, which is not followed; "
            "name that address as a mirror if it is yours",
            reason="redirect",
        )
    return there


def _status(parts: SplitResult, status: int, wait: Wait | None) -> StatusError:
    told, away_s = "", 0.0
    if wait:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(wait.until))
        told, away_s = f" and asked to wait until {stamp} UTC", wait.until - time.time()
    return StatusError(
        f"{shown(parts)}: the server said {status}{told}",
        reason=_REASONS.get(status, "server"),
        status=status,
        retry_after_s=away_s,
    )


def _check_encoding(parts: SplitResult, headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity") != "identity":
        raise DownloadError(f"{shown(parts)}: comes encoded, unasked", reason="encoding")


def _moment(date: str) -> int | None:
    try:
        return int(email.utils.parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds(retry_after: str) -> float:
    """Of a Retry-After: a number of seconds or a date; 0 for anything else. RFC 9110, 10.2.3."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    moment = _moment(retry_after)
    return max(0.0, moment - time.time()) if moment else 0.0
