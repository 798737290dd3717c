"""What in a saved model would run code of whoever wrote it, found without loading it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..job import JobError

# Keras makes these from Python byte code, pickles or other folders that the file names.
_CODE = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer"})
# TensorFlow: "SavedModels are programs" (SECURITY.md); these reach files or Python of the machine.
_REACH_OUT = frozenset(
    {
        "EagerPyFunc",
        "ImmutableConst",
        "LoadAndRemapMatrix",
        "MatchingFiles",
        "PrintV2",
        "PyFunc",
        "PyFuncStateless",
        "ReadFile",
        "WriteFile",
    }
)


def check_code(path: Path, *, trust: bool) -> list[str]:
    """Refuse code in a .keras or .h5 file; with `trust`, name it in the notes given back.

    Raises JobError for it, and for a file that is neither.
    """
    config = _config(path)
    notes = []
    for layer, kind in _walk(config, ""):
        if not trust:
            raise JobError(
                f"{path}: layer '{layer}' ({kind}) holds Python code, which would run here with"
                " your rights; write it as a layer and save anew, or give --trust if you know"
                " who made the file"
            )
        notes.append(f"code of layer '{layer}' ({kind}) was run, since the file is trusted")
    return notes


def check_graph(path: Path, *, trust: bool) -> list[str]:
    """The same for the operations of a SavedModel folder."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except DecodeError as exc:
        raise JobError(f"{path}/saved_model.pb: damaged: {exc}") from exc
    notes = []
    for graph in saved.meta_graphs:
        functions = graph.graph_def.library.function
        nodes = [*graph.graph_def.node, *(node for each in functions for node in each.node_def)]
        for node in nodes:
            if node.op not in _REACH_OUT:
                continue
            if not trust:
                raise JobError(
                    f"{path}: operation '{node.name}' ({node.op}) reaches files or Python of the"
                    " machine it runs on; export the model without it, or give --trust if you"
                    " know who made it"
                )
            notes.append(f"operation '{node.name}' ({node.op}) was kept: the model is trusted")
    return notes


def _config(path: Path) -> Any:
    """The description of the layers that the file holds as JSON."""
    import h5py

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise JobError(
                    f"{path}: holds weights but no layers; save the whole model (model.save)"
                )
            return json.loads(file.attrs["model_config"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as exc:
        raise JobError(f"{path}: not a whole .keras or .h5 file: {exc}") from exc


def _walk(config: Any, layer: str) -> Iterator[tuple[str, str]]:
    """Each thing of _CODE in a description: the name of its layer, its class."""
    if isinstance(config, list):
        for item in config:
            yield from _walk(item, layer)
    elif isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            layer = inner["name"]
        if config.get("class_name") in _CODE:
            yield layer, str(config["class_name"])
            return
        for value in config.values():
            yield from _walk(value, layer)
