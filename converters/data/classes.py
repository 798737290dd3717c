"""Class names of data and the lines of a model's label file."""

from __future__ import annotations

from edge_runtime.errors import ConfigError
from edge_runtime.manifest import MANIFEST, Manifest
from edge_runtime.tables import nearest


class Classes:
    """Finds the index of a class by its name, or by its number where the model has no labels."""

    def __init__(self, manifest: Manifest) -> None:
        self.names = manifest.labels()
        self.heads = manifest.head
        listed = manifest.postprocess.labels or MANIFEST  # heads have theirs in the manifest
        self._file = manifest.directory / listed if self.names else None

    def index(self, name: str | int, where: str) -> int:
        """Raises ConfigError for a class that the model does not have, naming the nearest."""
        if isinstance(name, int) or (not self.names and name.isdigit()):
            return self._number(int(name), where)
        if name in self.names:
            return self.names.index(name)
        if not self.names:
            raise ConfigError(
                f"{where}: class '{name}': the manifest names no labels: add labels to "
                "[postprocess], or call classes by their number"
            )
        near = nearest(name, [label for label in self.names if label])
        hint = f"did you mean '{near}'?" if near else f"it has {self._listed()}"
        raise ConfigError(f"{where}: class '{name}' is not in {self._file}; {hint}")

    def _number(self, index: int, where: str) -> int:
        if index < 0 or (self.names and index >= len(self.names)):
            raise ConfigError(
                f"{where}: class {index} is not in {self._file}, which has {len(self.names)} lines"
            )
        return index

    def _listed(self) -> str:
        shown = [label for label in self.names if label][:10]
        return ", ".join(shown) + (", ..." if len(self.names) > len(shown) else "")
