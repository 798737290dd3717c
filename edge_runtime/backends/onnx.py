"""ONNX models, on ONNX Runtime's execution providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edge_runtime.errors import BadOptionError, FrameError, ModelLoadError
from edge_runtime.interfaces import TensorSpec

from . import fits, format_of, one_line
from .session import PROVIDERS, Order, import_runtime, make_session, open_dimensions

if TYPE_CHECKING:
    from edge_runtime.frame import Array

_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})

# ONNX's names of element types where they are not numpy's.
_DTYPES = MappingProxyType({"float": "float32", "double": "float64", "string": "object"})


class Onnx:
    """Runs an .onnx or .ort file.

    Inputs and outputs stand in the order of the file; a dimension it leaves open is None.
    Quantised ONNX models take and give real values, so no tensor has a quantisation. Nothing is
    held between runs: a stateful model has its state among its inputs and outputs.

    Args:
        path: the model file; weights stored outside of it lie beside it.
        delegate: the execution provider, by its short name. Operations that it does not know
            run on the CPU, but it must take some.
        threads: of one operation.
        library: only there to be refused; ONNX Runtime brings its providers.
        options: the provider's own, as text. TensorRT builds its engine anew at every start, for
            minutes, unless told trt_engine_cache_enable = "1" and a trt_engine_cache_path.
        shapes: fixes open dimensions, by input name.
    """

    kind = "onnx"

    def __init__(
        self,
        *,
        path: Path,
        delegate: str = "cpu",
        threads: int = 1,
        library: str | None = None,
        options: Mapping[str, str] = _NO_OPTIONS,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        if delegate not in PROVIDERS:
            raise BadOptionError("delegate", f"{delegate!r} is not one of {', '.join(PROVIDERS)}")
        if threads < 1:
            raise BadOptionError("threads", f"must be 1 or more, is {threads}")
        if library:
            raise BadOptionError("library", "ONNX Runtime brings its own delegates: leave it out")
        self.delegate = delegate
        self.runtime = ""  # "onnxruntime 1.31.1", after open()
        self.inputs: tuple[TensorSpec, ...] = ()
        self.outputs: tuple[TensorSpec, ...] = ()
        self._order = Order(path, delegate, dict(options), threads, dict(shapes or {}))
        self._session: Any = None
        self._names: tuple[str, ...] = ()
        self._refusals: tuple[type[Exception], ...] = ()

    def open(self) -> None:
        """Load the model.

        Raises:
            ModelLoadError: this file cannot run here at all.
            DelegateError: the provider is not in this build, does not start, or takes no part.
            MissingExtraError: onnxruntime is not installed, or broken.
        """
        self.close()
        if format_of(self._order.path) != "onnx":
            raise ModelLoadError(f"{self._order.path}: a TensorFlow Lite file, not an ONNX one")
        runtime = import_runtime()
        session = make_session(runtime, self._order)
        try:
            self.inputs = tuple(self._spec(node) for node in session.get_inputs())
            self.outputs = tuple(self._spec(node) for node in session.get_outputs())
        except UnicodeDecodeError as exc:
            raise ModelLoadError(f"{self._order.path}: a tensor's name is no text") from exc
        self._names = tuple(spec.name for spec in self.inputs)
        self._session, self.runtime, self._refusals = session, runtime.title, runtime.errors

    def run(self, tensors: Sequence[Array]) -> list[Array]:
        """See `Backend.run`. Raises FrameError for a wrong count, shape or dtype."""
        if self._session is None:
            raise RuntimeError(f"{self._order.path}: run() before open()")
        try:
            feed = dict(zip(self._names, tensors, strict=True))
            if self._order.shapes:
                self._check_shapes(tensors)
            outputs: list[Array] = self._session.run(None, feed)
        except self._refusals as exc:
            raise FrameError(f"{self._order.path.name}: {one_line(exc)}") from exc
        return outputs

    def reset(self) -> None:
        """Nothing to forget: state travels through inputs and outputs."""

    def close(self) -> None:
        self._session = None
        self.inputs = self.outputs = ()

    def _check_shapes(self, tensors: Sequence[Array]) -> None:
        """An open dimension without a name is fixed here only; ONNX Runtime lets it vary."""
        for spec, tensor in zip(self.inputs, tensors, strict=True):
            if not fits(tensor.shape, spec.shape):
                raise ValueError(f"input {spec.name} has shape {spec.shape}, not {tensor.shape}")

    def _spec(self, node: Any) -> TensorSpec:
        if not node.type.startswith("tensor("):
            raise ModelLoadError(
                f"{self._order.path}: {node.name} is a {node.type}; only tensors can be run"
            )
        element = node.type[len("tensor(") : -1]
        shape = self._order.shapes.get(node.name) or open_dimensions(node.shape)
        return TensorSpec(node.name, tuple(shape), _DTYPES.get(element, element))
