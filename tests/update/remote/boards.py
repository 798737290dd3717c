"""A device as the tests of metadata and fetching see it: a folder, a root, a clock."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_runtime.errors import UpdateError, VerificationError
from edge_runtime.update.remote import metadata
from edge_runtime.update.remote.download import Wanted, bring
from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.remote.metadata import Metadata
from edge_runtime.update.remote.pace import Limits

from .repository import Repository
from .servers import Server

BUNDLE = random.Random(1).randbytes(200_000)
WANTED = Wanted(len(BUNDLE), {"sha256": hashlib.sha256(BUNDLE).hexdigest()})
QUICK = Limits(connect_s=5, metadata_s=1.0, rate=1000, window_s=0.5)  # a drip gives 25 in that
DAY = 86_400


class Board:
    """Refreshes from servers, or folders, by a clock that a test sets."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self.folder, self.root = folder / "tuf", repository.first_root
        self.now = int(time.time())

    def refresh(
        self, *mirrors: Server | str | Path, limits: Limits | None = None, floor: int = 0
    ) -> Metadata:
        with Fetcher(limits=limits) as fetcher:
            return metadata.refresh(
                self.folder, self.root, _urls(mirrors), fetcher, now=self.now, time_floor=floor
            )

    def refused(self, *mirrors: Server | str | Path, limits: Limits | None = None) -> str:
        """The reason for which a refresh is refused as an attack."""
        with pytest.raises(VerificationError) as caught:
            self.refresh(*mirrors, limits=limits)
        return caught.value.reason

    def failed(self, *mirrors: Server | str | Path, limits: Limits | None = None) -> UpdateError:
        with pytest.raises(UpdateError) as caught:
            self.refresh(*mirrors, limits=limits)
        return caught.value

    def truncate(self) -> None:
        """What a power cut left of python-tuf's files: their names."""
        for path in self.folder.rglob("*.json"):
            if path.name != "floor.json" and not path.is_symlink():
                path.write_bytes(b"")


def _urls(mirrors: Sequence[Server | str | Path]) -> list[str]:
    return [mirror.url if isinstance(mirror, Server) else str(mirror) for mirror in mirrors]


def versions(found: Metadata) -> dict[str, int]:
    return dict(found.versions)


def fetched(board: Board, server: Server) -> Path:
    """The bundle of the one release, brought."""
    part = board.folder.parent / "release.part"
    found = board.refresh(server)
    with Fetcher() as fetcher:
        metadata.download(found, found.releases[0], part, fetcher=fetcher)
    return part


def get(part: Path, *servers: Server | str, limits: Limits | None = None, **options: object) -> str:
    """The bundle alone, from servers that have it as "b"; gives the URL that it is from."""
    urls = [server if isinstance(server, str) else f"{server.url}b" for server in servers]
    with Fetcher(limits=limits, **options) as fetcher:
        return bring(WANTED, urls, part, fetcher=fetcher)


def failure(part: Path, *servers: Server | str, **options: object) -> UpdateError:
    with pytest.raises(UpdateError) as caught:
        get(part, *servers, **options)
    return caught.value
