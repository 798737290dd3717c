"""Slots to judge: good ones, and every way of being bad that the catalogue names (F01 to F14)."""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx

from edge_runtime.update.store import listing

from ...needs import ROOT

HALF = ROOT / "models" / "half-plus-two"
SHAPES = ROOT / "models" / "shapes"
BEATS = ROOT / "models" / "ecg-beats"

Edit = Callable[[Path], None]


def slot(into: Path, base: Path, *edits: Edit, rehash: bool = True) -> Path:
    """A copy of a model as a slot holds it, edited; `rehash` makes the manifest's sums right."""
    into.mkdir(parents=True)
    names = listing.named((base / "model.toml").read_bytes(), "model.toml")
    for name in names | {listing.README}:
        shutil.copy(base / name, into / name)
    for edit in edits:
        edit(into)
    if rehash:
        _rehash(into)
    return into


def _rehash(slot: Path) -> None:
    manifest = slot / "model.toml"
    if not manifest.is_file() or manifest.stat().st_size > 1 << 20:
        return

    def sums(found: re.Match[str]) -> str:
        path = slot / found["path"]
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        return f'{found["head"]}sha256 = "{digest}"'

    entry = r'(?P<head>path = "(?P<path>[^"]+)"\n(?:\w+ = .*\n)*?)sha256 = "[^"]*"'
    manifest.write_text(re.sub(entry, sums, manifest.read_text()))


def content(name: str, data: bytes) -> Edit:
    return lambda slot: _write(slot / name, data)


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def text(old: str, new: str, name: str = "model.toml") -> Edit:
    def edit(slot: Path) -> None:
        before = (slot / name).read_text()
        assert old in before
        (slot / name).write_text(before.replace(old, new))

    return edit


def cut(name: str, *, keep: float = 1.0, off: int = 0) -> Edit:
    def edit(slot: Path) -> None:
        data = (slot / name).read_bytes()
        _write(slot / name, data[: int(len(data) * keep) - off])

    return edit


def onnx_file(name: str, change: Callable[[onnx.ModelProto], None]) -> Edit:
    def edit(slot: Path) -> None:
        model = onnx.load(slot / name)
        change(model)
        _write(slot / name, model.SerializeToString())

    return edit


def golden(change: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]) -> Edit:
    def edit(slot: Path) -> None:
        with np.load(slot / "golden.npz") as arrays:
            before = {name: arrays[name] for name in arrays.files}
        np.savez(slot / "golden.npz", **change(before))

    return edit


def no_models() -> dict[str, bytes]:
    """F01, F02: what is no model at all."""
    return {
        "empty": b"",
        "text": b"this is not a model\n" * 20,
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "pickle": pickle.dumps({"model": list(range(100))}),
        "magic": b"\x1c\0\0\0TFL9" + bytes(100),
        "eight": b"\x04\0\0\0TFL3",
        "zeros": bytes(4096),
    }
