"""Who may sign: the first root, its successors, and signatures gathered from several machines."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import ConfigError, VerificationError
from edge_runtime.state import settle

from . import files, repository
from .keys import ROLES, Keys
from .publish import DAYS, DAYS_KEY, expiry, lifetime, sign
from .repository import METADATA, Repository, signed_by

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root

ROOT_KEYS, ROOT_THRESHOLD = 3, 2


def create(folder: Path, keys: Keys, days: Mapping[str, int], now: datetime) -> Repository:
    """An empty repository with new keys; the folder must not exist, or be empty.

    The metadata are renamed into it whole. Raises ConfigError, OSError; no key stays then.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty; take a new folder")
    with keys.kept_with(folder / METADATA):
        first = _first(keys, {**DAYS, **days}, now)
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".new.") as scratch:
            made = Path(scratch, METADATA)
            made.mkdir()
            for name, content in first.items():
                files.write(made / name, content)
            for path in (folder, made):
                path.chmod(0o755)  # for the web server, whatever the umask is
            made.rename(folder / METADATA)
            settle(folder)
        settle(folder.resolve().parent)
    return repository.read(folder)


def successor(seen: Repository, role: str, old: str, keys: Keys, now: datetime) -> Metadata[Root]:
    """The next root, signed with what is at hand, with a new key for a role ("" for none).

    Args:
        seen: the repository now.
        role: whose key is replaced.
        old: the beginning of the id of the key to replace; needed where a role has several.
        keys: a new key goes there.
        now: the new root lives as long from now as the last one did.
    """
    from tuf.api.metadata import Metadata

    root = deepcopy(seen.root.signed)
    root.version += 1
    root.expires = expiry("root", now, {"root": lifetime(seen.root)})
    replaced = _one(root.roles[role].keyids, role, old) if role else ""
    signers = list(keys.find("root", seen.root.signed))
    if role:
        made = keys.make(role)
        root.revoke_key(replaced, role)
        root.add_key(made.public_key, role)
        signers += [made] if role == "root" else []
    draft: Metadata[Root] = Metadata(root)
    sign(draft, signers)
    return draft


def add_signatures(draft: Metadata[Any], keys: Keys) -> int:
    """Sign a draft with the root keys at hand; how many more it needs. Raises ConfigError."""
    if draft.signed.type != "root":
        raise ConfigError(f"a draft of root.json is asked for, this is {draft.signed.type}")
    found = keys.find("root", draft.signed)
    if not found:
        keys.need("root", draft.signed)  # says which files would do
    for signer in found:
        draft.sign(signer, append=True)
    valid = draft.signed.get_verification_result("root", draft.signed_bytes, draft.signatures)
    missing: int = draft.signed.roles["root"].threshold - len(valid.signed)
    return max(0, missing)


def complete(seen: Repository, draft: Metadata[Root]) -> bool:
    """Whether enough keys of the present root and of the draft's own signed it."""
    return signed_by(seen.root, "root", draft) and signed_by(draft, "root", draft)


def check(seen: Repository, draft: Metadata[Any], now: datetime) -> None:
    """Raises VerificationError for what may not follow the present root."""
    wanted = seen.root.signed.version + 1
    if draft.signed.type != "root" or draft.signed.version != wanted:
        raise VerificationError(
            f"the draft is {draft.signed.type} {draft.signed.version}, root {wanted} comes next: "
            "make it anew",
            reason="rollback",
        )
    if not complete(seen, draft):
        raise VerificationError(
            f"the draft bears too few signatures; {ROOT_THRESHOLD} of the root keys must sign: "
            "edge-release root-sign",
            reason="bad-signature",
        )
    if draft.signed.is_expired(now):
        raise VerificationError(
            f"the draft ended on {draft.signed.expires:%Y-%m-%d}: make it anew", reason="expired"
        )


def _one(keyids: list[str], role: str, beginning: str) -> str:
    fitting = [keyid for keyid in keyids if keyid.startswith(beginning)]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(keyid[:8] for keyid in keyids)
    raise ConfigError(f"{role}: say with --key which of its keys is replaced: {listed}")


def _first(keys: Keys, days: Mapping[str, int], now: datetime) -> dict[str, bytes]:
    from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

    signers = {
        role: [keys.make(role) for _ in range(ROOT_KEYS if role == "root" else 1)] for role in ROLES
    }
    made: dict[str, Any] = {}
    for kind in (Root, Targets, Snapshot, Timestamp):
        signed = kind(expires=expiry(kind.type, now, days))
        signed.unrecognized_fields[DAYS_KEY] = days[kind.type]
        made[kind.type] = Metadata(signed)
    for role, its in signers.items():
        for signer in its:
            made["root"].signed.add_key(signer.public_key, role)
    made["root"].signed.roles["root"].threshold = ROOT_THRESHOLD
    content: dict[str, bytes] = {}
    for role in ("root", "targets", "snapshot", "timestamp"):
        if role == "snapshot":
            made[role].signed.meta["targets.json"] = MetaFile.from_data(
                1, content["1.targets.json"], ["sha256"]
            )
        if role == "timestamp":
            made[role].signed.snapshot_meta = MetaFile.from_data(
                1, content["1.snapshot.json"], ["sha256"]
            )
        sign(made[role], signers[role])
        name = "timestamp.json" if role == "timestamp" else f"1.{role}.json"
        content[name] = made[role].to_bytes()
    return content
