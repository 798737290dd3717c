"""A model directory as one file: an uncompressed POSIX ustar that has one spelling only.

Regular files in the order of their names; mode 0644; no owner, no time, nothing after the two
blocks of zeros. Its sha256 therefore names the model: a folder hashes to the digest of the bundle
that it came from. The reader takes what `pack` writes and nothing else: a header must be, byte for
byte, the one that its name and size ask for, so links, devices, other modes, long-name extensions
and compression have no way in. (POSIX.1-2017, pax, "ustar Interchange Format".)
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from edge_runtime.errors import VerificationError
from edge_runtime.manifest import MANIFEST

from . import listing, tree
from .ustar import BLOCK, CHUNK, END, MOST_FILES, MOST_NAME, Names, header, malformed, walk

if TYPE_CHECKING:
    from hashlib import _Hash as Hash


def pack(directory: Path, bundle: Path) -> str:
    """Write what the manifest of a model directory names; gives the digest.

    Raises VerificationError("malformed") for a manifest, a name or a file of no use; OSError.
    """
    fresh = bundle.with_name(f"{bundle.name}.new")
    descriptor = tree.opened(directory)
    try:
        with tree.regular(MANIFEST, descriptor) as file:
            names = listing.named(file.read(listing.MOST_MANIFEST + 1), str(directory / MANIFEST))
        names |= {listing.README} & {name for name, _ in tree.entries(descriptor)}
        with fresh.open("wb") as out:
            digest = _spell(names, descriptor, out.write)
            out.flush()
            os.fsync(out.fileno())
    finally:
        os.close(descriptor)
    fresh.replace(bundle)
    return digest


def digest_of(directory: Path) -> str:
    """The digest of the bundle of all that lies in a folder, read from the disk, not from memory.

    Raises VerificationError("malformed") for what no bundle could have made, OSError.
    """
    descriptor = tree.opened(directory)
    try:
        return _spell(_found(descriptor), descriptor, len)
    finally:
        os.close(descriptor)


def unpack(bundle: Path, into: Path, digest: str) -> None:
    """Lay a bundle out in a new folder, every file and folder synchronised.

    It is hashed, then read for form, then copied and hashed once more while it is: nothing is
    written unless all of it is what `digest` says, and a change meanwhile is found.

    Raises:
        VerificationError: "hash", or "malformed". What was written is the caller's to remove.
        OSError: the disk is full or fails; `into` exists.
    """
    with tree.regular(bundle) as file:
        _compare(_sha256(file), digest, bundle)
        _check(file, bundle)
        into.mkdir(mode=0o700)
        descriptor = tree.opened(into)
        try:
            found = walk(file, bundle, lambda name, data: _write(name, data, descriptor))
            _settle(descriptor)
        finally:
            os.close(descriptor)
    _compare(found, digest, bundle)


def _check(file: BinaryIO, bundle: Path) -> None:
    """The whole form, before anything is written."""
    names: set[str] = set()
    manifest = bytearray()

    def receive(name: str, data: Iterator[bytes]) -> None:
        names.add(name)
        for block in data:
            if name == MANIFEST and len(manifest) <= listing.MOST_MANIFEST:
                manifest.extend(block)

    walk(file, bundle, receive)
    listing.check(names, bytes(manifest), str(bundle))


def _spell(names: set[str], folder: int, write: Callable[[bytes], object]) -> str:
    """Write the bundle of these files of an open folder; gives its digest."""
    sha256 = hashlib.sha256()
    taken = Names("folder")
    for name in sorted(names):
        taken.add(name)
        with tree.regular(name, folder) as file:
            size = os.fstat(file.fileno()).st_size
            _forget(file)
            written = _put(header(name, size), sha256, write)
            while block := file.read(CHUNK):
                written += _put(block, sha256, write)
            if written != BLOCK + size:
                raise VerificationError(f"{name}: changes while it is read", reason="hash")
            _put(bytes(-size % BLOCK), sha256, write)
    _put(END, sha256, write)
    return sha256.hexdigest()


def _put(block: bytes, sha256: Hash, write: Callable[[bytes], object]) -> int:
    sha256.update(block)
    write(block)
    return len(block)


def _forget(file: BinaryIO) -> None:
    """Let the next read come from the disk: what memory has was never doubted."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _found(folder: int, prefix: str = "") -> set[str]:
    """The names of all files in an open folder and below. Raises VerificationError."""
    names: set[str] = set()
    for name, mode in tree.entries(folder):
        path = prefix + name
        if len(names) > MOST_FILES or len(path) > MOST_NAME:
            raise malformed("folder", "more or longer names than a bundle holds")
        if not stat.S_ISDIR(mode):
            names.add(path)  # opened as a regular file or not at all
            continue
        inner = tree.opened(name, folder)
        try:
            below = _found(inner, f"{path}/")
        finally:
            os.close(inner)
        if not below:
            raise malformed(path, "an empty folder")
        names |= below
    return names


def _write(name: str, data: Iterator[bytes], folder: int) -> None:
    *folders, last = name.split("/")
    descriptor = os.dup(folder)
    try:
        for part in folders:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=descriptor)
            inner = tree.opened(part, descriptor)
            os.close(descriptor)
            descriptor = inner
        with tree.made(last, descriptor) as file:
            for block in data:
                file.write(block)
    finally:
        os.close(descriptor)


def _settle(folder: int) -> None:
    """Synchronise the names of an open folder, those below first."""
    for name, mode in tree.entries(folder):
        if stat.S_ISDIR(mode):
            inner = tree.opened(name, folder)
            try:
                _settle(inner)
            finally:
                os.close(inner)
    os.fsync(folder)


def _sha256(file: BinaryIO) -> str:
    sha256 = hashlib.sha256()
    while block := file.read(CHUNK):
        sha256.update(block)
    return sha256.hexdigest()


def _compare(found: str, digest: str, bundle: Path) -> None:
    if found != digest:
        raise VerificationError(
            f"{bundle}: sha256 is {found}, signed is {digest}: damaged or changed", reason="hash"
        )
