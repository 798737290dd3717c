"""The addresses of one repository, and which failure to tell of."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from edge_runtime.errors import ConfigError, DownloadError, UpdateError, VerificationError

METADATA, TARGETS = "metadata/", "targets/"  # folders of a repository

PLAIN = re.compile(r"[!-~]+")  # what a request holds as it is


def address(mirror: str) -> str:
    """The URL of a mirror, ending in "/": https, http on this machine, file, or a folder's path.

    Raises ConfigError for anything else; it never shows a password.
    """
    if "://" not in mirror:
        return f"{Path(mirror).resolve().as_uri()}/"
    try:
        parts = urlsplit(mirror)
        (parts.hostname or "").encode("idna")
        _ = parts.port
    except ValueError:
        raise ConfigError("the address of the repository is no URL") from None
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError("the address of a repository has no log-in, query and fragment")
    local = parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path
    if not (local or (allowed(parts) and PLAIN.fullmatch(mirror))):
        raise ConfigError(
            f"{mirror}: the address of a repository must be https://host/path, file:///path or a "
            "folder; what is not ASCII is percent-encoded"
        )
    return mirror if mirror.endswith("/") else f"{mirror}/"


def allowed(parts: SplitResult) -> bool:
    """Whether bytes may come from there: by TLS, or from this very machine."""
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def join(base: str, relative: str) -> str:
    """The URL of a file below `base`; percent signs of `relative` are taken as they are."""
    return base + quote(relative, safe="/%:@!$&'()*+,;=~")


def telling(mirrors: Sequence[str], failures: Sequence[UpdateError]) -> UpdateError:
    """Of one failure for each mirror, the one to raise: an attack before a bad line."""
    attacks = (failure for failure in failures if isinstance(failure, VerificationError))
    chosen = next(attacks, failures[0])
    if len(mirrors) > 1:
        told = "; ".join(f"{m}: {f}" for m, f in zip(mirrors, failures, strict=False))
        chosen.args = (f"no mirror would do: {told}",)
    return chosen


class StatusError(DownloadError):
    """A server's answer that holds no file. `retry_after_s` is 0 where it did not say."""

    def __init__(
        self, message: str, *, reason: str, status: int, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message, reason=reason)
        self.status, self.retry_after_s = status, retry_after_s


def is_loopback(host: str) -> bool:
    """Whether this machine is meant."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
