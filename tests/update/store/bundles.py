"""Small models for the store: real bundles of files that no runtime is asked to load."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.update.store import bundle
from edge_runtime.update.store.journal import Installed

MANIFEST = """\
name = "model"
version = "{version}"
task = "classification"
[[file]]
path = "weights.tflite"
format = "tflite"
precision = "int8"
[postprocess]
kind = "classification"
labels = "text/labels.txt"
"""


def model(folder: Path, version: str, weights: bytes = b"weights") -> Path:
    """A model directory with one file in a folder below."""
    (folder / "text").mkdir(parents=True)
    (folder / "model.toml").write_text(MANIFEST.format(version=version))
    (folder / "weights.tflite").write_bytes(weights)
    (folder / "text" / "labels.txt").write_text("a\nb\n")
    return folder


def packed(folder: Path, version: str, counter: int, size: int = 40) -> tuple[Path, Installed]:
    """A bundle in `folder`, and what a release would say of it."""
    source = model(folder / f"model-{version}", version, (version.encode() + b"-") * size)
    made = folder / f"{version}.tar"
    return made, Installed(bundle.pack(source, made), "model", version, counter)
