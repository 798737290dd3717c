"""Which inference runtimes a test needs, and tensors to feed them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from .needs import missing

PACKAGES = {"tflite": ("ai_edge_litert", "tflite_runtime"), "onnx": ("onnxruntime",)}


def need_runtime(kind: str) -> None:
    """Skip by name when no runtime for this format is installed."""
    if not any(importlib.util.find_spec(package) for package in PACKAGES[kind]):
        missing(f"a runtime for {kind}", f"pip install 'edge-runtime[{kind}]'")


def wake_word_frames() -> list[np.ndarray]:
    """A synthetic spectrogram that moves the wake word model's score: 40 frames of (1, 3, 40)."""
    rng = np.random.default_rng(17)
    coarse = rng.normal(size=(17, 8))
    time, band = np.linspace(0, 15.999, 180), np.linspace(0, 6.999, 40)
    step, share = time.astype(int), (time % 1)[:, None]
    rows = coarse[step] * (1 - share) + coarse[step + 1] * share
    level, depth = rng.uniform(-128, 40), rng.uniform(20, 110)
    spectrum = np.clip(level + depth * rows[:, band.astype(int)], -128, 127).astype(np.int8)
    return list(spectrum.reshape(-1, 1, 3, 40)[:40])


def image(path: Path, height: int, width: int) -> np.ndarray:
    """A whole picture, squeezed to (1, height, width, 3) uint8 RGB, as the references were."""
    import cv2

    picture = cv2.imread(str(path))
    assert picture is not None, path
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)[None]
