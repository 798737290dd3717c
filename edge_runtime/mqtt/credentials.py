"""What proves who we are and who the broker is, read again whenever a file of it has changed."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from edge_runtime import state
from edge_runtime.errors import ConfigError

from .client import Alarm, LinkDownError, tls_fault

if TYPE_CHECKING:
    from .login import Login

log = logging.getLogger(__name__)

_Mark: TypeAlias = tuple[int, int, int] | None
_NO_NEWS = (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLZeroReturnError, ssl.SSLEOFError)


class Context(ssl.SSLContext):
    """TLS 1.2 or newer that checks the broker's certificate and name.

    `server_name` stands for the URL's host when it is set. `fault` is why the last connection
    ended, when TLS said so: with TLS 1.3 a broker refuses our certificate after the handshake.
    """

    server_name = ""
    fault: LinkDownError | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        self.fault = None
        if self.server_name:
            options["server_hostname"] = self.server_name
        return super().wrap_socket(*args, **options)


class _Socket(ssl.SSLSocket):
    """Keeps what TLS says, where paho would tell it from any other loss."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()  # paho would leave it to the garbage collector
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except _NO_NEWS:
            raise
        except ssl.SSLError as exc:
            if isinstance(self.context, Context):
                self.context.fault = tls_fault(exc)
            self.close()
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:  # whoever closed may have said why before
            with suppress(OSError):
                self.recv(1)
            raise


@dataclass(frozen=True, slots=True)
class Secrets:
    """A password, and a TLS context unless the connection is plain."""

    password: str = field(default="", repr=False)
    context: Context | None = None


class Credentials:
    """The secrets of a login. Raises ConfigError for a file that cannot be used.

    `current` reads them again when a file is another than it was: replaced, rewritten or gone.
    What cannot be used then is a LinkDownError, and is read anew the next time.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._paths = _files(login)
        self._marks = list(map(_mark, self._paths))
        self._secrets = read(login)

    def current(self) -> Secrets:
        """The secrets as the files are now. Raises LinkDownError."""
        marks = list(map(_mark, self._paths))
        if marks != self._marks:
            try:
                self._secrets = read(self._login)
            except ConfigError as exc:
                secret = str(exc).startswith("password_file")
                alarm: Alarm = "login" if secret else "certificate"
                raise LinkDownError(str(exc), alarm=alarm) from exc
            pairs = zip(self._paths, marks, self._marks, strict=True)
            changed = (path for path, now, then in pairs if now != then)
            log.info("credentials were read again: %s changed", ", ".join(changed))
            self._marks = marks
        return self._secrets


def read(login: Login) -> Secrets:
    """Read the files of a login. Raises ConfigError."""
    return Secrets(_password(login), _context(login) if login.address.tls else None)


def _files(login: Login) -> list[str]:
    """What may change while we run; the system's own authorities where none are named."""
    named = [login.password_file, login.cert_file, login.key_file, login.ca_file, login.crl_file]
    if login.address.tls and not login.ca_file:
        places = ssl.get_default_verify_paths()
        named += [places.cafile or "", places.capath or ""]
    return [path for path in named if path]


def _mark(path: str) -> _Mark:
    """What tells one state of a file from another; None when there is no file."""
    try:
        facts = Path(path).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def _password(login: Login) -> str:
    if not login.password_file:
        return login.password
    try:
        text = Path(login.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as exc:
        raise ConfigError(f"password_file: {login.password_file}: {_say(exc)}") from exc
    except UnicodeDecodeError:  # its text would repeat the file's bytes
        raise ConfigError(f"password_file: {login.password_file}: is not UTF-8") from None
    if not text:
        raise ConfigError(f"password_file: {login.password_file}: is empty")
    return text


def _context(login: Login) -> Context:
    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    context.server_name = login.server_name
    if login.alpn:
        context.set_alpn_protocols(list(login.alpn))
    if login.ca_file:
        _trust(context, "ca_file", login.ca_file)
    else:
        context.load_default_certs()
    if login.crl_file:
        _trust(context, "crl_file", login.crl_file)
        if context.cert_store_stats()["crl"] == 0:
            raise ConfigError(f"crl_file: {login.crl_file}: holds no revocation list")
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    if login.cert_file:
        _prove(context, login.cert_file, login.key_file)
    return context


def _trust(context: Context, key: str, path: str) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except OSError as exc:
        raise ConfigError(f"{key}: {path}: {_say(exc)}") from exc


def _prove(context: Context, cert_file: str, key_file: str) -> None:
    state.check_private(key_file, "key_file")
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_passphrase)
    except OSError as exc:
        raise ConfigError(f"cert_file: {cert_file}, {key_file}: {_say(exc)}") from exc


def _no_passphrase() -> str:
    raise ConfigError("key_file: is protected by a passphrase, and nobody is here to type it")


def _say(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError):
        return str(exc.reason or exc).replace("_", " ").lower()
    return exc.strerror or str(exc)
