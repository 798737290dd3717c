"""Why TensorFlow's converter would not, in one line with the layer and the way out."""

from __future__ import annotations

import re

from ..job import JobError
from .layers import layer_of, recurrent
from .saved import Frozen
from .source import Source

INTEGER = ("int8", "int16x8")
_LOOPS = frozenset({"While", "StatelessWhile", "TensorListReserve"})
_LENGTH = 300


def refuse_loops(source: Source, frozen: Frozen, precision: str, batch: int) -> None:
    """The calibrator crashes on loops, and no loop can be converted at an open batch axis.

    Raises JobError.
    """
    if precision not in INTEGER and batch:
        return
    where = next(
        (f"layer '{name}' ({type(layer).__name__})" for name, layer in recurrent(source)), ""
    )
    if not where:
        node = next((node for node in frozen.nodes() if node.op in _LOOPS), None)
        if node is None:
            return
        where = f"'{layer_of(source, node.name)}' ({node.op})"
    unroll = "give --unroll" if source.layers else "give the .keras file and --unroll"
    if precision in INTEGER:
        raise JobError(
            f"{where}: TensorFlow's calibrator crashes on its loop; {unroll}, or take float16 or"
            f" dynamic in place of {precision}"
        )
    raise JobError(f"{where}: its loop needs a fixed batch axis; give batch 1, or {unroll}")


def explain(source: Source, frozen: Frozen, error: Exception) -> str:
    """One line for what the converter has raised."""
    text = str(error)
    foreign = re.search(r"'tf\.(\w+)' op is neither", text) or re.search(
        r"(?:Custom|Flex) ops: (?:Flex)?(\w+)", text
    )
    if foreign:
        name = foreign.group(1)
        node = next((node.name for node in frozen.nodes() if node.op == name), "?")
        return (
            f"layer '{layer_of(source, node)}': TFLite has no operation {name}; use another in"
            " its place, or convert to ONNX"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"TensorFlow's converter: {(lines or [type(error).__name__])[0][:_LENGTH]}"
