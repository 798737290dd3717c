"""What a file of PyTorch is, told without loading it, and what in it would run code.

`torch.load` unpickles, and so does `torch.export.load` where an exported program holds pickled
weights, constants or sample inputs; it also evaluates the program's shape expressions and guards
and looks up its operators by any name under `torch` (torch 2.13, torch/export/pt2_archive/_package
and torch/_export/serde/serialize). What is checked here is all that a plain export has.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from ..job import JobError

_TRUST = "if you know who made the file, say --trust"
_OPERATORS = re.compile(
    r"torch\.ops(\.(?!_*load_library\b|_*import_module\b|__)\w+){2,3}"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|math\.(?!_)\w+"
    r"|torch\._?sym_\w+"
)
_PLAIN = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.Subscript, ast.Attribute, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop,
)  # fmt: skip
_ASKED = frozenset({"size", "stride", "storage_offset"})  # what a guard asks a tensor for


def kind_of(path: Path) -> str:
    """What a file is: "program" (.pt2), "script" (TorchScript) or "pickle" (torch.save).

    Raises JobError when torch has not written it.
    """
    if not path.is_file():
        raise JobError(f"{path}: there is no such file")
    if not zipfile.is_zipfile(path):
        return "pickle"  # torch.save before 1.6, or none; the unpickler will tell
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] or name for name in archive.namelist()}
    if "archive_format" in names:
        return "program"
    if "constants.pkl" in names:
        return "script"
    if "data.pkl" in names:
        return "pickle"
    if "serialized_exported_program.json" in names:
        raise JobError(f"{path}: a program of torch before 2.8; export it again with a newer one")
    raise JobError(f"{path}: a zip archive, but not one that torch writes")


def check_program(path: Path) -> None:
    """Look through an exported program. Raises JobError when loading it could run code."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                _check_part(path, archive, name)
    except (zipfile.BadZipFile, EOFError, KeyError, TypeError, ValueError) as exc:
        raise JobError(f"{path}: a damaged exported program: {exc}") from exc


def check_still(path: Path, program: Any) -> None:
    """Raises JobError for a loaded program in training mode, or one that keeps a state."""
    found = sorted(program.graph_signature.buffers_to_mutate.values())
    for node in program.graph.nodes:
        operator, arguments = str(node.target), node.args
        statistics = operator == "aten.batch_norm.default" and arguments[3] is not None
        if (statistics and arguments[5]) or (operator == "aten.dropout.default" and arguments[2]):
            stack = list(node.meta.get("nn_module_stack", {}).values())
            found.append(stack[-1][0] if stack else node.name)
    if found:
        raise JobError(
            f"{path}: `{found[0]}` is in training mode, or keeps a state between calls: call "
            "eval() before torch.export.export"
        )


def unpickle(path: Path | io.BytesIO) -> Any:
    """What torch.save wrote, if it is tensors and plain values; raises UnpicklingError if not."""
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def asks_for(error: UnpicklingError) -> str:
    """The class or function without which a file cannot be unpickled, or "" when it names none."""
    found = re.search(r"(?:GLOBAL|global)\s+([\w.]*\w)\s", str(error))
    return found[1] if found and "." in found[1] else ""


def _check_part(path: Path, archive: zipfile.ZipFile, name: str) -> None:
    inside = name.partition("/")[2]
    if inside.startswith("data/aotinductor/"):
        raise JobError(f"{path}: holds compiled code ({inside}); export without AOTInductor")
    if inside.endswith("_config.json"):
        for tensor, entry in json.loads(archive.read(name))["config"].items():
            file = str(entry["path_name"])
            if entry["use_pickle"] or not file.startswith(("weight_", "tensor_")):
                raise JobError(f"{path}: `{tensor}` is pickled, and that may run code; {_TRUST}")
    elif inside.startswith(("data/weights/", "data/constants/", "data/sample_inputs/")):
        if inside.endswith(".pt") and archive.getinfo(name).file_size:
            _check_pickle(path, inside, archive.read(name))
    elif inside.startswith("models/"):
        _check_graph(path, json.loads(archive.read(name)))


def _check_pickle(path: Path, inside: str, data: bytes) -> None:
    try:
        unpickle(io.BytesIO(data))
    except UnpicklingError as exc:
        asked = asks_for(exc)
        what = f"`{asked}`" if asked else "more than tensors"
        raise JobError(
            f"{path}: {inside} asks for {what}, and that may run code; {_TRUST}"
        ) from exc


def _check_graph(path: Path, model: dict[str, Any]) -> None:
    for table in _tables(model):
        target, size = table.get("target"), table.get("expr_str")
        # Beside the nodes, which have inputs, the history of a program names operators, as text.
        if isinstance(target, str) and "inputs" in table and not _OPERATORS.fullmatch(target):
            raise JobError(f"{path}: calls `{target}`, which is no operator of torch; {_TRUST}")
        if size is not None and not _plain(str(size), frozenset()):
            raise JobError(f"{path}: the size {size!r} is no arithmetic; {_TRUST}")
        if "default_factory_module" in table or "__enum__" in table:
            raise JobError(f"{path}: takes or gives a defaultdict or an enum; give plain dicts")
    for guard in model.get("guards_code", ()):
        if not _plain(guard, _ASKED):
            raise JobError(f"{path}: the guard {guard!r} is no arithmetic; {_TRUST}")


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    """Each table in a JSON value, at every depth and in the JSON texts that it holds."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _tables(inner)
    elif isinstance(value, str) and value[:1] in ("[", "{"):
        with suppress(json.JSONDecodeError):  # what is no JSON is no tree of inputs or outputs
            yield from _tables(json.loads(value))


def _plain(text: str, methods: frozenset[str]) -> bool:
    """Whether an expression only computes: numbers, names and SymPy's functions (`Max(s0, 2)`)."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except SyntaxError:
        return False
    return all(_plain_node(node, methods) for node in nodes)


def _plain_node(node: ast.AST, methods: frozenset[str]) -> bool:
    if isinstance(node, ast.Call):
        named = node.func
        if isinstance(named, ast.Attribute):
            return named.attr in methods
        return isinstance(named, ast.Name) and named.id[:1].isupper()
    if isinstance(node, ast.Attribute):
        return node.attr in methods
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(re.fullmatch(r"\w+", node.value))
    return isinstance(node, _PLAIN)
