"""Where an MQTT broker is and how to get in: URL, user, certificates, and what is too careless."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from edge_runtime.errors import BadOptionError

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_SECURE = ("mqtts", "wss")


@dataclass(frozen=True, slots=True)
class Address:
    """A broker's place; `str()` gives its URL."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def tls(self) -> bool:
        return self.scheme in _SECURE

    @property
    def websocket(self) -> bool:
        return self.scheme in ("ws", "wss")

    @property
    def loopback(self) -> bool:
        """Whether the broker is on this machine, by name or address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_url(url: str) -> Address:
    """Read "mqtt://host:port" (or mqtts, ws, wss). Raises BadOptionError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise BadOptionError("url", f"{exc}; write it as mqtt://host:port") from exc
    if parts.scheme not in _PORTS:
        raise BadOptionError("url", f"must begin with one of {', '.join(_PORTS)}, as mqtt://host")
    if parts.username is not None or parts.password is not None:
        raise BadOptionError("url", "holds a user: give username, and password or password_file")
    if not parts.hostname:
        raise BadOptionError("url", "names no host; write it as mqtt://host:port")
    websocket = parts.scheme in ("ws", "wss")
    if parts.query or parts.fragment or (not websocket and parts.path not in ("", "/")):
        raise BadOptionError("url", "ends after the port; topics begin with `prefix`")
    path = (parts.path or "/mqtt") if websocket else ""
    return Address(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], path)


@dataclass(frozen=True, slots=True)
class Login:
    """A checked way into a broker, or into one of several. The password never appears in `repr`.

    `others` are tried in turn while `address` is out of reach; all are held to the same rules.
    `alpn` are the protocols to offer inside TLS; `server_name` is asked for (SNI) and must be in
    the broker's certificate where that is not the URL's host; `crl_file` lists revoked ones.

    Raises BadOptionError for what contradicts itself, and for a broker off this machine that is
    reached in the clear or without a user or client certificate, unless `allow_insecure` is set.
    """

    address: Address
    others: tuple[Address, ...] = ()
    username: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""
    crl_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    alpn: tuple[str, ...] = ()
    server_name: str = ""
    allow_insecure: bool = False

    def __repr__(self) -> str:
        return f"Login({', '.join(map(str, self.addresses))}, user {self.username or '-'})"

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every broker, in the order in which they are tried."""
        return (self.address, *self.others)

    def at(self, address: Address) -> Login:
        """The same way into one of the brokers alone."""
        return replace(self, address=address, others=())

    def __post_init__(self) -> None:
        if self.password and self.password_file:
            raise BadOptionError("password_file", "stands beside password; give only one of them")
        if (self.password or self.password_file) and not self.username:
            raise BadOptionError("username", "is missing beside the password")
        if bool(self.cert_file) != bool(self.key_file):
            key = "key_file" if self.cert_file else "cert_file"
            raise BadOptionError(key, "is missing: cert_file and key_file go together")
        if not all(name.isascii() and 0 < len(name) < 256 for name in self.alpn):
            raise BadOptionError("alpn", "holds a name that is not 1 to 255 ASCII characters")
        for address in self.addresses:
            self._check_tls(address)
            if not self.allow_insecure and not address.loopback:
                self._check_secure(address)

    def _check_tls(self, address: Address) -> None:
        """Refuse options of TLS beside a connection without it."""
        for key in ("ca_file", "crl_file", "cert_file", "alpn", "server_name"):
            if getattr(self, key) and not address.tls:
                raise BadOptionError("url", f"{address}: {key} needs mqtts:// or wss://")

    def _check_secure(self, address: Address) -> None:
        if not address.tls:
            raise BadOptionError(
                "url",
                f"{address} sends results in the clear over the network; use mqtts://, or "
                "set allow_insecure = true",
            )
        if not self.username and not self.cert_file:
            raise BadOptionError(
                "username",
                f"{address} is used without a user or client certificate, so anyone may "
                "publish there; give one, or set allow_insecure = true",
            )
