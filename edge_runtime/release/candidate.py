"""A model directory on its way to a release: packed, unpacked again, and that copy proven."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_runtime import manifest
from edge_runtime.errors import ConfigError, ModelLoadError, VerificationError
from edge_runtime.manifest import Manifest
from edge_runtime.update.gate import contents
from edge_runtime.update.release import WORD, Release
from edge_runtime.update.store import bundle

ARCHS = ("aarch64", "armv6l", "armv7l", "i686", "riscv64", "x86_64")  # as Linux calls them
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a release asks of a device beyond what its manifest says; empty asks for nothing.

    Raises ConfigError for what no device could fulfil.
    """

    archs: tuple[str, ...] = ()
    min_memory_mb: int = 0
    min_version: str = ""

    def __post_init__(self) -> None:
        for arch in self.archs:
            if arch not in ARCHS:
                raise ConfigError(f"--arch {arch}: `uname -m` says one of {', '.join(ARCHS)}")
        if self.min_version and not _VERSION.fullmatch(self.min_version):
            raise ConfigError(f"--min-version {self.min_version}: write it as 1.2.0")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proven bundle. `left_out` are files of the directory that model.toml does not name."""

    bundle: Path
    digest: str
    length: int
    manifest: Manifest
    left_out: tuple[str, ...]
    proofs: tuple[str, ...]  # what was seen, a line each

    def release(self, counter: int, terms: Terms) -> Release:
        """As it is first signed: for nobody yet."""
        made = self.manifest
        return Release(
            path=f"{made.name}/{made.version}.tar",
            digest=self.digest,
            length=self.length,
            name=made.name,
            version=made.version,
            counter=counter,
            task=made.task,
            formats=tuple(dict.fromkeys(entry.format for entry in made.file)),
            archs=terms.archs,
            min_memory_mb=terms.min_memory_mb,
            min_version=terms.min_version,
        )


@contextmanager
def pack(directory: Path) -> Iterator[Candidate]:
    """Pack a model directory and prove what was packed; the bundle is gone after the block.

    Raises:
        ConfigError: the manifest, or what a release needs and it does not say.
        ModelLoadError: hashes, loading or golden vectors on this machine.
    """
    _check(manifest.read(directory))
    with TemporaryDirectory(prefix="edge-release-") as scratch:
        packed, copy = Path(scratch, "bundle.tar"), Path(scratch, "model")
        digest = _pack(directory, packed, copy)
        found = manifest.read(copy)
        yield Candidate(
            bundle=packed,
            digest=digest,
            length=packed.stat().st_size,
            manifest=found,
            left_out=tuple(sorted(_names(directory) - _names(copy))),
            proofs=_prove(found),
        )


def _check(found: Manifest) -> None:
    where = found.directory / manifest.MANIFEST
    for key, word in (("name", found.name), ("version", found.version)):
        if not WORD.fullmatch(word):
            raise ConfigError(
                f"{where}: {key} = {word!r}: a release takes letters, digits, '.', '_' and '-'"
            )
    for entry in found.file:
        digest = manifest.verified_digest(found.path(entry), entry.sha256)
        if not entry.sha256:
            raise ConfigError(f'{where}: [[file]] {entry.path}: add sha256 = "{digest}"')
    if found.golden is None:
        raise ConfigError(
            f"{where}: [golden] is missing: every device replays golden vectors before it takes a "
            "model; edge-convert writes them"
        )


def _pack(directory: Path, to: Path, copy: Path) -> str:
    """Here it is no attack that the bundle refuses, but a directory to mend."""
    try:
        digest = bundle.pack(directory, to)
        bundle.unpack(to, copy, digest)
    except VerificationError as exc:
        raise ConfigError(str(exc)) from exc
    except FileNotFoundError as exc:
        raise ConfigError(
            f"{directory / manifest.MANIFEST}: names {exc.filename}, which is not there"
        ) from exc
    except OSError as exc:  # a disk that is full is not said by name
        raise OSError(exc.errno, exc.strerror, exc.filename or str(to)) from exc
    return digest


def _prove(found: Manifest) -> tuple[str, ...]:
    from edge_runtime.workbench import verification

    for check in contents.look(found.directory, found):
        if not check.passed:
            raise ModelLoadError(f"{found.name} {found.version}: {check.name}: {check.seen}")
    lines = []
    for finding in verification.verify(found):
        if finding.state == "fail":
            raise ModelLoadError(f"{found.name} {found.version}: {finding.part}: {finding.text}")
        if not finding.text.startswith("not available"):  # a delegate of another board
            lines.append(f"{finding.part}: {finding.text}")
    return tuple(lines)


def _names(directory: Path) -> set[str]:
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if not p.is_dir()}
