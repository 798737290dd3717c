"""A bundle into its part file: resumed over connections, mirrors and the death of the process.

The file never holds more bytes than were declared, and what is whole in it was hashed. Bytes that
another mirror spoilt cost one more transfer, never the update.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from edge_runtime.errors import DownloadError, UpdateError, VerificationError

from .fetch import Answer, Fetcher, within
from .mirrors import StatusError, telling

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # bytes held, bytes in all

_PASSES = 5  # over all mirrors, as long as each brings bytes
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Wanted(NamedTuple):
    """What a file must be."""

    length: int  # bytes
    hashes: Mapping[str, str]  # by algorithm, as hashlib names it, in hex; all must be right


def bring(
    wanted: Wanted,
    urls: Sequence[str],
    part: Path,
    *,
    fetcher: Fetcher,
    progress: Progress | None = None,
) -> str:
    """Fill `part` from the first URL that gives the right bytes; gives that URL.

    Raises:
        VerificationError: "hash" or "oversize", when no URL gave the right bytes.
        DownloadError: they could not be had now, or this disk takes or gives none ("no-space",
            "disk"); what came is kept for the next time.
    """
    try:
        with _opened(part) as file:
            return _brought(wanted, urls, file, fetcher, progress)
    except OSError as exc:  # the network's are DownloadErrors by now
        raise of_the_disk(str(part), exc) from exc


def _brought(
    wanted: Wanted,
    urls: Sequence[str],
    file: BinaryIO,
    fetcher: Fetcher,
    progress: Progress | None,
) -> str:
    for _ in range(_PASSES):
        before = _held(file)
        failures: list[UpdateError] = []
        for url in urls:
            try:
                _from_one(wanted, url, file, fetcher, progress)
            except UpdateError as failure:
                log.warning("update: %s", failure)
                failures.append(failure)
            else:
                os.fsync(file.fileno())
                return url
        if _held(file) <= before:
            break
    raise telling(urls, failures)


def _from_one(
    wanted: Wanted, url: str, file: BinaryIO, fetcher: Fetcher, progress: Progress | None
) -> None:
    """Complete the file from one URL; from its start if what was held proves wrong."""
    for _ in range(2):
        resumed = _held(file) > 0
        if _held(file) < wanted.length:
            _append(wanted, url, file, fetcher, progress)
        if _is_right(wanted, file):
            return
        file.truncate(0)
        if not resumed:
            break
    names = ", ".join(wanted.hashes)
    raise VerificationError(f"{url}: is not what was signed ({names})", reason="hash")


def _append(
    wanted: Wanted, url: str, file: BinaryIO, fetcher: Fetcher, progress: Progress | None
) -> None:
    """Read on where the file ends. A server that cannot is read from the start."""
    end = fetcher.limits.end(wanted.length)
    start = _held(file)
    try:
        with fetcher.open(url, end=end, start=start) as answer:
            if answer.status == 206:
                _check_part(answer, start, wanted.length, url)
            elif start:
                file.truncate(0)
            _write(wanted, url, file, answer, progress)
    except StatusError as failure:
        if failure.status != 416 or not start:
            raise
        file.truncate(0)
        _append(wanted, url, file, fetcher, progress)


def _write(
    wanted: Wanted, url: str, file: BinaryIO, answer: Answer, progress: Progress | None
) -> None:
    held = file.seek(0, os.SEEK_END)
    for chunk in within(answer, wanted.length - held, url):
        held += _put(file, chunk)
        if progress:
            progress(held, wanted.length)
    if held < wanted.length:
        raise DownloadError(
            f"{url}: {wanted.length - held} bytes are missing at its end", reason="truncated"
        )


def _opened(part: Path) -> BinaryIO:
    """The file, made if need be, unbuffered; a link planted in its place is an attack."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(part, flags, 0o600), "r+b", buffering=0)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise VerificationError(f"{part}: is a link", reason="link") from exc
        raise


def _check_part(answer: Answer, start: int, length: int, url: str) -> None:
    """A part must begin where ours ends, of a file of the right length. RFC 9110, 14.4."""
    where = answer.headers.get("content-range", "")
    if not (where.startswith(f"bytes {start}-") and where.endswith((f"/{length}", "/*"))):
        raise StatusError(f"{url}: the part {where!r} came", reason="range", status=416)


def _put(file: BinaryIO, chunk: bytes) -> int:
    view = memoryview(chunk)
    while view:  # a disk that fills takes a piece first, and then refuses
        view = view[file.write(view) :]
    return len(chunk)


def of_the_disk(where: str, exc: OSError) -> DownloadError:
    """What a disk of this device says, as a failure that may pass."""
    reason = "no-space" if exc.errno in _FULL else "disk"
    return DownloadError(f"{where}: {exc.strerror} on this device", reason=reason)


def _held(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _is_right(wanted: Wanted, file: BinaryIO) -> bool:
    """Raises VerificationError where nothing of what was signed can be checked here."""
    try:
        sums = {name: hashlib.new(name) for name in wanted.hashes}
    except ValueError as exc:
        raise VerificationError(f"signed with an unknown hash: {exc}", reason="hash") from exc
    file.seek(0)
    while chunk := file.read(1 << 20):
        for digest in sums.values():
            digest.update(chunk)
    found = {name: digest.hexdigest() for name, digest in sums.items()}
    return bool(found) and found == wanted.hashes
