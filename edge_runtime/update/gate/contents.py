"""What lies in a slot: only files that model.toml names, plain, unshared, and as it says."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from edge_runtime import manifest as manifests
from edge_runtime.backends import format_of, read_head
from edge_runtime.errors import ConfigError, ModelLoadError, VerificationError
from edge_runtime.manifest import MANIFEST, Manifest
from edge_runtime.update.store import listing

from .checks import Check
from .onnx_data import external

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CANNOT = (ConfigError, VerificationError, RecursionError, OSError, ValueError)


def read(directory: Path) -> tuple[Manifest | None, Check]:
    """The manifest, and whether it could be read."""
    expected = f"a {MANIFEST} that can be read, at most {listing.MOST_MANIFEST >> 20} MB"
    try:
        facts = (directory / MANIFEST).lstat()
        if not stat.S_ISREG(facts.st_mode):
            return None, Check("manifest", False, expected, "no plain file")
        if facts.st_size > listing.MOST_MANIFEST:
            return None, Check("manifest", False, expected, f"{facts.st_size >> 20} MB")
        listing.named((directory / MANIFEST).read_bytes(), MANIFEST)  # what it refuses is slow
        made = manifests.read(directory / MANIFEST)
        numbers = _numbers(dataclasses.asdict(made))
        if not all(math.isfinite(number) for number in numbers):
            return None, Check("manifest", False, expected, "a number that is NaN or infinite")
    except _CANNOT as exc:
        seen = "tables nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        return None, Check("manifest", False, expected, seen)
    return made, Check("manifest", True, expected, f"{made.name} {made.version}")


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value


def look(directory: Path, manifest: Manifest) -> Iterator[Check]:
    """Files, hashes, and weights kept elsewhere: in that order, before any loader reads a byte."""
    expected = "plain files, each named by model.toml"
    named = listing.named((directory / MANIFEST).read_bytes(), MANIFEST) | {listing.README}
    odd = next(_odd(directory, named), "")
    yield Check("files", not odd, expected, odd or "the same")
    for entry in manifest.file:
        wanted = entry.sha256 if _DIGEST.fullmatch(entry.sha256) else "a sha256 in model.toml"
        try:
            found = manifests.digest(manifest.path(entry))
        except (ConfigError, ModelLoadError) as exc:
            found = str(exc)
        yield Check("hash", found == wanted, wanted, found)
    for entry in manifest.file:
        yield _outside(directory, manifest.path(entry), named)


def _odd(directory: Path, named: set[str]) -> Iterator[str]:
    """What is wrong with the files of a directory. A symbolic link is never followed."""
    if directory.is_symlink() or not directory.is_dir():
        yield f"{directory.name} is no directory"
        return
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(folder, name)
            facts, relative = path.lstat(), str(path.relative_to(directory))
            if stat.S_ISDIR(facts.st_mode):
                continue
            if not stat.S_ISREG(facts.st_mode):
                yield f"{relative} is no plain file"
            elif facts.st_nlink > 1:
                yield f"{relative} is a hard link: its content lies elsewhere too"
            elif relative not in named:
                yield f"{relative} is not named"


def _outside(directory: Path, path: Path, named: set[str]) -> Check:
    """Weights that an ONNX file keeps in another one: it must be a file of this slot."""
    expected = "weights within the files that model.toml names"
    try:
        places = external(path) if _is_onnx(path) else ()
    except (ModelLoadError, ValueError, OSError) as exc:
        return Check("load", False, "a model file", str(exc))
    folder = path.parent.relative_to(directory)
    strange = next((p for p in places if os.path.normpath(folder / p) not in named), None)
    seen = "the same" if strange is None else f"{path.name} refers to {strange!r}"
    return Check("external data", strange is None, expected, seen)


def _is_onnx(path: Path) -> bool:
    """Not ONNX Runtime's own format (.ort), whose weights are always inside."""
    return format_of(path) == "onnx" and read_head(path)[4:8] != b"ORTM"
