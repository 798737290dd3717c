"""An answer over HTTP that never ends, read with a time-out for every piece.

The standard library's client cannot go on after a time-out; a camera that pauses is no reason to
connect anew.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from urllib.parse import SplitResult, urlunsplit

from .http_login import answer

_HEAD_MAX = 16 * 1024
_PIECE = 64 * 1024
_LINE_MAX = 1024
_PORTS = {"http": 80, "https": 443}


class HttpError(Exception):
    """The server does not give what was asked for; the text goes on after the URL."""


class HttpStream:
    """The body of a GET, without its chunks. `content_type` is valid after `open`."""

    def __init__(
        self, parts: SplitResult, username: str, password: str, context: ssl.SSLContext | None
    ) -> None:
        self._parts, self._login, self._context = parts, (username, password), context
        self._target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._socket: socket.socket | None = None
        self._held = b""
        self._chunks: _Chunks | None = None
        self.content_type = ""

    def open(self, timeout_s: float) -> None:
        """Raises HttpError, OSError."""
        status, headers = self._get(timeout_s, None)
        if status == http.client.UNAUTHORIZED and self._login[0]:
            challenges = headers.get_all("WWW-Authenticate") or []
            authorization = answer(challenges, *self._login, self._target)
            if authorization is None:
                raise HttpError("wants a log-in that is neither Basic nor Digest")
            status, headers = self._get(timeout_s, authorization)
        if status != http.client.OK:
            raise HttpError(_refusal(status, known=bool(self._login[0])))
        self.content_type = headers.get("Content-Type", "")
        chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        self._chunks = _Chunks() if chunked else None

    def read(self, timeout_s: float) -> bytes | None:
        """The next bytes; None when there were none in time, b"" at the end.

        Raises OSError, HttpError (chunks that are none).
        """
        assert self._socket is not None
        raw, self._held = self._held, b""
        if not raw:
            self._socket.settimeout(max(timeout_s, 1e-3))
            try:
                raw = self._socket.recv(_PIECE)
            except TimeoutError:
                return None
        if not raw or self._chunks is None:
            return raw
        return self._chunks.joined(raw) or None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _get(
        self, timeout_s: float, authorization: str | None
    ) -> tuple[int, http.client.HTTPMessage]:
        self.close()
        due = time.monotonic() + timeout_s
        self._socket = self._connected(timeout_s)
        host = self._parts.netloc
        lines = [f"GET {self._target} HTTP/1.1", f"Host: {host}", "User-Agent: edge-run"]
        lines += ["Accept: multipart/x-mixed-replace, */*", "Connection: close"]
        if authorization:
            lines.append(f"Authorization: {authorization}")
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            self._socket.settimeout(max(due - time.monotonic(), 1e-3))
            piece = self._socket.recv(_PIECE)
            head += piece
            if not piece or len(head) > _HEAD_MAX + _PIECE:
                raise HttpError("does not answer as a web server")
        head, _, self._held = head.partition(b"\r\n\r\n")
        first, _, rest = head.partition(b"\r\n")
        words = first.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise HttpError("does not answer as a web server")
        try:
            return int(words[1]), http.client.parse_headers(io.BytesIO(rest + b"\r\n\r\n"))
        except http.client.HTTPException as exc:
            raise HttpError("does not answer as a web server") from exc

    def _connected(self, timeout_s: float) -> socket.socket:
        host = self._parts.hostname or ""
        plain = socket.create_connection(
            (host, self._parts.port or _PORTS[self._parts.scheme]), timeout_s
        )
        if self._context is None:
            return plain
        try:
            return self._context.wrap_socket(plain, server_hostname=host)
        except OSError:
            plain.close()
            raise


class _Chunks:
    """Takes the lines of a chunked body (RFC 9112, section 7.1) out of it."""

    def __init__(self) -> None:
        self._held = b""
        self._left = 0  # bytes of this chunk that are still to come

    def joined(self, raw: bytes) -> bytes:
        """Raises HttpError."""
        self._held += raw
        out = b""
        while self._held:
            if self._left:
                out += self._held[: self._left]
                taken = min(self._left, len(self._held))
                self._held, self._left = self._held[taken:], self._left - taken
                continue
            line, ended, rest = self._held.partition(b"\n")
            if not ended:
                if len(line) > _LINE_MAX:
                    raise HttpError("sends chunks that are none")
                break
            self._held = rest
            size = line.partition(b";")[0].strip()
            if size:  # an empty line ends the chunk before
                try:
                    self._left = int(size, 16)
                except ValueError:
                    raise HttpError("sends chunks that are none") from None
        return out


def _refusal(status: int, *, known: bool) -> str:
    if status == http.client.UNAUTHORIZED:
        if known:
            return "refuses the user name and password"
        return "wants a user name and password: set username, and EDGE_RUN_MJPEG_PASSWORD"
    if status == http.client.NOT_FOUND:
        return "is not there: the server knows no such path (404)"
    phrase = http.client.responses.get(status, "")
    return f"answers {status} {phrase}".rstrip()
