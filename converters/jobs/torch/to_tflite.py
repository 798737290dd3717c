"""PyTorch to TFLite, float32, with litert-torch: a module or a .pt2, one case at a time.

Options: those of torch_model. Other precisions are made from the file written here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..difference import Outputs, require_same
from ..job import Array, Facts, Job, JobError
from ..tflite import file as tflite_file
from ..tflite.session import Session
from . import model as torch_model
from . import run as torch_run
from .model import Network
from .program import capture, place_of, ranks_of_convolutions, recurrent_modules
from .weights import RAISED, first_line

_WAY_OUT = "write it with other operations, or convert to ONNX"


def run(job: Job) -> Facts:
    """Write the TFLite file, when it gives what the network gives."""
    network = torch_model.load(job)
    arrays = torch_run.samples(network, job)
    program = capture(network, arrays, 1)
    recurrent = recurrent_modules(program)
    expected = torch_run.predict(network, arrays, job)
    names = torch_run.file_names(list(expected))
    with tempfile.TemporaryDirectory(dir=job.out.parent, prefix=".tflite-") as folder:
        path = Path(folder) / "model.tflite"
        job.progress(0, 3, _exporting(recurrent))
        _convert(network, program, arrays, path)
        model = tflite_file.read(path)
        _rename(model, [each.name for each in network.inputs], names)
        tflite_file.write(model, path)
        job.progress(1, 3, "compare")
        compared = _compare(network, path, arrays, expected)
        size = path.stat().st_size
        job.progress(2, 3, "write")
        os.replace(path, job.out)  # noqa: PTH105
    told = torch_model.facts(network)
    notes = [*told["notes"], *_layouts(network, program), *_unrolled(recurrent, model, size)]
    if int(job.options.get("batch", 1)) != 1:
        notes.append("litert-torch fixes the batch of a TFLite file: it is 1")
    return {
        "inputs": tflite_file.inputs(model),
        "outputs": tflite_file.outputs(model),
        "versions": {**told["versions"], **_versions()},
        "ops": tflite_file.ops(model),
        "float_tensors": tflite_file.float_tensors(model),
        "compared": compared,
        "notes": notes,
    }


def _convert(network: Network, program: Any, arrays: Sequence[Array], path: Path) -> None:
    """Write the file as litert-torch makes it, with "input_0", "output_0" ... in its signature."""
    import litert_torch
    import torch

    class Named(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network.module
            self.training = False  # eval() would reach the inner module, which may refuse it

        def forward(self, **inputs: Any) -> dict[str, Any]:
            found = torch_run.flatten(self.network(*inputs.values()))
            return {f"output_{place}": tensor for place, (_, tensor) in enumerate(found)}

    example = torch_run.tensors(arrays, 1)
    given = {f"input_{place}": tensor for place, tensor in enumerate(example)}
    try:
        made = litert_torch.convert(Named(), sample_kwargs=given)
        made.export(str(path))
    except RAISED as exc:
        text = first_line(exc)
        operator = text.partition("Lowering not found: ")[2].rpartition(".")[0]
        if not operator:
            raise JobError(f"litert-torch cannot convert the network: {text}") from exc
        place = place_of(program, operator) or "the network"
        raise JobError(f"{place}: TFLite has nothing for {operator}; {_WAY_OUT}") from exc


def _rename(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    tflite_file.arrange(
        model,
        {f"input_{place}": name for place, name in enumerate(inputs)},
        {f"output_{place}": name for place, name in enumerate(outputs)},
    )


def _compare(network: Network, path: Path, arrays: Sequence[Array], expected: Outputs) -> Facts:
    """What LiteRT makes of the cases beside what torch makes of them."""
    found = torch_run.replay(Session(path).run, arrays, 1)
    return require_same(expected, dict(zip(expected, found, strict=True)), network.path.name)


def _layouts(network: Network, program: Any) -> list[str]:
    """PyTorch's order of axes stays, which TFLite's own converter would not make."""
    ranks = ranks_of_convolutions(program)
    return [
        f"input {each.name} keeps PyTorch's layout, channels first: {(1, *each.shape)}"
        for each in network.inputs
        if len(each.shape) + 1 in ranks
    ]


def _exporting(recurrent: Sequence[tuple[str, int]]) -> str:
    steps = sum(count for _, count in recurrent)
    return f"export ({steps} steps are unrolled, which takes a while)" if steps else "export"


def _unrolled(recurrent: Sequence[tuple[str, int]], model: Any, size: int) -> list[str]:
    """How large recurrent layers made the file."""
    if not recurrent:
        return []
    layers = ", ".join(f"`{path}` ({steps} steps)" for path, steps in recurrent)
    operations = sum(tflite_file.ops(model).values())
    note = (
        f"TFLite has no such layer as {layers}: unrolled, {operations} operations and "
        f"{size / 1024:.0f} KB in all; measure INT8 before you use it, and prefer convolutions or "
        "attention where it fails"
    )
    return [note]


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("litert-torch", "litert-converter", "ai-edge-litert")
    return {name: version(name) for name in names}
