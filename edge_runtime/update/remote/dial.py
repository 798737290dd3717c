"""A connection to a web server within a deadline: its name, its addresses, the proxy before it.

The proxy is that of `https_proxy`, or else `all_proxy`, in small letters or capitals, as curl and
requests read them: `http://[user:password@]host[:port]`, port 80 where none is said. It makes a
tunnel (CONNECT; RFC 9110, 9.3.6), so TLS ends at the repository's own server. `no_proxy` lists
hosts and endings of names that are reached directly, `*` all. This machine is always reached
directly; `http_proxy` plays no part, for http:// is for this machine alone.
"""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from collections.abc import Callable
from concurrent import futures
from contextlib import ExitStack
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from edge_runtime.errors import ConfigError, DownloadError

from .mirrors import is_loopback
from .pace import Pace, Wire

Patience = Callable[[], float]  # seconds that the next step may take; raises when there are none


def dial(parts: SplitResult, pace: Pace, patience: Patience) -> socket.socket:
    """A TCP connection to the server of a URL.

    Raises OSError; DownloadError: "proxy", or the pace's; ConfigError: the proxy's URL is none.
    """
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = _proxy(parts.scheme, host)
    if proxy is None:
        return _reached(host, port, patience)
    near, near_port = proxy.hostname or "", proxy.port or 80
    with ExitStack() as unless_open:
        try:
            reached = _reached(near, near_port, patience)
            unless_open.callback(reached.close)
            server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            _open(Wire(reached, pace), server, _login(proxy))
        except (OSError, http.client.HTTPException) as exc:
            what = f"the proxy {near}:{near_port}: {str(exc) or type(exc).__name__}"
            raise DownloadError(what, reason="proxy") from exc
        unless_open.pop_all()
    return reached


def _proxy(scheme: str, host: str) -> SplitResult | None:
    """The proxy on the way to a host. Raises ConfigError, which does not show it."""
    told = getproxies()
    url = told.get(scheme) or told.get("all")
    if not url or is_loopback(host) or proxy_bypass(host):
        return None
    try:
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        if proxy.scheme == "http" and proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:
        pass
    raise ConfigError(
        "https_proxy (or all_proxy) of the environment must be http://host:port, "
        "with user:password@ before the host for a proxy that asks for them"
    )


def _login(proxy: SplitResult) -> str:
    if proxy.username is None:
        return ""
    told = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Proxy-Authorization: Basic {base64.b64encode(told.encode()).decode()}\r\n"


def _open(wire: Wire, server: str, login: str) -> None:
    """A tunnel. Raises OSError when the proxy makes none."""
    wire.sendall(f"CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n{login}\r\n".encode())
    with http.client.HTTPResponse(wire, method="CONNECT") as answer:  # type: ignore[arg-type]
        answer.begin()
        if answer.status // 100 != 2:
            hint = ": its user:password@ goes before its host" * (answer.status == 407)
            raise OSError(f"it says {answer.status}{hint}")


def _reached(host: str, port: int, patience: Patience) -> socket.socket:
    """Connected to the first address of a host that answers."""
    failure = OSError("has no address")
    for *_, address in _addresses(host, port, patience()):
        try:
            return socket.create_connection(address[:2], patience())
        except OSError as exc:
            failure = exc
    raise failure


def _addresses(host: str, port: int, patience_s: float) -> list[Any]:
    """As getaddrinfo(3) says, which takes no time-out: a look-up that hangs is left behind."""
    found: futures.Future[list[Any]] = futures.Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            found.set_exception(exc)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        return found.result(patience_s)
    except futures.TimeoutError:
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answers") from None
    except UnicodeError as exc:
        raise socket.gaierror(socket.EAI_NONAME, "it is no name") from exc
