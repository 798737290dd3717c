"""A network for those who keep a server: TorchScript (traced) or a .pt2, with metadata inside.

Options: those of torch_model, `batch` (1 fixed, 0 dynamic), `format` ("torchscript" or "pt2"; left
out, the suffix of `out` says it), `metadata` (name, version, labels ...). The metadata lie in the
archive as metadata.json, with the inputs and outputs; torch.jit.load and torch.export.load give
them.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..difference import Outputs, require_same
from ..job import Array, Facts, Job, JobError
from . import model as torch_model
from . import run as torch_run
from .model import METADATA, Network
from .program import capture

_SUFFIXES = {".pt2": "pt2", ".ts": "torchscript", ".pt": "torchscript"}


def run(job: Job) -> Facts:
    """Write the archive, when what is read back gives what the network gives."""
    format_ = str(job.options.get("format") or _SUFFIXES.get(job.out.suffix, "torchscript"))
    if format_ not in _SUFFIXES.values():
        raise JobError(f"format '{format_}' does not exist; there are torchscript and pt2")
    return write(torch_model.load(job), job, format_)


def write(network: Network, job: Job, format_: str) -> Facts:
    """Write a network that is loaded as "pt2" or "torchscript", proved like any other."""
    arrays = torch_run.samples(network, job)
    batch = int(job.options.get("batch", 1))
    expected = torch_run.predict(network, arrays, job)
    told = _facts(network, expected, batch)
    metadata = json.dumps({**job.options.get("metadata", {}), **_tensors(network, expected)})
    with tempfile.TemporaryDirectory(dir=job.out.parent, prefix=".torch-") as folder:
        path = Path(folder) / f"model.{format_}"
        job.progress(0, 2, "export")
        save = _save_program if format_ == "pt2" else _save_script
        told["notes"] += save(network, arrays, batch, path, metadata)
        job.progress(1, 2, "compare")
        back = replace(network, kind="script", module=_read_back(path, format_, metadata))
        found = torch_run.replay(
            lambda feed: [array for _, array in torch_run.call(back, feed)], arrays, batch
        )
        paired = dict(zip(expected, found, strict=True))
        compared = require_same(expected, paired, network.path.name)
        os.replace(path, job.out)  # noqa: PTH105
    return {**told, "compared": compared}


def _tensors(network: Network, outputs: Outputs) -> Facts:
    """Inputs and outputs as they are written into the archive: shapes without a batch axis."""
    return {
        "inputs": [
            {"name": each.name, "shape": list(each.shape), "dtype": each.dtype}
            for each in network.inputs
        ],
        "outputs": [
            {"name": name, "shape": list(array.shape[1:]), "dtype": array.dtype.name}
            for name, array in outputs.items()
        ],
    }


def _facts(network: Network, outputs: Outputs, batch: int) -> Facts:
    sides = {
        side: [{**each, "shape": [batch or -1, *each["shape"]]} for each in tensors]
        for side, tensors in _tensors(network, outputs).items()
    }
    return {**torch_model.facts(network), **sides}


def _save_program(
    network: Network, arrays: Sequence[Array], batch: int, path: Path, metadata: str
) -> list[str]:
    import torch

    program = capture(network, arrays, batch)
    torch.export.save(program, path, extra_files={METADATA: metadata})
    return []


def _save_script(
    network: Network, arrays: Sequence[Array], batch: int, path: Path, metadata: str
) -> list[str]:
    """Trace a network and save it; TorchScript is saved as it is. Gives what tracing warned of."""
    import torch

    script: Any = network.module
    said: list[str] = []
    if network.kind == "program" and not batch:
        raise JobError(
            f"{network.path}: a trace of an exported program holds its batch: convert with a fixed "
            "batch, or from the module (module:callable)"
        )
    if network.kind != "script":
        example = torch_run.tensors(arrays, batch or 2)
        with warnings.catch_warnings(record=True) as caught, torch_run.named_failures(network):
            warnings.simplefilter("always", torch.jit.TracerWarning)
            script = torch.jit.trace(network.module, example, check_trace=False, strict=False)
        said = sorted({place for each in caught if (place := _own_line(each))})
    torch.jit.save(script, str(path), _extra_files={METADATA: metadata})
    return [f"tracing keeps for ever what {place} decided for the example" for place in said]


def _read_back(path: Path, format_: str, metadata: str) -> Any:
    """What torch reads from the file. Raises JobError when the metadata are not in it."""
    import torch

    extra: dict[str, Any] = {METADATA: ""}
    if format_ == "pt2":
        module = torch.export.load(path, extra_files=extra).module()
    else:
        module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    found = extra[METADATA]
    if (found.decode() if isinstance(found, bytes) else found) != metadata:
        raise JobError("torch did not keep the metadata in the file")
    return module


def _own_line(warning: warnings.WarningMessage) -> str:
    """Where the user's own code decides by a tensor's value; torch's own does so harmlessly."""
    import torch

    path = Path(warning.filename)
    inside = Path(torch.__file__).parent in path.parents or warning.filename.startswith("<")
    traced = issubclass(warning.category, torch.jit.TracerWarning)
    return f"{path.name}:{warning.lineno}" if traced and not inside else ""
