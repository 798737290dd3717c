"""The log beside the file, after a sync of it may have failed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def renew(log: Path) -> None:
    """Write its bytes again, and synchronise them. Raises OSError.

    After a failed sync the system may hold them for written when they are not, and a later one
    that succeeds says nothing of them (https://lwn.net/Articles/752063/). The process that saw it
    fail may have been an earlier one. Only for who has the lock.
    """
    with suppress(FileNotFoundError), log.open("rb+", buffering=0) as file:
        while chunk := file.read(1_000_000):
            file.seek(-len(chunk), os.SEEK_CUR)
            file.write(chunk)
        os.fsync(file.fileno())
