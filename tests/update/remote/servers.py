"""Real web servers in threads that hand out a dictionary of files, well or badly.

    with Server(repository.files) as server:
        server.badly("timestamp.json", drip)

A behaviour is a function of the request handler and the right bytes.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Handler = http.server.BaseHTTPRequestHandler
Behaviour = Callable[[Handler, bytes], None]


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` on a port of its own; `requests` are the paths and headers that were asked."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.files, self.closing = files, threading.Event()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        self.ahead_s = 0  # of its Date
        self._behaviours: list[tuple[str, Behaviour]] = []
        self._tls = tls
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}/"

    def badly(self, part: str, behaviour: Behaviour) -> None:
        """From now on, for each path that holds `part`."""
        self._behaviours.insert(0, (part, behaviour))

    def well(self) -> None:
        self._behaviours.clear()

    def behaviour(self, path: str) -> Behaviour:
        return next((b for part, b in self._behaviours if part in path), honest)

    def asked(self, part: str) -> list[dict[str, str]]:
        """The headers of all requests for a path that holds `part`."""
        return [headers for path, headers in self.requests if part in path]

    def get_request(self) -> tuple[socket.socket, object]:
        connected, address = super().get_request()
        self.connections += 1
        if self._tls:
            connected.settimeout(5)
            connected = self._tls.wrap_socket(
                connected, server_side=True, do_handshake_on_connect=False
            )
        return connected, address

    def handle_error(self, *_: object) -> None:
        """A client that has enough goes away."""

    def __enter__(self) -> Server:  # noqa: PYI034 - Self is in typing from 3.11 on
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Request(Handler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        path = unquote(self.path).lstrip("/")
        self.server.requests.append((path, dict(self.headers)))
        content = self.server.files.get(path)
        behaviour = self.server.behaviour(path)
        if content is None and behaviour is honest:
            return status(404)(self, b"")
        return behaviour(self, content or b"")

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(timestamp or time.time() + self.server.ahead_s)

    def log_message(self, *_: object) -> None:
        pass


def honest(handler: Handler, content: bytes) -> None:
    """The bytes, or the part of them that was asked for."""
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    if asked and start >= len(content):
        return status(416)(handler, b"")
    handler.send_response(206 if asked else 200)
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    _body(handler, content[start:])
    return None


def ignoring_range(handler: Handler, content: bytes) -> None:
    handler.send_response(200)
    _body(handler, content)


def status(code: int, **headers: str) -> Behaviour:
    def behave(handler: Handler, _content: bytes) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        _body(handler, b"no")

    return behave


def redirect(location: str) -> Behaviour:
    return status(302, Location=location)


def altered(change: Callable[[bytes], bytes]) -> Behaviour:
    return lambda handler, content: honest(handler, change(content))


def flipped(content: bytes) -> bytes:
    """The same length, one bit different."""
    return content[:-1] + bytes([content[-1] ^ 1])


def endless(handler: Handler, _content: bytes) -> None:
    """Chunks without a length and without an end."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    while not handler.server.closing.is_set():
        handler.wfile.write(piece)


def drip(handler: Handler, _content: bytes) -> None:
    """A byte every 20 ms, for ever."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b"1\r\n \r\n")


def drip_headers(handler: Handler, _content: bytes) -> None:
    """A byte of a header that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b"x")


def silent(handler: Handler, _content: bytes) -> None:
    handler.server.closing.wait(30)


def truncated(at: int) -> Behaviour:
    """The right length is said, and the connection closed after `at` bytes of what is left."""

    def behave(handler: Handler, content: bytes) -> None:
        _begin(handler, content, at)
        handler.close_connection = True

    return behave


def reset(at: int) -> Behaviour:
    """As `truncated`, with a reset of the connection."""

    def behave(handler: Handler, content: bytes) -> None:
        _begin(handler, content, at)
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return behave


def _begin(handler: Handler, content: bytes, at: int) -> None:
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    handler.send_response(206 if asked else 200)
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    handler.wfile.write(content[start : start + at])


def _body(handler: Handler, content: bytes) -> None:
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def certificate(folder: Path, host: str = "127.0.0.1", *, days: int = 1) -> ssl.SSLContext:
    """A server's TLS by a certificate of its own, also in `folder`/ca.pem; `days` < 0: expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge-run test")])
    now = dt.datetime.now(dt.timezone.utc)
    with contextlib.suppress(ValueError):
        known = x509.IPAddress(ipaddress.ip_address(host))
    if not host[0].isdigit():
        known = x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=10))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([known]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
