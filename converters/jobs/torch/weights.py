"""A PyTorch module from what builds it and a file of weights.

Reading a pickle runs what is written in it, so files are read with `weights_only` and a pickled
module is refused unless it is trusted.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from ..job import JobError
from .archive import asks_for, unpickle

# What the user's own code may raise; each becomes one line that names it.
RAISED = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
_NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints keep the weights
_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_SHOWN = 3


def build(factory: str) -> Any:
    """The module that `module:callable` gives, with the weights that it starts with.

    Raises JobError naming what failed.
    """
    import torch

    name, _, attribute = factory.partition(":")
    if not name or not attribute:
        raise JobError(f"factory '{factory}': write it as module:callable")
    try:
        made: Any = importlib.import_module(name)
        for part in attribute.split("."):
            made = getattr(made, part)
        module = made if isinstance(made, torch.nn.Module) else made()
    except RAISED as exc:
        raise JobError(f"factory {factory}: {type(exc).__name__}: {first_line(exc)}") from exc
    if not isinstance(module, torch.nn.Module):
        raise JobError(f"factory {factory}: gives a {type(module).__name__}, not a torch module")
    return module


def read(path: Path, *, trust: bool) -> Any:
    """What torch.save wrote: tensors and plain values, or with `trust` any object. JobError."""
    import torch

    try:
        return unpickle(path)
    except UnpicklingError as exc:
        asked = asks_for(exc)
        if not asked:
            raise JobError(f"{path}: not a file of torch.save, or a damaged one") from exc
        if not trust:
            raise JobError(
                f"{path}: a pickle that asks for `{asked}`; reading it would run code from the "
                "file: save only the state_dict and name what builds the module "
                "(module:callable), or say --trust if you know who made the file"
            ) from exc
    except (RuntimeError, EOFError, LookupError, ValueError) as exc:
        raise JobError(f"{path}: damaged: {first_line(exc)}") from exc
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except RAISED as exc:
        raise JobError(
            f"{path}: its pickle does not load: {first_line(exc)}; the folder that holds its "
            "classes must be on the path"
        ) from exc


def fill(module: Any, path: Path, *, trust: bool) -> list[str]:
    """Give a module the weights of a file. Raises JobError naming keys and shapes that differ."""
    state, notes = _state_of(read(path, trust=trust), path)
    own = module.state_dict()
    _check_keys(path, own, state)
    for name, tensor in state.items():
        if hasattr(tensor, "shape") and tensor.shape != own[name].shape:
            raise JobError(
                f"{path}: `{name}` is {tuple(tensor.shape)} in the file and "
                f"{tuple(own[name].shape)} in the module: build the module as it was trained"
            )
    module.load_state_dict(state)
    return notes


def check_finite(path: Path, parameters: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """No NaN anywhere, no infinity in a parameter (a mask may have one). Raises JobError."""
    import torch

    for tensors, also_infinite in ((parameters, True), (others, False)):
        for name, tensor in tensors.items():
            if not isinstance(tensor, torch.Tensor) or not tensor.dtype.is_floating_point:
                continue
            bad = ~torch.isfinite(tensor) if also_infinite else torch.isnan(tensor)
            count = int(bad.sum())
            if count:
                raise JobError(
                    f"{path}: `{name}` holds NaN or infinity in {count} of {tensor.numel()} "
                    "values: the training diverged, or the file is damaged"
                )


def first_line(exc: Exception) -> str:
    """What an exception says first."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[0] if lines else type(exc).__name__


def _state_of(value: Any, path: Path) -> tuple[dict[str, Any], list[str]]:
    """The state_dict in what was read, its names as the module has them."""
    import torch

    notes = []
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    for key in _NESTED:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
            notes.append(f"weights are '{key}' of the checkpoint {path.name}")
    if not isinstance(value, Mapping) or not any(map(torch.is_tensor, value.values())):
        raise JobError(f"{path}: holds a {type(value).__name__} and no state_dict")
    state = {str(name): tensor for name, tensor in value.items()}
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
            notes.append(f"'{wrapper}' was taken off the names of the weights")
    return state, notes


def _check_keys(path: Path, own: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    parts = [
        f"{word} {_some(names)}"
        for word, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    if parts:
        raise JobError(f"{path}: the weights are not this module's: {'; '.join(parts)}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more
