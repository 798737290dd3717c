"""The steps that stand before a model, anew for every stream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime import build, config
from edge_runtime.config import RunConfig
from edge_runtime.interfaces import Step


@dataclass(frozen=True, slots=True)
class Chain:
    """The [[step]]s of a run file; none without one."""

    run: RunConfig | None = None

    @classmethod
    def of(cls, path: Path | None) -> Chain:
        """Raises ConfigError for a run file that is not right."""
        return cls(config.load(path) if path else None)

    def fresh(self) -> tuple[Step, ...]:
        """Steps that have seen nothing yet."""
        return build.steps(self.run) if self.run else ()
