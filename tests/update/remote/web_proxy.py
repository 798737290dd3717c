"""A real HTTP proxy in a thread: it makes tunnels (CONNECT), to this machine whatever is asked."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable

from .servers import Server

Handler = http.server.BaseHTTPRequestHandler


class WebProxy(http.server.ThreadingHTTPServer):
    """Leads to one server whatever host it is asked for; `asked` are those, and their headers."""

    daemon_threads = True

    def __init__(self, behind: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnels)
        self.port = self.server_address[1]
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.behave: Callable[[Handler], None] | None = None  # in place of a tunnel
        self.behind = behind

    def handle_error(self, *_: object) -> None:
        """A client that has enough goes away."""

    def __enter__(self) -> WebProxy:  # noqa: PYI034 - Self is in typing from 3.11 on
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Tunnels(Handler):
    def do_CONNECT(self) -> None:  # noqa: N802 - http.server's name
        self.server.asked.append((self.path, dict(self.headers)))
        if self.server.behave:
            return self.server.behave(self)
        with socket.create_connection(self.server.behind.server_address) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_relay, args=(there, self.connection))
            back.start()
            _relay(self.connection, there)
            back.join()
        return None

    def log_message(self, *_: object) -> None:
        pass


def _relay(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        to.close()
