"""LiteRT on one CPU thread without delegates, in real values, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..difference import Outputs, stack
from ..job import Array, JobError, MisfitError, by_name, read_cases

Feed = list[Array]  # one array for each input, batch axis included, real values


class Session:
    """A .tflite file, opened. Each run starts without what an earlier one left behind.

    With `keep` every tensor between operations can be read after a run. `anew` is for a model
    with resource variables, which only loading it again clears.
    """

    def __init__(self, model: Path | bytes, *, keep: bool = False, anew: bool = False) -> None:
        self._content = model.read_bytes() if isinstance(model, Path) else model
        self._keep, self._anew = keep, anew
        self._open()

    def _open(self) -> None:
        from ai_edge_litert import interpreter

        resolver = interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self._interpreter: Any = interpreter.Interpreter(
                model_content=self._content,
                num_threads=1,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=self._keep,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as exc:
            raise JobError(f"LiteRT refuses the model: {_one_line(exc)}") from exc
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()

    def run(self, feed: Feed) -> list[Array]:
        """The outputs as real values. Raises JobError with the runtime's reason."""
        try:
            if self._anew:
                self._open()
            self._size([array.shape for array in feed])
            self._interpreter.reset_all_variables()
            for detail, array in zip(self.inputs, feed, strict=True):
                self._interpreter.set_tensor(detail["index"], stored(array, detail))
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as exc:
            raise JobError(f"LiteRT cannot run the model: {_one_line(exc)}") from exc
        return [real(self._interpreter.get_tensor(d["index"]), d) for d in self.outputs]

    def predict(self, cases: Sequence[Feed]) -> Outputs:
        """The outputs of all feeds by name, with a leading case axis."""
        names = [detail["name"] for detail in self.outputs]
        return stack(names, [self.run(feed) for feed in cases])

    def tensors(self, indices: Sequence[int]) -> list[Array]:
        """The tensors of the main graph at these places, after a run with `keep`."""
        return [self._interpreter.get_tensor(index) for index in indices]

    def feeds(self, cases: Path | None) -> list[Feed]:
        """What to run for each case; random values without a file of cases.

        A batch axis of 1 is put before a case that has one dimension less than its input.
        """
        names = [detail["name"] for detail in self.inputs]
        arrays = by_name(read_cases(cases), names) if cases else self._random()
        columns = [
            [np.array(case, ndmin=len(detail["shape"])) for case in array]
            for detail, array in zip(self.inputs, arrays.values(), strict=True)
        ]
        return [list(feed) for feed in zip(*columns, strict=True)]

    def _random(self, count: int = 4) -> dict[str, Array]:
        return {detail["name"]: _noise(detail, (count, *detail["shape"])) for detail in self.inputs}

    def _size(self, shapes: Sequence[tuple[int, ...]]) -> None:
        if any(tuple(d["shape"]) != s for d, s in zip(self.inputs, shapes, strict=True)):
            for detail, shape in zip(self.inputs, shapes, strict=True):
                _check_shape(detail, shape)
            for detail, shape in zip(self.inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(detail["index"], shape, strict=True)
            self._interpreter.allocate_tensors()
            self.inputs = self._interpreter.get_input_details()


def _check_shape(detail: dict[str, Any], shape: tuple[int, ...]) -> None:
    own = detail["shape_signature"]  # -1: open
    pairs = zip(own, shape, strict=False)
    if len(own) != len(shape) or any(size not in (-1, given) for size, given in pairs):
        raise MisfitError(
            f"input '{detail['name']}' is {tuple(own.tolist())}, and a case {shape}: mend shape or "
            "layout in the contract"
        )


def stored(array: Array, detail: dict[str, Any]) -> Array:
    """Real values as a tensor holds them; what has its type already is left as it is."""
    dtype = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if array.dtype == dtype or not scale:
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    levels: Array = np.rint(array / scale) + zero_point
    return levels.clip(limits.min, limits.max).astype(dtype)


def real(array: Array, detail: dict[str, Any]) -> Array:
    """What a tensor means."""
    scale, zero_point = detail["quantization"]
    if not scale:
        return array
    values: Array = (array.astype(np.float32) - zero_point) * scale
    return values.astype(np.float32)


def _noise(detail: dict[str, Any], shape: tuple[int, ...]) -> Array:
    """Real values that a tensor may have: normal ones, or all that its integers can say."""
    random = np.random.default_rng(0)
    dtype = np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return random.standard_normal(shape)
    scale, _ = detail["quantization"]
    limits = np.iinfo(dtype) if dtype.itemsize == 1 or scale else np.iinfo(np.uint8)
    levels = random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return real(levels, detail)


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())
