"""What a candidate may take: time, memory, and how far it may be from the live model."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edge_runtime.errors import BadOptionError

_ADDRESS_MB = 768  # measured need of small models: LiteRT 200, ONNX Runtime 256; threads add
_PER_WEIGHT = 8  # packed copies of the weights, the graph optimiser's and the arena
_SLACK_MB = 16
_SLACK_MS = 0.1  # below it a ratio is noise


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of the gate; 0 means as told.

    `agreement` is the share of the live model's golden cases on which a candidate must find the
    same best score, where all outputs are scores; 0 does not ask.
    """

    latency_ratio: float = 1.5  # of the live model's time for one inference
    latency_ms: float = 0.0  # of one inference; 0: no limit of its own
    memory_mb: int = 0  # peak of the process; 0: `memory_ratio` of the live model's
    memory_ratio: float = 1.5
    agreement: float = 0.5
    wall_s: float = 300.0  # that either child may be waited for
    cpu_s: int = 300  # of either child, for each thread of the inference
    address_mb: int = 0  # address space of a child; 0: by the size of the weights
    turns: int = 9  # of each model, one after the other; the first is not counted
    turn_s: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < float("inf"):
                raise BadOptionError(field.name, f"{value} must be 0 or above")
        for name in ("latency_ratio", "memory_ratio", "wall_s", "cpu_s", "turns"):
            if not getattr(self, name):
                raise BadOptionError(name, "must be above 0")

    def address_bytes(self, weights_bytes: int) -> int:
        """How much address space a child gets."""
        megabytes = self.address_mb or _ADDRESS_MB
        return (megabytes << 20) + (0 if self.address_mb else _PER_WEIGHT * weights_bytes)

    def latency_limit_ms(self, live_ms: float) -> float:
        """How long one inference may take beside a live model's; infinite without either."""
        by_live = max(self.latency_ratio * live_ms, live_ms + _SLACK_MS) if live_ms else 0.0
        limits = [limit for limit in (by_live, self.latency_ms) if limit]
        return min(limits, default=float("inf"))

    def memory_limit_mb(self, live_mb: float) -> float:
        """How high the memory of the process may peak; infinite without any measure."""
        if self.memory_mb:
            return float(self.memory_mb)
        return self.memory_ratio * live_mb + _SLACK_MB if live_mb else float("inf")
