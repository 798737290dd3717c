"""Results to send about: one of each kind, and as many as one likes."""

from __future__ import annotations

import time

import numpy as np

from edge_runtime.frame import (
    BackendInfo,
    Identity,
    Info,
    Latency,
    ModelInfo,
    Quality,
    Result,
    SourceState,
)
from edge_runtime.outcome import (
    Beat,
    Beats,
    Box,
    CannotSay,
    Detection,
    Detections,
    Event,
    Events,
    Keypoint,
    Keypoints,
    Label,
    Labels,
    Outcome,
    Strip,
    Tensor,
    Tensors,
)

IDENTITY = Identity("bed-7", "ward")
MODEL = ModelInfo("beats", "1.2.0", "ab" * 32)
BACKEND = BackendInfo("tflite", "xnnpack")
INFO = Info(MODEL, BACKEND, (SourceState("port", "live"), SourceState("file", "lost", "gone")))
TIME_NS = 1_795_253_400_123_456_789  # 2026-11-21T09:30:00.123456789Z

KEYPOINTS = (Keypoint("nose", 0.5, 10.0, 20.5), Keypoint("left eye", 0.25, 1.0, 2.0))
OUTCOMES: dict[str, Outcome] = {
    "labels": Labels((Label(1, "person", 0.75), Label(0, 'no "one"\n', 0.25))),
    "no labels": Labels(()),
    "heads": Labels((Label(1, "af", 0.9, "rhythm"), Label(0, "MI", 0.75, "find/ings"))),
    "detections": Detections((Detection(3, "Käfer", 0.5, Box(1.5, 2.0, 3.25, 4.0)),)),
    "pose in a detection": Detections((Detection(0, "p", 1.0, Box(0, 0, 9, 9), KEYPOINTS),)),
    "nothing found": Detections(()),
    "keypoints": Keypoints(KEYPOINTS),
    "beats": Beats((Beat(0, "N", 0.9, TIME_NS, 0.8, 75.0), Beat(1, "V", 0.6, TIME_NS, None, None))),
    "float tensors": Tensors((Tensor("y", np.arange(6, dtype=np.float32).reshape(2, 3) / 7),)),
    "double tensors": Tensors((Tensor("y", np.array([[0.1, 1e300, -2.5]])),)),
    "half tensors": Tensors((Tensor("y", np.array([0.1, 2.0], np.float16)),)),
    "whole tensors": Tensors((Tensor("a", np.array([-(2**63)])), Tensor("b", np.array([True])))),
    "text tensors": Tensors((Tensor("t", np.array(["a", 'b"'])),)),
    "cannot say": CannotSay("quality", "noise"),
    "cannot say, briefly": CannotSay("quality"),
    "events": Events(
        (
            Event("pause", "end", "medium", "pause/1", TIME_NS, TIME_NS + 1, 2.1, {}, {}),
            Event(
                *("asystole", "onset", "high", "asystole/2", TIME_NS, None, 4.5),
                {"pause_s": 4.5, "lost": float("nan")},
                {"pause_s": 4.0},
                Quality("limited", 0.75, ("baseline",)),
                "no beat",
                Strip(TIME_NS, 250.0, ("II", "V1"), np.array([[1.5, -0.25], [np.nan, 0]], "f4")),
                latched=True,
            ),
        )
    ),
    "no events": Events(()),
    "scalar tensor": Tensors((Tensor("s", np.array(1.5, np.float32)),)),
}


def result(seq: int = 0, outcome: Outcome = OUTCOMES["labels"], source: str = "port") -> Result:
    """A result made now."""
    return Result(
        id=f"boot-{source}-{seq}",
        source=source,
        seq=seq,
        timestamp_ns=TIME_NS + seq,
        monotonic_ns=time.monotonic_ns(),
        model=MODEL,
        backend=BACKEND,
        latency_ms=Latency(4.5, 0.5, 3.0, 0.25),
        outcome=outcome,
    )
