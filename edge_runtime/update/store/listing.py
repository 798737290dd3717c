"""Which files belong to a model: those that its manifest names, and nothing else."""

from __future__ import annotations

from typing import Any

from edge_runtime.errors import ConfigError, VerificationError
from edge_runtime.manifest import MANIFEST
from edge_runtime.tables import parse_toml

README = "README.md"
MOST_MANIFEST = 1 << 20  # bytes
_MOST_PARTS = 100  # of a dotted key: reading one takes their number squared


def named(manifest: bytes, where: str) -> set[str]:
    """The manifest itself and the files that it names. Raises VerificationError("malformed").

    Only names are looked at; whether the rest makes sense is for whoever runs the model.
    """
    if len(manifest) > MOST_MANIFEST:
        raise VerificationError(f"{where}: over {MOST_MANIFEST} bytes", reason="malformed")
    if any(line.partition(b"=")[0].count(b".") > _MOST_PARTS for line in manifest.splitlines()):
        raise VerificationError(f"{where}: a key of many parts", reason="malformed")
    try:
        values = parse_toml(manifest.decode("utf-8-sig"), where).values
    except (ConfigError, ValueError, RecursionError) as exc:
        raise VerificationError(f"{where}: no manifest: {exc}", reason="malformed") from exc
    files = values.get("file")
    tables = [*(files if isinstance(files, list) else [files])]
    found: list[Any] = [_value(table, "path") for table in tables]
    if "golden" in values:
        found.append(_value(values["golden"], "file", "golden.npz"))
    lists = (_value(values.get("postprocess"), key) for key in ("labels", "groups"))
    found += [name for name in lists if name]
    if not all(isinstance(name, str) for name in found):
        raise VerificationError(f"{where}: names no usable file", reason="malformed")
    return {MANIFEST, *found}


def check(names: set[str], manifest: bytes, where: str) -> None:
    """Raises VerificationError("malformed") when `names` are not exactly a model's files."""
    wanted = named(manifest, where)
    if extra := names - wanted - {README}:
        raise VerificationError(
            f"{where}: holds {', '.join(sorted(extra))}, which its manifest does not name",
            reason="malformed",
        )
    if lacking := wanted - names:
        raise VerificationError(
            f"{where}: lacks {', '.join(sorted(lacking))}, which its manifest names",
            reason="malformed",
        )


def _value(table: Any, key: str, default: Any = None) -> Any:
    return table.get(key, default) if isinstance(table, dict) else None
