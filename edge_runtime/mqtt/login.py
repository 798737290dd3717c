"""Where an MQTT broker is and how to get in: URL, user, certificates, and what is too careless."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge_runtime.errors import BadOptionError, ConfigError

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
    """A checked way into a broker. The password never appears in `repr` or in a message.

    Raises BadOptionError for what contradicts itself, and for a broker off this machine that is
    reached in the clear or without a user or client certificate, unless `allow_insecure` is set.
    """

    address: Address
    username: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    allow_insecure: bool = False

    def __repr__(self) -> str:
        return f"Login({self.address}, user {self.username or '-'})"

    def __post_init__(self) -> None:
        if self.password and self.password_file:
            raise BadOptionError("password_file", "stands beside password; give only one of them")
        if (self.password or self.password_file) and not self.username:
            raise BadOptionError("username", "is missing beside the password")
        if bool(self.cert_file) != bool(self.key_file):
            key = "key_file" if self.cert_file else "cert_file"
            raise BadOptionError(key, "is missing: cert_file and key_file go together")
        if (self.ca_file or self.cert_file) and not self.address.tls:
            raise BadOptionError("url", "certificates need mqtts:// or wss://")
        if not self.allow_insecure and not self.address.loopback:
            self._check_secure()

    def _check_secure(self) -> None:
        if not self.address.tls:
            raise BadOptionError(
                "url",
                f"{self.address} sends results in the clear over the network; use mqtts://, or "
                "set allow_insecure = true",
            )
        if not self.username and not self.cert_file:
            raise BadOptionError(
                "username",
                f"{self.address} is used without a user or client certificate, so anyone may "
                "publish there; give one, or set allow_insecure = true",
            )

    def read_password(self) -> str:
        """The password, read from its file if it has one. Raises ConfigError."""
        if not self.password_file:
            return self.password
        try:
            return Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"password_file: {self.password_file}: {_say(exc)}") from exc

    def context(self) -> ssl.SSLContext | None:
        """TLS 1.2 or newer with the broker's name checked; None for a plain connection.

        Raises ConfigError for a certificate or key that cannot be used.
        """
        if not self.address.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as exc:
            raise ConfigError(f"ca_file: {self.ca_file}: {_say(exc)}") from exc
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = _TidySocket
        if self.cert_file:
            _check_private(self.key_file)
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_passphrase)
            except OSError as exc:
                raise ConfigError(
                    f"cert_file: {self.cert_file}, {self.key_file}: {_say(exc)}"
                ) from exc
        return context


class _TidySocket(ssl.SSLSocket):
    """Is closed at once when the handshake fails, as paho leaves it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _check_private(path: str) -> None:
    """Refuse a key of ours that others may read, as ssh does."""
    try:
        facts = Path(path).stat()
    except OSError as exc:
        raise ConfigError(f"key_file: {path}: {_say(exc)}") from exc
    if facts.st_uid == os.getuid() and facts.st_mode & 0o077:
        raise ConfigError(f"key_file: {path}: others may read it; run chmod 600 {path}")


def _no_passphrase() -> str:
    raise ConfigError("key_file: is protected by a passphrase, and nobody is here to type it")


def _say(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError):
        return str(exc.reason or exc).replace("_", " ").lower()
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
