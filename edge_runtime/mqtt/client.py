"""A paho client made to our rules, and what it says in words that help."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from .credentials import Secrets
    from .login import Login
    from .terms import Terms

Version: TypeAlias = Literal["5", "3.1.1"]
Alarm: TypeAlias = Literal["", "client-id-takeover", "certificate", "login"]

CONNECT_TIMEOUT_S = 5.0  # for TCP, and again for TLS

# Reason codes of MQTT 5.0, section 2.4.
NOT_AUTHORISED, KEEPALIVE_TIMEOUT, WILL_NOT_RETAINED, WILL_QOS_TOO_HIGH = 135, 141, 154, 155
_UNSUPPORTED_VERSION, _TAKEN_OVER = 132, 142
_LOGIN = frozenset({134, NOT_AUTHORISED, 140})  # user or password, rights, method
_HOPELESS = frozenset({133, 138, *_LOGIN})  # client id, banned
_SAID_MAX = 200  # characters of what a broker says that are worth repeating

# Codes of OpenSSL's certificate verification, x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _CRL_NOT_YET_VALID, _CRL_EXPIRED = 9, 10, 11, 12
_DATED = frozenset({_NOT_YET_VALID, _EXPIRED, _CRL_NOT_YET_VALID, _CRL_EXPIRED})


class LinkDownError(Exception):
    """There is no connection.

    `hopeless` says that only a person can change that, `alarm` whom to call, `code` is the
    broker's reason (MQTT 5.0, section 2.4) and `more` that another broker is to be tried at once.
    """

    def __init__(
        self, cause: str, *, hopeless: bool = False, alarm: Alarm = "", code: int = 0
    ) -> None:
        super().__init__(cause)
        self.hopeless = hopeless
        self.alarm: Alarm = alarm
        self.code = code
        self.more = False


class NotSpokenError(LinkDownError):
    """The broker may not speak this version of MQTT; `sure` when it said so itself."""

    def __init__(self, cause: str, *, sure: bool = False) -> None:
        super().__init__(cause)
        self.sure = sure


def make(login: Login, secrets: Secrets, terms: Terms, version: Version) -> Client:
    """A client that never reconnects, queues or starts a thread by itself."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    protocols = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=terms.client_id,
        clean_session=terms.session_expiry_s == 0 if version == "3.1.1" else None,
        protocol=protocols[version],
        transport="websockets" if login.address.websocket else "tcp",
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages = 0  # the owner keeps the window
    if login.address.websocket:
        client.ws_set_options(path=login.address.path)
    if secrets.context is not None:
        client.tls_set_context(secrets.context)
    if login.username:
        client.username_pw_set(login.username, secrets.password)
    if terms.will is not None:
        client.will_set(*terms.will, qos=terms.will_qos, retain=terms.will_retained)
    return client


def dial(client: Client, login: Login, terms: Terms) -> None:
    """Connect TCP and TLS and send CONNECT. Raises LinkDownError."""
    from paho.mqtt.enums import MQTTProtocolVersion

    options: dict[str, Any] = {}
    if client.protocol == MQTTProtocolVersion.MQTTv5:
        options["clean_start"] = terms.session_expiry_s == 0
        options["properties"] = _wishes(terms.session_expiry_s)
    host, port = login.address.host, login.address.port
    try:
        client.connect(host, port, ping_interval_s(terms.keepalive_s), **options)
    except (ssl.SSLEOFError, ConnectionResetError) as exc:
        hint = ": does it speak TLS on this port?" if login.address.tls else ""
        raise LinkDownError(f"it closed the connection at once{hint}") from exc
    except ssl.SSLError as exc:
        raise tls_fault(exc) from exc
    except socket.gaierror as exc:
        raise LinkDownError(f"no such host ({exc.strerror})") from exc
    except OSError as exc:
        if exc.errno == errno.ECONNREFUSED:
            raise LinkDownError("nothing listens there (connection refused)") from exc
        said = exc.strerror or str(exc) or type(exc).__name__
        raise LinkDownError(f"out of reach ({said.lower()})") from exc
    except UnicodeError as exc:
        raise LinkDownError("its name is not one that a host can have", hopeless=True) from exc


def ping_interval_s(keepalive_s: int) -> int:
    """What to give to paho: it pings after one keepalive, gives up after two: 1.5 of ours."""
    return max(1, keepalive_s * 3 // 4)


def _wishes(session_expiry_s: int) -> Properties | None:
    """What CONNECT asks for (MQTT 5.0, section 3.1.2.11)."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    if session_expiry_s == 0:
        return None
    wishes: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    wishes.SessionExpiryInterval = session_expiry_s
    asked: Properties = wishes
    return asked


def say_goodbye(client: Client, version: Version) -> None:
    """Send DISCONNECT: a normal one, after which no will is published (MQTT 5.0, 3.14.2.1)."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

    client.disconnect(ReasonCode(PacketTypes.DISCONNECT) if version == "5" else None)


def twin(descriptor: int) -> socket.socket:
    """A second socket object for the same connection: its options are the connection's."""
    return socket.socket(fileno=os.dup(descriptor))


def tune(descriptor: int, keepalive_s: int) -> None:
    """Send small packets at once, and notice within a keepalive that nothing gets through."""
    with twin(descriptor) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            limit_ms = keepalive_s * 1000
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)


def linger(sock: socket.socket, until: float) -> None:
    """Read until the broker hangs up too, or the monotonic time `until`.

    A socket that is closed on unread bytes resets the connection, which may overtake DISCONNECT:
    then the will is published after all.
    """
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while (left_s := until - time.monotonic()) > 0:
            sock.settimeout(left_s)
            if not sock.recv(4096):
                return


def tls_fault(exc: ssl.SSLError) -> LinkDownError:
    """Why TLS was not agreed upon, or ended; with the time of day where that is the reason."""
    reason = exc.reason or str(exc)
    if isinstance(exc, ssl.SSLCertVerificationError):
        cause = f"TLS failed: {exc.verify_message.lower()}"
        if exc.verify_code in _DATED:
            cause += time.strftime(" (this machine's clock says %Y-%m-%d %H:%M UTC)", time.gmtime())
        # A clock that is set after the boot mends what is not yet valid.
        hopeless = exc.verify_code not in (_NOT_YET_VALID, _CRL_NOT_YET_VALID)
        return LinkDownError(cause, hopeless=hopeless, alarm="certificate")
    _, alert, said = reason.partition("_ALERT_")
    words = (said or reason).replace("_", " ").lower()
    if not alert:
        return LinkDownError(f"TLS failed: {words}", hopeless=True)
    if "certificate" in words or "unknown ca" in words or "access denied" in words:
        cause = f"TLS failed: it refuses our certificate, or that we have none: {words}"
        return LinkDownError(cause, hopeless=True, alarm="certificate")
    return LinkDownError(f"TLS failed: it refused: {words}", hopeless=True)


def refusal(code: ReasonCode, extra: Properties | None) -> LinkDownError:
    """What a broker that refused to connect us said."""
    cause = f"it refused: {words(code, extra)}"
    if code.value == _UNSUPPORTED_VERSION:
        return NotSpokenError(cause, sure=True)
    alarm: Alarm = "login" if code.value in _LOGIN else ""
    return LinkDownError(cause, hopeless=code.value in _HOPELESS, alarm=alarm, code=code.value)


def farewell(code: ReasonCode, extra: Properties | None, client_id: str) -> LinkDownError:
    """What a broker that sent us away said."""
    if code.value == _TAKEN_OVER:
        cause = f"another client connected as '{client_id}': give each its own client_id"
        return LinkDownError(cause, hopeless=True, alarm="client-id-takeover", code=code.value)
    cause = f"it hung up: {words(code, extra)}"
    alarm: Alarm = "login" if code.value in _LOGIN else ""
    return LinkDownError(cause, hopeless=code.value in _HOPELESS, alarm=alarm, code=code.value)


def words(code: ReasonCode, extra: Properties | None) -> str:
    """A reason code, the broker's own words, and where else it wants us (MQTT 5.0, 4.11)."""
    said = [str(code).lower()]
    for part, name in (("{}", "ReasonString"), ("use {}", "ServerReference")):
        text = getattr(extra, name, "")
        if text:
            said.append(part.format("".join(filter(str.isprintable, text))[:_SAID_MAX]))
    return "; ".join(said)
