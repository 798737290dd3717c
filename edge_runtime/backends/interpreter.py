"""Make a TensorFlow Lite interpreter on one delegate, or say why it cannot be made.

LiteRT and tflite-runtime have the same Python interface; LiteRT is asked for first, because it
is several times faster on quantised models and still released.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np

from edge_runtime.errors import DelegateError, MissingExtraError, ModelLoadError

from . import one_line
from .flatbuffer import Outline

# The shared libraries that delegates are shipped in, where they have a fixed name.
LIBRARIES: Mapping[str, str] = MappingProxyType(
    {"edgetpu": "libedgetpu.so.1", "armnn": "libarmnnDelegate.so"}
)

_RUNTIMES = (("ai_edge_litert", "ai-edge-litert"), ("tflite_runtime", "tflite-runtime"))


@dataclass(frozen=True, slots=True)
class Runtime:
    """The package that interprets: its `interpreter` module, and the name it is installed by."""

    module: ModuleType
    distribution: str

    @property
    def title(self) -> str:
        """Name and version, "ai-edge-litert 2.3.0"; looked up when asked, for it takes 8 ms."""
        from importlib.metadata import version

        return f"{self.distribution} {version(self.distribution)}"


@dataclass(frozen=True, slots=True)
class Order:
    """What interpreter is wanted. `shapes` fixes open dimensions, by input name."""

    path: Path
    outline: Outline
    delegate: str
    library: str | None
    options: Mapping[str, str]
    threads: int
    shapes: Mapping[str, tuple[int, ...]]


def import_runtime() -> Runtime:
    """Import LiteRT, else tflite-runtime.

    Raises:
        MissingExtraError: neither is installed, one is broken, or tflite-runtime stands beside
            numpy 2, with which it imports and then fails at the first interpreter.
    """
    missing: ImportError | None = None
    for package, distribution in _RUNTIMES:
        try:
            module = importlib.import_module(f"{package}.interpreter")
        except ModuleNotFoundError as exc:
            if exc.name != package:
                raise MissingExtraError("backend tflite", "tflite", exc) from exc
            missing = missing or exc
            continue
        except ImportError as exc:
            raise MissingExtraError("backend tflite", "tflite", exc) from exc
        runtime = Runtime(module, distribution)
        if package == "tflite_runtime" and not np.__version__.startswith("1."):
            clash = ImportError(
                f"{runtime.title} needs numpy 1, numpy {np.__version__} is installed"
            )
            raise MissingExtraError("backend tflite", "tflite-legacy", clash) from clash
        return runtime
    cause = missing or ImportError("no runtime")
    raise MissingExtraError("backend tflite", "tflite", cause) from cause


def make_interpreter(runtime: Runtime, order: Order) -> Any:
    """An interpreter with its tensors laid out and its delegate at work.

    Raises:
        ModelLoadError: no delegate of this runtime can run this file.
        DelegateError: this one cannot.
    """
    delegates = [_load_library(runtime, order)] if order.library else []
    plain = order.delegate != "xnnpack"
    try:
        interpreter = _interpret(runtime, order, plain=plain, delegates=delegates)
    except (ValueError, RuntimeError) as exc:
        raise _refusal(runtime, order, exc) from exc
    _check_delegated(interpreter, runtime, order)
    return interpreter


def _interpret(runtime: Runtime, order: Order, *, plain: bool, delegates: Sequence[object]) -> Any:
    resolver = runtime.module.OpResolverType
    interpreter = runtime.module.Interpreter(
        model_path=str(order.path),
        num_threads=order.threads,
        experimental_delegates=list(delegates),
        experimental_op_resolver_type=(
            resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else resolver.AUTO
        ),
    )
    indices = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    for name, shape in order.shapes.items():
        if name not in indices:
            raise ValueError(f"it has no input {name!r} to shape, but {', '.join(indices)}")
        interpreter.resize_tensor_input(indices[name], shape, strict=True)
    interpreter.allocate_tensors()
    return interpreter


def _load_library(runtime: Runtime, order: Order) -> object:
    try:
        # Looked at first: the runtime's own loader leaves a traceback on stderr when it fails.
        getattr(ctypes.CDLL(order.library), "tflite_plugin_create_delegate")  # noqa: B009
        return runtime.module.load_delegate(order.library, dict(order.options))
    except (OSError, AttributeError, ValueError, RuntimeError) as exc:
        raise DelegateError(
            f"delegate {order.delegate}: {order.library} does not load: {one_line(exc)};"
            " install the vendor's library, or set library to its path"
        ) from exc


def _refusal(runtime: Runtime, order: Order, cause: Exception) -> ModelLoadError:
    """Is it the file or the delegate? The plain kernels tell, by loading the same file."""
    if order.delegate == "cpu":
        return ModelLoadError(f"{order.path}: {_explain(cause, runtime, order)}")
    try:
        _interpret(runtime, order, plain=True, delegates=())
    except (ValueError, RuntimeError) as exc:
        compiled_for_it = order.library and order.outline.custom_ops
        if not compiled_for_it:
            return ModelLoadError(f"{order.path}: {_explain(exc, runtime, order)}")
    return DelegateError(f"delegate {order.delegate} refuses {order.path}: {one_line(cause)}")


def _explain(error: Exception, runtime: Runtime, order: Order) -> str:
    """The runtime's words, with the remedy where it is known."""
    text = one_line(error)
    if "unresolved custom op" in text:
        names = ", ".join(order.outline.custom_ops)
        return f"{runtime.title} does not know its operation {names}; convert it without"
    if "Didn't find op for builtin opcode" in text:
        return f"made for a newer runtime than {runtime.title}: {text}"
    return f"{runtime.title} refuses it: {text}"


def _check_delegated(interpreter: Any, runtime: Runtime, order: Order) -> None:
    """Raises DelegateError when the delegate left every operation to the plain kernels."""
    list_operations = getattr(interpreter, "_get_ops_details", None)
    if order.delegate == "cpu" or list_operations is None:
        return
    names = [operation["op_name"] for operation in list_operations()]
    if "DELEGATE" not in names:
        raise DelegateError(
            f"delegate {order.delegate} takes none of the {len(names)} operations of"
            f" {order.path} with {runtime.title}; use delegate cpu"
        )
