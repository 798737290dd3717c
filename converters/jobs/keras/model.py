"""A Keras 3 model (.keras, .h5) or SavedModel folder, as one function of flat lists of tensors.

As a job it only looks: inputs, outputs, versions, and which layers are recurrent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..job import Facts, Job, JobError, MisfitError
from .layers import recurrent
from .safety import check_code, check_graph
from .source import Source, Tensor, versions


def run(job: Job) -> Facts:
    """Look at a model."""
    return {**facts(load(job)), "ops": {}}


def load(job: Job) -> Source:
    """Load the source of a job. Options: trust (run code in the file), signature, inputs.

    `inputs` are those of the contract, whose shapes, without the batch axis, fix open dimensions.
    Raises JobError for what cannot be loaded, holds code, or has weights that are no numbers.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    path, trust = job.source, bool(job.options.get("trust", False))
    if (path / "saved_model.pb").is_file():
        source = _saved_model(path, str(job.options.get("signature", "")), trust=trust)
    elif not path.exists():
        raise JobError(f"{path}: no such file")
    elif path.is_dir():
        raise JobError(f"{path}: no saved_model.pb in this folder")
    else:
        source = load_keras(path, trust=trust)
    _check_finite(source)
    return _shaped(source, {one["name"]: one["shape"] for one in job.options.get("inputs", ())})


def facts(source: Source) -> Facts:
    """What every job on a source tells of it."""
    return {
        "inputs": [tensor.fact() for tensor in source.inputs],
        "outputs": [tensor.fact() for tensor in source.outputs],
        "versions": versions("tensorflow-cpu", "tensorflow", "keras", "numpy"),
        "parameters": sum(int(np.prod(value.shape)) for value in source.weights.values()),
        "recurrent": sorted({name for name, _ in recurrent(source)}),
        "notes": list(source.notes),
    }


def load_keras(path: Path, *, trust: bool = False) -> Source:
    """Of a .keras or .h5 file. Raises JobError."""
    notes = check_code(path, trust=trust)
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except (ValueError, TypeError, OSError, KeyError, AttributeError, ImportError) as exc:
        raise JobError(f"{path}: {_why(exc)}") from exc
    built = getattr(model, "_functional", None) or model  # a Sequential keeps its graph there
    if not getattr(built, "inputs", None) or not hasattr(built, "output_names"):
        raise JobError(
            f"{path}: the model does not say what its inputs are (a class of its own, or never"
            " built); export it as a SavedModel (model.export) and convert that folder"
        )
    structure = built._inputs_struct  # noqa: SLF001

    def call(tensors: Sequence[Any]) -> list[Any]:
        packed = keras.tree.pack_sequence_as(structure, list(tensors))
        return list(keras.tree.flatten(model(packed, training=False)))

    layers = tuple(
        layer
        for layer in model._flatten_layers(include_self=False)  # noqa: SLF001
        if layer is not built
    )
    for layer in layers:
        if getattr(layer, "stateful", False) and isinstance(layer, keras.layers.RNN):
            raise JobError(
                f"{path}: layer '{layer.name}' is stateful, and a converted file forgets; save a"
                " model that takes and gives the state (initial_state, return_state)"
            )
    names = _unique(built.output_names)
    return Source(
        path=path,
        inputs=tuple(_tensor(_plain(each.name), each) for each in built.inputs),
        outputs=tuple(map(_tensor, names, built.outputs)),
        call=call,
        owner=model,
        weights={weight.path: weight for weight in model.weights},
        layers=layers,
        notes=tuple(notes),
    )


def _saved_model(path: Path, signature: str, *, trust: bool) -> Source:
    """A SavedModel has names but no order: they are taken by name, numbers by value."""
    notes = check_graph(path, trust=trust)
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except (ValueError, TypeError, OSError, KeyError, tf.errors.OpError) as exc:
        raise JobError(f"{path}: {_why(exc)}") from exc
    key = signature or "serving_default"
    if key not in loaded.signatures:
        there = ", ".join(loaded.signatures) or "none"
        raise JobError(f"{path}: it has no signature '{key}', but {there}")
    function = loaded.signatures[key]
    given = function.structured_input_signature[1]
    names, gives = (
        sorted(given, key=_by_number),
        sorted(function.structured_outputs, key=_by_number),
    )

    def call(tensors: Sequence[Any]) -> list[Any]:
        answer = function(**dict(zip(names, tensors, strict=True)))
        return [answer[name] for name in gives]

    return Source(
        path=path,
        inputs=tuple(_tensor(name, given[name]) for name in names),
        outputs=tuple(_tensor(name, function.structured_outputs[name]) for name in gives),
        call=call,
        owner=loaded,
        weights={_plain(weight.name): weight for weight in function.variables},
        layers=(),
        notes=tuple(notes),
    )


def _tensor(name: str, like: Any) -> Tensor:
    import tensorflow as tf

    if like.shape is None or tf.TensorShape(like.shape).rank is None:
        raise JobError(f"tensor '{name}' has no fixed number of dimensions; export with one")
    return Tensor(name, tuple(like.shape), tf.as_dtype(like.dtype).name)


def _check_finite(source: Source) -> None:
    for path, weight in source.weights.items():
        if "float" not in str(weight.dtype):
            continue
        bad = int(np.sum(~np.isfinite(np.asarray(weight.numpy(), np.float32))))
        if bad:
            layer, _, name = path.rpartition("/")
            raise JobError(
                f"{source.path}: layer '{layer}': {bad} values of its {name} are NaN or infinite;"
                " training has diverged, convert an earlier checkpoint"
            )


def _shaped(source: Source, shapes: Mapping[str, Sequence[int]]) -> Source:
    """Open dimensions as the contract has them, which knows inputs by name or by position."""
    inputs = []
    for at, tensor in enumerate(source.inputs):
        own = tensor.shape[1:]
        wanted = tuple(shapes.get(tensor.name, shapes.get(str(at), ())))
        if None in own and wanted:
            pairs = zip(own, wanted, strict=False)
            if len(wanted) != len(own) or any(old not in (None, new) for old, new in pairs):
                raise MisfitError(f"input '{tensor.name}' is {own}, in the contract {wanted}")
            tensor = replace(tensor, shape=(*tensor.shape[:1], *wanted))  # noqa: PLW2901
        inputs.append(tensor)
    return replace(source, inputs=tuple(inputs))


def _unique(names: Iterable[str]) -> list[str]:
    """One layer may give several outputs: "lstm", "lstm_1", "lstm_2"."""
    found: list[str] = []
    for name in names:
        count, fresh = 0, name
        while fresh in found:
            count += 1
            fresh = f"{name}_{count}"
        found.append(fresh)
    return found


def _plain(name: str) -> str:
    return name.removesuffix(":0")


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _why(error: Exception) -> str:
    """The one line of what Keras says; a class that is not Keras' own has a way out."""
    text = str(error)
    custom = re.search(r"Unknown layer: '(\w+)'|[Cc]ould not locate class '(\w+)'", text)
    if custom:
        name = custom.group(1) or custom.group(2)
        return (
            f"layer class '{name}' is not Keras' own; export the model as a SavedModel"
            " (model.export), which needs no Python class, and convert that folder"
        )
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
