"""Models that are valid and wrong: scores in another order, weights that are noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..gate.graphs import ints
from ..gate.hostile import Edit, golden


def permuted(order: list[int]) -> Callable[[onnx.ModelProto], None]:
    """A classifier whose scores come in another order: a valid model, and a wrong one."""

    def change(model: onnx.ModelProto) -> None:
        output = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["as before" if name == output else name for name in node.output]
        model.graph.initializer.append(ints("order", *order))
        model.graph.node.append(
            helper.make_node("Gather", ["as before", "order"], [output], axis=-1)
        )

    return change


def noised(seed: int) -> Callable[[onnx.ModelProto], None]:
    """The int8 weights replaced by noise of the same range."""

    def change(model: onnx.ModelProto) -> None:
        random = np.random.default_rng(seed)
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype == np.int8 and array.size > 16:
                noise = random.permutation(array.reshape(-1)).reshape(array.shape)
                tensor.CopyFrom(numpy_helper.from_array(noise, tensor.name))

    return change


def rerecorded(name: str) -> Edit:
    """Golden outputs as this very file computes them: nothing that they could tell."""

    def edit(slot: Path) -> None:
        import onnxruntime

        session = onnxruntime.InferenceSession(slot / name, providers=["CPUExecutionProvider"])
        names = [node.name for node in session.get_inputs()]

        def record(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            inputs = [arrays[f"input/{i}"] for i in range(len(names))]
            runs = [
                session.run(None, dict(zip(names, case, strict=True)))
                for case in zip(*inputs, strict=True)
            ]
            outputs = {
                f"output/{i}": np.stack(all_) for i, all_ in enumerate(zip(*runs, strict=True))
            }
            return {f"input/{i}": array for i, array in enumerate(inputs)} | outputs

        golden(record)(slot)

    return edit
