"""URLs of cameras: checked, with the log-in put in, and fit to be shown."""

from __future__ import annotations

from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from .errors import BadOptionError


def parse(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of the option `url`. Raises BadOptionError, which never shows a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise BadOptionError("url", f"is no URL: {exc}") from exc
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise BadOptionError("url", f"must be like {schemes[0]}://host:port/path")
    if parts.username is not None:
        raise BadOptionError(
            "url", "holds a user name: give it as username and password, or in the environment"
        )
    return parts


def with_login(parts: SplitResult, username: str, password: str) -> str:
    """The URL as FFmpeg wants it."""
    if not username:
        return urlunsplit(parts)
    login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def shown(parts: SplitResult) -> str:
    """For messages: without the query, in which some cameras want the password."""
    return urlunsplit(parts._replace(query="", fragment=""))
