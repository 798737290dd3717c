"""A maker's repository on disk, and bare python-tuf as its judge."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import unquote, urlparse

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from edge_runtime.release import roots
from edge_runtime.release.candidate import Terms
from edge_runtime.release.keys import Keys
from edge_runtime.release.tool import Tool

from ...needs import ROOT

DAYS = {"root": 365, "targets": 90, "snapshot": 7, "timestamp": 7}
SECRET = "open sesame"
NO_TERMS = Terms()


class Files(FetcherInterface):
    """Static files, as a web server would give them."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlparse(url).path))
        if not path.is_file():
            raise DownloadHTTPError(f"{path}: not there", 404)
        yield path.read_bytes()


class Device:
    """One client that remembers, as it came from the factory."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        self.metadata.mkdir(parents=True)
        self.targets.mkdir()
        self.repository = repository
        self.root = (repository / "metadata/1.root.json").read_bytes()

    def refresh(self, after: timedelta = timedelta()) -> Updater:
        """All that python-tuf checks; raises what it raises. `after`: on that later day."""
        updater = Updater(
            str(self.metadata),
            f"{self.repository.as_uri()}/metadata/",
            str(self.targets),
            f"{self.repository.as_uri()}/targets/",
            Files(),
            bootstrap=self.root,
        )
        updater._trusted_set.reference_time = datetime.now(timezone.utc) + after
        updater.refresh()
        return updater

    def releases(self) -> dict[str, dict]:
        """Path -> signed facts."""
        return {
            path: target.custom["edge-run"]
            for path, target in self.refresh()._trusted_set.targets.targets.items()
        }

    def download(self, path: str) -> bytes:
        updater = self.refresh()
        return Path(updater.download_target(updater.get_targetinfo(path))).read_bytes()


def now() -> datetime:
    return datetime.now(timezone.utc)


def keys_in(*folders: Path, secret: str = SECRET) -> Keys:
    return Keys(folders, lambda fresh: secret)


def maker(folder: Path, at: datetime | None = None) -> Tool:
    """A fresh repository with its keys beside it."""
    keys = keys_in(folder / "keys")
    roots.create(folder / "repo", keys, DAYS, at or now())
    return Tool(folder / "repo", keys, at or now())


def model(folder: Path, version: str = "1.0.0") -> Path:
    """A small model directory of its own, quick to prove."""
    made = folder / f"half-plus-two-{version}"
    shutil.copytree(ROOT / "models/half-plus-two", made)
    text = (made / "model.toml").read_text()
    (made / "model.toml").write_text(text.replace('version = "1.0.0"', f'version = "{version}"'))
    return made
