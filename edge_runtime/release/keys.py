"""The maker's private keys: ed25519, one PEM file each, readable by its owner alone.

Root and targets keys are locked with a passphrase and lie offline. Snapshot and timestamp keys
have none, since a timer signs with them: who steals those can hold devices back, not change what
they install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import state
from edge_runtime.errors import ConfigError

from . import files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Root

ROLES = ("root", "targets", "snapshot", "timestamp")
OFFLINE = frozenset({"root", "targets"})
SECRET_MAX = 1023  # bytes of a passphrase that OpenSSL takes

Ask = Callable[[bool], str]  # True: for a new key, so ask twice; "" is no passphrase


class Keys:
    """Folders of keys: `root-3f2a91c0.pem` is a root key whose id begins so.

    Args:
        folders: where to look, sticks among them; new keys go into the first.
        ask: gives the passphrase; called once, when it is needed.
        locked: whether new root and targets keys get the passphrase.
    """

    def __init__(self, folders: Sequence[Path], ask: Ask, *, locked: bool = True) -> None:
        self._folders = tuple(folders)
        self._ask = ask
        self._locked = locked
        self._passphrase: bytes | None = None
        self._made: list[Path] = []

    def make(self, role: str) -> CryptoSigner:
        """A new key, on disk before it signs anything. Raises ConfigError."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from securesystemslib.signer import CryptoSigner

        private = Ed25519PrivateKey.generate()
        signer = CryptoSigner(private)
        secret = self._secret(fresh=True) if role in OFFLINE and self._locked else b""
        pem = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(secret)
            if secret
            else serialization.NoEncryption(),
        )
        folder = self._folders[0]
        path = folder / file_name(role, signer.public_key.keyid)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made.append(path)
            files.write(path, pem, files.SECRET)
        except OSError as exc:
            raise ConfigError(f"--keys: {folder}: no key can be kept here: {exc.strerror}") from exc
        return signer

    @contextmanager
    def kept_with(self, *named: Path) -> Iterator[None]:
        """New keys go again when the block fails, unless one of the files `named` is there then."""
        with ExitStack() as unless_done:
            unless_done.callback(self._forget, named)
            yield
            unless_done.pop_all()

    def _forget(self, named: tuple[Path, ...]) -> None:
        if not any(path.exists() for path in named):
            for made in self._made:
                made.unlink(missing_ok=True)

    def find(self, role: str, root: Root) -> tuple[CryptoSigner, ...]:
        """The keys of a role that are at hand. Raises ConfigError for one that cannot be used."""
        from securesystemslib.signer import CryptoSigner

        found = []
        for keyid in root.roles[role].keyids:
            path = self._path(role, keyid)
            if path is not None:
                signer = CryptoSigner(self._load(path))
                if signer.public_key.keyid != keyid:
                    raise ConfigError(f"{path}: holds another key than its name says")
                found.append(signer)
        return tuple(found)

    def need(self, role: str, root: Root) -> tuple[CryptoSigner, ...]:
        """As many keys as the role's signatures need. Raises ConfigError naming the files."""
        found, needed = self.find(role, root), root.roles[role].threshold
        if len(found) < needed:
            names = " or ".join(file_name(role, keyid) for keyid in root.roles[role].keyids)
            where = ", ".join(map(str, self._folders)) or "nowhere: give --keys"
            raise ConfigError(
                f"{role}: {needed} of its keys must sign, {len(found)} found; looked for "
                f"{names} in {where}"
            )
        return found

    def _path(self, role: str, keyid: str) -> Path | None:
        name = file_name(role, keyid)
        return next((f / name for f in self._folders if (f / name).exists()), None)

    def _load(self, path: Path) -> Ed25519PrivateKey:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        state.check_private(str(path), "--keys")
        try:
            content = path.read_bytes()
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc
        locked = b"ENCRYPTED PRIVATE KEY" in content
        secret = self._secret(fresh=False) if locked else None
        if locked and not secret:
            raise ConfigError(
                f"{path}: is locked; set EDGE_RELEASE_PASSPHRASE or run on a terminal"
            )
        try:
            key = load_pem_private_key(content, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            why = "the passphrase is not this key's" if locked else "not a private key in PEM"
            raise ConfigError(f"{path}: {why}, or the file is damaged") from exc
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path}: not an ed25519 key")
        return key

    def _secret(self, *, fresh: bool) -> bytes:
        if self._passphrase is None:
            given = self._ask(fresh).encode("utf-8", "surrogateescape")
            if len(given) > SECRET_MAX:
                raise ConfigError(f"the passphrase has more than {SECRET_MAX} bytes")
            self._passphrase = given
        return self._passphrase


def file_name(role: str, keyid: str) -> str:
    """Of a key; its id is in root.json, so this is no secret."""
    return f"{role}-{keyid[:8]}.pem"
