"""What every job on a .tflite file tells of it."""

from __future__ import annotations

import importlib.metadata

from ..job import Facts
from . import file as tflite_file

_STATE = frozenset({"VAR_HANDLE", "HASHTABLE"})


def facts(model: tflite_file.Model) -> Facts:
    """Inputs, outputs, operations, float tensors; see `jobs.job`."""
    packages = ("ai-edge-litert", "ai-edge-quantizer")
    return {
        "inputs": tflite_file.inputs(model),
        "outputs": tflite_file.outputs(model),
        "ops": tflite_file.ops(model),
        "float_tensors": tflite_file.float_tensors(model),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "notes": [],
    }


def has_variables(model: tflite_file.Model) -> bool:
    """Whether it keeps state that only loading it anew clears."""
    return not _STATE.isdisjoint(tflite_file.ops(model))
