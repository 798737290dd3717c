"""HTTP requests that are paced, over TLS that is verified, on a connection that is kept."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult

from edge_runtime import __version__
from edge_runtime.errors import ConfigError, DownloadError

from .dial import dial
from .pace import Limits, Pace, Wire

_CHUNK = 65_536
_CLOSED = (ConnectionError, ssl.SSLEOFError, http.client.BadStatusLine)  # while it was idle


class Web:
    """One client of web servers; keeps its last connection open. See `Fetcher`."""

    def __init__(self, limits: Limits, ca_file: Path | None) -> None:
        self._limits, self._ca_file = limits, ca_file
        self._context: ssl.SSLContext | None = None
        self._kept: _Connection | None = None

    def close(self) -> None:
        if self._kept:
            self._kept.wire.end()
            self._kept = None

    @contextmanager
    def get(
        self, parts: SplitResult, headers: dict[str, str], pace: Pace
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer to GET. Raises DownloadError for all that is no answer."""
        with _named(shown(parts)):
            connection, response = self._response(parts, headers, pace)
        try:
            yield response
        finally:
            if response.isclosed() and connection.http.sock:  # read to its end, to be kept
                self._kept = connection
            else:
                connection.wire.end()

    def _response(
        self, parts: SplitResult, headers: dict[str, str], pace: Pace
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        kept, self._kept = self._kept, None
        if kept and kept.origin == parts[:2]:
            kept.wire.pace = pace
            with suppress(*_CLOSED):
                return kept, kept.ask(parts, headers)
        elif kept:
            kept.wire.end()
        connection = _Connection(parts, self._connected(parts, pace))
        return connection, connection.ask(parts, headers)

    def _connected(self, parts: SplitResult, pace: Pace) -> Wire:
        def patience() -> float:
            return min(self._limits.connect_s, pace.left_s())

        if parts.scheme != "https":
            return Wire(dial(parts, pace, patience), pace)
        context = self._tls()
        with dial(parts, pace, patience) as plain:  # the secured one has its descriptor
            plain.settimeout(patience())
            return Wire(context.wrap_socket(plain, server_hostname=parts.hostname), pace)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            try:
                self._context = ssl.create_default_context(
                    cafile=str(self._ca_file) if self._ca_file else None
                )
            except (OSError, ssl.SSLError) as exc:
                raise ConfigError(
                    f"{self._ca_file}: no certificates of authorities ({exc})"
                ) from exc
        return self._context


class _Connection:
    def __init__(self, parts: SplitResult, wire: Wire) -> None:
        self.origin, self.wire = parts[:2], wire
        self.http = http.client.HTTPConnection(parts.netloc)
        self.http.auto_open = 0
        self.http.sock = wire

    def ask(self, parts: SplitResult, headers: dict[str, str]) -> http.client.HTTPResponse:
        path = parts.path or "/"
        own = {"Host": parts.netloc, "User-Agent": f"edge-run/{__version__}"}
        with ExitStack() as unanswered:
            unanswered.callback(self.wire.end)
            self.http.putrequest(
                "GET",
                f"{path}?{parts.query}" if parts.query else path,
                skip_host=True,
                skip_accept_encoding=True,
            )
            for key, value in {**own, **headers}.items():
                self.http.putheader(key, value)
            self.http.endheaders()
            response = self.http.getresponse()
            unanswered.pop_all()
        return response


def shown(parts: SplitResult) -> str:
    """A URL as messages name it: what a redirect adds to it after "?" may open doors."""
    return parts._replace(query="", fragment="").geturl()


def chunks(url: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes. Raises DownloadError, "truncated" when it ends early."""
    left = response.length
    while True:
        with _named(url):
            chunk = response.read1(_CHUNK)
        if not chunk:
            break
        left = None if left is None else left - len(chunk)
        yield chunk
    if left:
        raise DownloadError(f"{url}: the server closed {left} bytes early", reason="truncated")
    response.close()


def drain(response: http.client.HTTPResponse) -> None:
    """Read the short body of an answer that nobody wants, so that the connection can be kept."""
    if response.length is not None and response.length <= _CHUNK:
        with suppress(OSError, http.client.HTTPException, DownloadError):  # the status is told
            response.read()


@contextmanager
def _named(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as exc:
        raise _unreachable(url, exc) from exc
    except DownloadError as exc:  # of the pace, of a proxy
        raise DownloadError(f"{url}: {exc}", reason=exc.reason) from exc


def _unreachable(url: str, exc: OSError | http.client.HTTPException) -> DownloadError:
    reason, what = "connection", str(exc) or type(exc).__name__
    if isinstance(exc, ssl.SSLError):
        reason = "tls"
        if isinstance(exc, ssl.SSLCertVerificationError):
            what = f"its certificate: {exc.verify_message} (or is the clock of this device wrong?)"
    elif isinstance(exc, socket.gaierror):
        reason, what = "name", f"no such host ({exc.strerror})"
    elif isinstance(exc, TimeoutError):
        reason, what = "too-slow", "no answer"
    elif isinstance(exc, http.client.IncompleteRead):
        reason, what = "truncated", "the server closed early"
    return DownloadError(f"{url}: {what}", reason=reason)
