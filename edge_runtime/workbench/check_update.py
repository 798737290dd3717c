"""What `check` finds of the table [update]: nobody is asked, the store is not touched."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from edge_runtime.errors import BadOptionError, ConfigError, EdgeRunError
from edge_runtime.update.remote import mirrors
from edge_runtime.update_config import UpdateConfig

from .findings import Finding, fail, ok


def update(given: UpdateConfig) -> Finding:
    """Whether the repository's addresses, its first root and the extra are there."""
    try:
        where = [mirrors.address(mirror) for mirror in given.repository]
        version = _root_version(given.root_file)
    except BadOptionError as exc:
        return fail("update", ConfigError(f"[update] {exc}"))
    except EdgeRunError as exc:
        return fail("update", exc)
    if importlib.util.find_spec("tuf") is None:
        absent = ConfigError("[update] needs the [ota] extra: pip install 'edge-runtime[ota]'")
        return fail("update", absent)
    return ok("update", f"{', '.join(where)}; trusts root {version} of {given.root_file}")


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
