"""A TUF repository in memory, made with python-tuf's Metadata API, that a test can attack.

`files` is what a server hands out, by path; an attacker changes it, or signs with what it stole.
"""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import time
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from edge_runtime.update.release import Release

DAYS = {"root": 365, "targets": 90, "snapshot": 7, "timestamp": 7}


class Repository:
    """Root needs two of three keys, each other role its one."""

    def __init__(self, now: int | None = None, *, consistent: bool = True) -> None:
        self.now = int(time.time()) if now is None else now
        self.files: dict[str, bytes] = {}
        self.signers = {role: [new_key()] for role in DAYS}
        self.signers["root"] = [new_key() for _ in range(3)]
        self.root = Root(consistent_snapshot=consistent)
        self.targets, self.snapshot, self.timestamp = Targets(), Snapshot(), Timestamp()
        for role in DAYS:
            getattr(self, role).version = 0
        for role, signers in self.signers.items():
            for signer in signers:
                self.root.add_key(signer.public_key, role)
        self.root.roles["root"].threshold = 2
        self.publish("root", "targets", "snapshot", "timestamp")
        self.first_root = self.files["metadata/1.root.json"]

    def publish(self, *roles: str) -> None:
        """Sign the next version of each role, in the order given; its parent learns of it."""
        for role in roles or ("targets", "snapshot", "timestamp"):
            getattr(self, role).version += 1
            self.put(role)

    def put(self, role: str) -> bytes:
        """Sign a role as it stands, and serve it."""
        signed = getattr(self, role)
        birth = dt.datetime.fromtimestamp(self.now, dt.timezone.utc)
        signed.expires = birth + dt.timedelta(days=DAYS[role])
        signed.unrecognized_fields["x-edge-run-days"] = DAYS[role]
        content = self.signature(role)
        plain = role == "timestamp" or (role != "root" and not self.root.consistent_snapshot)
        name = f"{role}.json" if plain else f"{signed.version}.{role}.json"
        self.files[f"metadata/{name}"] = content
        digest = hashlib.sha256(content).hexdigest()
        meta = MetaFile(signed.version, len(content), {"sha256": digest})
        if role == "targets":
            self.snapshot.meta["targets.json"] = meta
        elif role == "snapshot":
            self.timestamp.snapshot_meta = meta
        return content

    def signature(self, role: str) -> bytes:
        """The bytes of a role as it stands, signed by its keys."""
        metadata = Metadata(copy.deepcopy(getattr(self, role)))
        for signer in self.signers[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def rotate(self, *roles: str) -> None:
        """Give roles new keys, in a new root; `publish` them afterwards."""
        for role in roles:
            old = self.signers[role]
            self.signers[role] = [new_key() for _ in old]
            for key in old:
                self.root.revoke_key(key.public_key.keyid, role)
            for key in self.signers[role]:
                self.root.add_key(key.public_key, role)
        self.publish("root")

    def rotate_root(self) -> None:
        """New keys for root itself: signed by the old ones and the new ones."""
        old = self.signers["root"]
        fresh = [new_key() for _ in old]
        for key in old:
            self.root.revoke_key(key.public_key.keyid, "root")
        for key in fresh:
            self.root.add_key(key.public_key, "root")
        self.signers["root"] = old + fresh
        self.publish("root")
        self.signers["root"] = fresh

    def release(self, content: bytes, version: str = "1.0.0", **facts: object) -> Release:
        """Add a bundle to the targets; `publish` afterwards."""
        digest = hashlib.sha256(content).hexdigest()
        asked = {"name": "lamp", "counter": 1, "task": "classify", "formats": ("tflite",)} | facts
        path = f"{asked['name']}/{version}.tar"
        made = Release(path=path, digest=digest, length=len(content), version=version, **asked)
        target = TargetFile(len(content), {"sha256": digest}, path, {"custom": made.custom()})
        self.targets.targets[path] = target
        self.files[f"targets/{self.place(made)}"] = content
        return made

    def place(self, release: Release) -> str:
        """Where a bundle lies below targets/."""
        folder, _, name = release.path.rpartition("/")
        return (
            f"{folder}/{release.digest}.{name}" if self.root.consistent_snapshot else release.path
        )

    def write(self, folder: Path) -> Path:
        """All of it as files, as on a stick."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder


def new_key() -> CryptoSigner:
    return CryptoSigner.generate_ed25519()
