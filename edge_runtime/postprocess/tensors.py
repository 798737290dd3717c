"""Outputs as they are, in real values."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import Manifest
from edge_runtime.outcome import Tensor
from edge_runtime.outcome import Tensors as Outcome

from .outputs import Output, locate


class Tensors:
    """Every output of the file, dequantised to float32, in the file's order; states left out.

    Raises ConfigError when the manifest names an output that the file does not have.
    """

    def __init__(self, manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> None:
        found = {position: Output(position, spec) for position, spec in enumerate(outputs)}
        for entry in manifest.output:
            output = locate(manifest, outputs, entry)
            found[output.position] = output
            if entry.meaning == "state":
                del found[output.position]
        self._outputs = tuple(found.values())

    def __call__(
        self, outputs: Sequence[Array], frame: Frame, placement: Placement | None
    ) -> Outcome:
        """Raises FrameError when a value is NaN or infinite: neither can be written as JSON."""
        del frame, placement
        return Outcome(
            tuple(Tensor(output.spec.name, output.real(outputs)) for output in self._outputs)
        )
