"""Make an ONNX Runtime session on one execution provider, or say why it cannot be made.

ONNX Runtime falls back to the CPU without raising when a provider does not start, and again,
node by node, when it starts and knows none of the operations. Both are looked for here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

from edge_runtime.errors import DelegateError, MissingExtraError, ModelLoadError

from . import fits, one_line


class Provider(NamedTuple):
    """An execution provider: ONNX Runtime's name for it, and what brings it."""

    name: str
    remedy: str


_GPU = "pip install onnxruntime-gpu in place of onnxruntime"

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "cpu": Provider("CPUExecutionProvider", "install onnxruntime again"),
        "openvino": Provider(
            "OpenVINOExecutionProvider",
            "pip install onnxruntime-openvino in place of onnxruntime (x86-64 only)",
        ),
        "cuda": Provider("CUDAExecutionProvider", f"{_GPU} (on a Jetson: NVIDIA's own wheel)"),
        "tensorrt": Provider("TensorrtExecutionProvider", f"{_GPU}, and TensorRT itself"),
        "coreml": Provider("CoreMLExecutionProvider", "only onnxruntime for macOS has it"),
        "qnn": Provider("QNNExecutionProvider", "pip install onnxruntime-qnn"),
    }
)

_CPU = PROVIDERS["cpu"].name
_LOG_ERRORS_ONLY = 3

# ONNX Runtime's exceptions share no base class; these are those of versions 1.20 to 1.31.
_ERROR_NAMES = (
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelRequiresCompilation",
    "NoModel",
    "NoSuchFile",
    "NotFound",
    "NotImplemented",
    "RuntimeException",
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The onnxruntime package, its name and version, and the exceptions it raises."""

    module: ModuleType
    title: str  # "onnxruntime 1.31.1"
    errors: tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What session is wanted. `shapes` fixes open dimensions, by input name."""

    path: Path
    delegate: str
    options: Mapping[str, str]
    threads: int
    shapes: Mapping[str, tuple[int, ...]]


def import_runtime() -> Runtime:
    """Import onnxruntime. Raises MissingExtraError when it is not installed, or broken."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as binding
    except ImportError as exc:
        raise MissingExtraError("backend onnx", "onnx", exc) from exc
    if not hasattr(onnxruntime, "InferenceSession"):
        cause = ImportError("two onnxruntime packages overwrote each other: uninstall both first")
        raise MissingExtraError("backend onnx", "onnx", cause)
    known = (getattr(binding, name, ValueError) for name in _ERROR_NAMES)
    errors = (*known, ValueError, RuntimeError, TypeError)
    return Runtime(onnxruntime, f"onnxruntime {onnxruntime.__version__}", errors)


def make_session(runtime: Runtime, order: Order) -> Any:
    """A session whose provider is really in use.

    Raises:
        ModelLoadError: ONNX Runtime cannot run this file, even on the CPU.
        DelegateError: this provider is not in the build, does not start, or takes no part.
    """
    provider, available = PROVIDERS[order.delegate], runtime.module.get_available_providers()
    if provider.name not in available:
        raise DelegateError(
            f"delegate {order.delegate}: {runtime.title} has no {provider.name}, only"
            f" {', '.join(available)}; {provider.remedy}"
        )
    try:
        sizes = _named_sizes(runtime, order)
        session = _start(runtime, order, provider.name, sizes)
    except runtime.errors as exc:
        raise _refusal(runtime, order, exc) from exc
    _check_shapes(order, session.get_inputs())
    _check_provider(runtime, order, session)
    return session


def _start(runtime: Runtime, order: Order, name: str, sizes: Mapping[str, int]) -> Any:
    wanted: list[tuple[str, dict[str, str]]] = [(name, dict(order.options))]
    if name == PROVIDERS["tensorrt"].name:
        wanted.append((PROVIDERS["cuda"].name, {}))  # for what TensorRT does not know
    if name != _CPU:
        wanted.append((_CPU, {}))
    return runtime.module.InferenceSession(
        str(order.path),
        sess_options=_settings(runtime, order.threads, sizes),
        providers=wanted,
        enable_fallback=0,
    )


def _settings(runtime: Runtime, threads: int, sizes: Mapping[str, int]) -> Any:
    """Threads that sleep between runs: spinning ones burn most of a core at camera pace."""
    settings = runtime.module.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = runtime.module.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = _LOG_ERRORS_ONLY
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for dimension, size in sizes.items():
        settings.add_free_dimension_override_by_name(dimension, size)
    return settings


def _named_sizes(runtime: Runtime, order: Order) -> dict[str, int]:
    """Sizes for the file's named open dimensions, from the shapes asked for.

    Accelerators compile better for known sizes. The CPU gains nothing, and version 1.24 refuses
    some models when it is told any, so it is not told.
    """
    if order.delegate == "cpu" or not order.shapes:
        return {}
    nodes = _start(runtime, order, _CPU, {}).get_inputs()
    _check_shapes(order, nodes)
    sizes: dict[str, int] = {}
    for node in nodes:
        shape = order.shapes.get(node.name, ())
        for dimension, size in zip(node.shape, shape, strict=False):
            if isinstance(dimension, str) and sizes.setdefault(dimension, size) != size:
                raise ModelLoadError(f"{order.path}: two sizes for its dimension {dimension!r}")
    return sizes


def _check_shapes(order: Order, nodes: Sequence[Any]) -> None:
    """Raises ModelLoadError when a shape asked for is not one that the file allows."""
    declared = {node.name: node.shape for node in nodes}
    for name, shape in order.shapes.items():
        if name not in declared:
            raise ModelLoadError(
                f"{order.path}: it has no input {name!r} to shape, but {', '.join(declared)}"
            )
        if not fits(shape, open_dimensions(declared[name])):
            raise ModelLoadError(f"{order.path}: input {name} is {declared[name]}, not {shape}")


def open_dimensions(declared: list[int | str | None]) -> tuple[int | None, ...]:
    """A shape as ONNX Runtime tells it, with None for whatever is not a number."""
    return tuple(size if isinstance(size, int) else None for size in declared)


def _refusal(runtime: Runtime, order: Order, cause: Exception) -> ModelLoadError:
    """Is it the file or the provider? The CPU tells, by loading the same file."""
    if order.delegate != "cpu":
        try:
            _start(runtime, Order(order.path, "cpu", {}, 1, {}), _CPU, {})
        except runtime.errors as exc:
            return ModelLoadError(f"{order.path}: {_explain(runtime, exc)}")
        text = _plain(cause)
        return DelegateError(f"delegate {order.delegate} refuses {order.path}: {text}")
    return ModelLoadError(f"{order.path}: {_explain(runtime, cause)}")


def _plain(error: Exception) -> str:
    """Without the number and code that ONNX Runtime puts before its words."""
    text = one_line(error)
    return text.split(" : ", 3)[-1] if text.startswith("[ONNXRuntimeError]") else text


def _explain(runtime: Runtime, error: Exception) -> str:
    if type(error).__name__ == "InvalidProtobuf":
        return "not a whole ONNX file: cut short or damaged"
    return f"{runtime.title} refuses it: {_plain(error)}"


def _check_provider(runtime: Runtime, order: Order, session: Any) -> None:
    wanted, working = PROVIDERS[order.delegate].name, session.get_providers()
    if working[0] != wanted:
        raise DelegateError(
            f"delegate {order.delegate} did not start: {runtime.title} fell back to {working[0]};"
            " its libraries are missing or of another version, see the log above"
        )
    list_assigned = getattr(session, "get_provider_graph_assignment_info", None)
    if order.delegate == "cpu" or list_assigned is None:
        return
    if wanted not in {part.ep_name for part in list_assigned()}:
        raise DelegateError(
            f"delegate {order.delegate} takes none of the operations of {order.path};"
            " use delegate cpu"
        )
