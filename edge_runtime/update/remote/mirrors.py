"""The addresses of one repository, and which failure to tell of."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from edge_runtime.errors import BadOptionError, DownloadError, UpdateError, VerificationError

METADATA, TARGETS = "metadata/", "targets/"  # folders of a repository


def address(mirror: str) -> str:
    """The URL of a mirror, ending in "/": https, http on this machine, file, or a folder's path.

    Raises BadOptionError for anything else; it never shows a password.
    """
    if "://" not in mirror:
        return f"{Path(mirror).resolve().as_uri()}/"
    try:
        parts = urlsplit(mirror)
        _ = parts.port
    except ValueError as exc:
        raise BadOptionError("repository", f"is no URL: {exc}") from exc
    if parts.username is not None or parts.query or parts.fragment:
        raise BadOptionError("repository", "must be an address without log-in, query and fragment")
    if not (parts.path if parts.scheme == "file" else allowed(parts)):
        raise BadOptionError(
            "repository", f"{mirror}: must be https://host/path, file:///path or a folder"
        )
    return mirror if mirror.endswith("/") else f"{mirror}/"


def allowed(parts: SplitResult) -> bool:
    """Whether bytes may come from there: by TLS, or from this very machine."""
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
