"""TensorFlow Lite models: LiteRT, or tflite-runtime where LiteRT has no wheel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import BadOptionError, FrameError, ModelLoadError
from edge_runtime.interfaces import Quantisation, TensorSpec

from . import fits, one_line, read_head
from .flatbuffer import Outline, read_outline
from .interpreter import LIBRARIES, Order, Runtime, import_runtime, make_interpreter

if TYPE_CHECKING:
    from edge_runtime.frame import Array

_BUILT_IN = ("xnnpack", "cpu")
_ELEMENTS_MAX = 2**29  # beyond it tflite-runtime 2.14 counts bytes wrongly and corrupts memory

_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


class TFLite:
    """Runs a .tflite file.

    Inputs and outputs stand in the order of the file and keep its tensor names (a signature's
    argument names are not used). A dimension the file leaves open is None in `inputs`; such an
    input takes any size there, and the first run at a new size is slower, since the tensors are
    laid out anew.

    Args:
        path: the model file.
        delegate: `xnnpack` (the fast CPU kernels), `cpu` (the plain ones), or the name of a
            library: `edgetpu`, `armnn`, `gpu`, `external` or the user's own word.
        threads: of the CPU kernels.
        library: the delegate's shared library, by path or by name; `edgetpu` and `armnn` know
            theirs.
        options: what the library is told, as text.
        shapes: fixes open dimensions, by input name.
    """

    kind = "tflite"

    def __init__(
        self,
        *,
        path: Path,
        delegate: str = "xnnpack",
        threads: int = 1,
        library: str | None = None,
        options: Mapping[str, str] = _NO_OPTIONS,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        if threads < 1:
            raise BadOptionError("threads", f"must be 1 or more, is {threads}")
        if delegate in _BUILT_IN and (library or options):
            key = "library" if library else "options"
            raise BadOptionError(key, f"delegate {delegate!r} is built in and takes none")
        library = library or LIBRARIES.get(delegate)
        if delegate not in _BUILT_IN and not library:
            known = ", ".join((*_BUILT_IN, *LIBRARIES))
            raise BadOptionError(
                "delegate", f"{delegate!r} needs its library named; without one there are {known}"
            )
        self.delegate = delegate
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self._path, self._threads = path, threads
        self._library, self._options = library, dict(options)
        self._fixed = dict(shapes or {})
        self._made: tuple[Runtime, Order] | None = None
        self._runtime: Runtime | None = None
        self._interpreter: Any = None
        self._input_indices: tuple[int, ...] = ()
        self._output_indices: tuple[int, ...] = ()
        self._shapes: tuple[tuple[int, ...], ...] = ()

    def open(self) -> None:
        """Load the model.

        Raises:
            ModelLoadError: this file cannot run on this runtime at all.
            DelegateError: this delegate is not here, or refuses this model, or takes no part.
            MissingExtraError: no TensorFlow Lite runtime is installed, or not a working one.
        """
        self.close()
        outline = self._inspect()
        runtime = import_runtime()
        order = Order(
            path=self._path,
            outline=outline,
            delegate=self.delegate,
            library=self._library,
            options=self._options,
            threads=self._threads,
            shapes=self._fixed,
        )
        self._build(runtime, order)
        self._made, self._runtime = (runtime, order), runtime

    @property
    def runtime(self) -> str:
        """Name and version of what interprets, "ai-edge-litert 2.3.0"; empty before open()."""
        return self._runtime.title if self._runtime else ""

    def run(self, tensors: Sequence[Array]) -> list[Array]:
        """See `Backend.run`. Raises FrameError for a wrong count, shape or dtype."""
        interpreter = self._interpreter
        if interpreter is None:
            raise RuntimeError(f"{self._path}: run() before open()")
        try:
            for tensor, shape in zip(tensors, self._shapes, strict=True):
                if tensor.shape != shape:
                    self._resize(tensors)
                    break
            for index, tensor in zip(self._input_indices, tensors, strict=True):
                interpreter.set_tensor(index, tensor)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._output_indices]
        except (ValueError, RuntimeError) as exc:
            raise FrameError(f"{self._path.name}: {one_line(exc)}") from exc

    def reset(self) -> None:
        """Forget the state of recurrent layers and of resource variables.

        The runtime clears the former in place but never the latter (so it is with LiteRT 2.3 and
        tflite-runtime 2.14), hence a model that has any is loaded anew.
        """
        if self._made is None:
            return
        runtime, order = self._made
        if order.outline.has_variables:
            self._build(runtime, order)
        else:
            self._interpreter.reset_all_variables()

    def close(self) -> None:
        self._made = self._interpreter = None
        self.inputs = self.outputs = ()

    def _inspect(self) -> Outline:
        read_head(self._path)
        try:
            outline = read_outline(self._path)
        except OSError as exc:
            raise ModelLoadError(f"{self._path}: {exc.strerror}") from exc
        except ValueError as exc:
            raise ModelLoadError(f"{self._path}: {exc}") from exc
        if outline.flex_ops:
            raise ModelLoadError(
                f"{self._path}: needs TensorFlow itself for {', '.join(outline.flex_ops)}, which"
                " no device runtime carries; convert with TFLITE_BUILTINS operations only"
            )
        return outline

    def _build(self, runtime: Runtime, order: Order) -> None:
        interpreter = make_interpreter(runtime, order)
        try:
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        except ValueError as exc:  # an index that leads nowhere, a name that is no text
            raise ModelLoadError(f"{self._path}: damaged: {one_line(exc)}") from exc
        self._interpreter = interpreter
        self._input_indices = tuple(detail["index"] for detail in inputs)
        self._output_indices = tuple(detail["index"] for detail in outputs)
        self._shapes = tuple(_shape(detail["shape"]) for detail in inputs)
        self.inputs = tuple(_spec(detail, self._fixed.get(detail["name"])) for detail in inputs)
        self.outputs = tuple(_spec(detail, None) for detail in outputs)

    def _resize(self, tensors: Sequence[Array]) -> None:
        """Lay the tensors out for these inputs. Raises ValueError, and the old sizes stand."""
        wanted = tuple(tensor.shape for tensor in tensors)
        for spec, shape in zip(self.inputs, wanted, strict=True):
            if not fits(shape, spec.shape):
                raise ValueError(f"input {spec.name} has shape {spec.shape}, not {shape}")
            if not 0 < math.prod(shape) <= _ELEMENTS_MAX:
                raise ValueError(f"cannot run at {shape}: nothing, or more than 2 GB")
        try:
            self._allocate(wanted)
        except (ValueError, RuntimeError) as exc:
            self._allocate(self._shapes)
            raise ValueError(f"cannot run at {wanted}: {exc}") from exc
        self._shapes = wanted

    def _allocate(self, shapes: Sequence[tuple[int, ...]]) -> None:
        for index, shape in zip(self._input_indices, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape, strict=True)
        self._interpreter.allocate_tensors()


def _shape(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(size) for size in sizes)


def _spec(detail: Mapping[str, Any], fixed: tuple[int, ...] | None) -> TensorSpec:
    declared = _shape(detail["shape_signature"])
    if len(declared) != len(detail["shape"]):
        declared = _shape(detail["shape"])
    return TensorSpec(
        name=detail["name"],
        shape=fixed or tuple(None if size < 0 else size for size in declared),
        dtype=np.dtype(detail["dtype"]).name,
        quantisation=_quantisation(detail["quantization_parameters"]),
    )


def _quantisation(parameters: Mapping[str, Any]) -> Quantisation | None:
    if not len(parameters["scales"]):
        return None
    return Quantisation(
        scale=tuple(float(scale) for scale in parameters["scales"]),
        zero_point=tuple(int(point) for point in parameters["zero_points"]),
        axis=int(parameters["quantized_dimension"]),
    )
