"""What `check` finds of the table [update]: nobody is asked, the store is not touched."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.update_config import UpdateConfig

from .findings import Finding, fail, ok


def update(given: UpdateConfig) -> Finding:
    """Whether the repository's first root and the extra are there."""
    try:
        version = _root_version(given.root_file)
    except ConfigError as exc:
        return fail("update", exc)
    if importlib.util.find_spec("tuf") is None:
        absent = ConfigError("[update] needs the [ota] extra: pip install 'edge-runtime[ota]'")
        return fail("update", absent)
    where = ", ".join(given.repository)
    return ok("update", f"{where}; trusts root {version} of {given.root_file}")


def _root_version(path: str) -> int:
    """Raises ConfigError for what is no root metadata."""
    try:
        signed = json.loads(Path(path).read_bytes())["signed"]
        version = signed["version"]
        if signed["_type"] == "root" and isinstance(version, int):
            return version
        why = "is no root metadata"
    except OSError as exc:
        why = str(exc.strerror)
    except (ValueError, KeyError, TypeError):
        why = "is no metadata"
    raise ConfigError(f"{path}: {why}: it is metadata/1.root.json of the repository")
