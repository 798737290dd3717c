"""The client protocol of the public TUF conformance suite, spoken by edge-run's own client.

    conformance --metadata-dir DIR init TRUSTED_ROOT
    conformance --metadata-dir DIR --metadata-url URL refresh
    conformance --metadata-dir DIR --metadata-url URL --target-name NAME --target-base-url URL
                --target-dir DIR download

It is the layer below releases: `trust` and `download`, with delegations, without custom facts.
DIR shows what is trusted, as root.json, timestamp.json ...; the client's own files lie beneath.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import quote

from edge_runtime.errors import EdgeRunError, VerificationError
from edge_runtime.update.remote import floors, trust
from edge_runtime.update.remote.download import Wanted, bring
from edge_runtime.update.remote.fetch import Fetcher
from edge_runtime.update.remote.mirrors import join
from edge_runtime.update.remote.sets import Sets


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("metadata-url", "target-name", "target-base-url"):
        parser.add_argument(f"--{option}", default="")
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--target-dir", type=Path)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("init").add_argument("trusted_root", type=Path)
    verbs.add_parser("refresh")
    verbs.add_parser("download")
    given = parser.parse_args(argv)
    if given.verb == "init":
        shutil.copyfile(given.trusted_root, given.metadata_dir / "embedded-root")
        shutil.copyfile(given.trusted_root, given.metadata_dir / "root.json")
        return 0
    try:
        with Fetcher() as fetcher:
            _act(given, fetcher)
    except EdgeRunError as exc:
        print(f"{getattr(exc, 'reason', '')}: {exc}", file=sys.stderr)
        return 1
    finally:
        _show(given.metadata_dir)
    return 0


def _act(given: argparse.Namespace, fetcher: Fetcher) -> None:
    root = (given.metadata_dir / "embedded-root").read_bytes()
    device = trust.Device(given.metadata_dir / "kept", root, fetcher, int(time.time()))
    url = given.metadata_url.rstrip("/") + "/"
    if given.verb == "refresh":
        trust.renew(device, url)
        return
    trusted, target = trust.find(device, url, given.target_name)
    if target is None:
        raise VerificationError(f"no target {given.target_name!r}", reason="not-found")
    prefix = next(iter(target.hashes.values()))
    folder, slash, name = target.path.rpartition("/")
    path = f"{folder}{slash}{prefix}.{name}" if trusted.root.consistent_snapshot else target.path
    to = given.target_dir / quote(target.path, safe="")
    wanted = Wanted(target.length, target.hashes)
    part = given.metadata_dir / "kept" / f"{prefix}.part"
    if to.exists():
        shutil.copy2(to, part)  # the right bytes already (then of their old date), or none
    bring(wanted, [join(given.target_base_url.rstrip("/") + "/", path)], part, fetcher=fetcher)
    part.replace(to)


def _show(folder: Path) -> None:
    """What is trusted now, under the plain names."""
    held = Sets(folder / "kept").current()
    if held is None:
        return
    for path in folder.glob("*.json"):
        path.unlink()
    for path in held.glob("*.json"):
        if path.name != floors.NAME:
            os.link(path.resolve(), folder / path.name)


if __name__ == "__main__":
    sys.exit(main())
