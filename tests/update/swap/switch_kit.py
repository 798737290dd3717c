"""Models with real faults, a real store, and a pipeline that runs them at the pace of a stream.

The models are ONNX files of (1, 25, 1) samples in, three scores out: mean, minimum and maximum
through a matrix. A fault begins with the frames whose first sample is above 1: `Stream.spoil`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edge_runtime import build
from edge_runtime.capture import Capture
from edge_runtime.config import ModelConfig, Rung
from edge_runtime.errors import EndOfStream
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Source
from edge_runtime.lane import Limits
from edge_runtime.pipeline import Pipeline
from edge_runtime.swap.probation import Rules
from edge_runtime.swap.switch import Switch
from edge_runtime.update.desk import StoreDesk
from edge_runtime.update.store import bundle
from edge_runtime.update.store.journal import Installed
from edge_runtime.update.store.store import Store

from ...scripted import Collected

SAMPLES = 25
RULES = Rules(
    shadow_s=0.3,
    probation_s=1.0,
    probation_results=40,
    hang_s=1.0,
    silent_s=3.0,
    memory_mb=50,
)
MANIFEST = """\
name = "{name}"
version = "{version}"
task = "classification"
[[file]]
path = "model.onnx"
format = "onnx"
precision = "float32"
[[input]]
name = "x"
kind = "signal"
shape = [1, 25, 1]
layout = "NTC"
units = "raw"
rate_hz = 250.0
[[output]]
name = "y"
meaning = "scores"
[postprocess]
kind = "classification"
labels = "labels.txt"
top_k = 3
"""
LABELS = ("rising", "falling", "level")


def write_model(
    folder: Path,
    fault: str = "",
    *,
    version: str = "1.0.0",
    labels: tuple[str, ...] = LABELS,
    shift: float = 0.0,
) -> Path:
    """A model directory. Faults: "nan", "constant", "hang", "slow", "error"."""
    folder.mkdir(parents=True)
    onnx.save(_graph(fault, shift), folder / "model.onnx")
    (folder / "model.toml").write_text(MANIFEST.format(name="kit", version=version))
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    (folder / "README.md").write_text("A model for tests.\n")
    return folder


def _graph(fault: str, shift: float) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    first = np.linspace(-1, 1, SAMPLES, dtype=np.float32)
    weights = np.stack([first, -first, np.full(SAMPLES, 0.02, np.float32)], axis=1) + shift
    constants = {"w": weights.astype(np.float32), "flat": np.array([1, SAMPLES], np.int64)}
    nodes = [
        helper.make_node("Reshape", ["x", "flat"], ["row"]),
        helper.make_node("MatMul", ["row", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["said" if fault else "y"], axis=1),
    ]
    inputs = [value("x", TensorProto.FLOAT, [1, SAMPLES, 1])]
    outputs = [value("y", TensorProto.FLOAT, [1, 3])]
    if fault:
        constants |= {"one": np.ones(1, np.float32), "start": np.zeros(1, np.int64)}
        nodes += [
            helper.make_node("Reshape", ["x", "long"], ["samples"]),
            helper.make_node("Gather", ["samples", "start"], ["first"]),
            helper.make_node("Less", ["one", "first"], ["bad"]),
            *_faulty(fault, constants),
        ]
        constants["long"] = np.array([-1], np.int64)
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "kit", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def _faulty(fault: str, constants: dict[str, np.ndarray]) -> list[onnx.NodeProto]:
    if fault == "nan":
        constants["worse"] = np.full((1, 3), np.nan, np.float32)
        return [helper.make_node("Where", ["bad", "worse", "said"], ["y"])]
    if fault == "constant":
        constants["worse"] = np.array([[0.9, 0.05, 0.05]], np.float32)
        return [helper.make_node("Where", ["bad", "worse", "said"], ["y"])]
    if fault == "error":  # an index beyond the end
        constants |= {"far": np.array([99], np.int64), "near": np.array([0], np.int64)}
        return [
            helper.make_node("Where", ["bad", "far", "near"], ["place"]),
            helper.make_node("Gather", ["said", "place"], ["y"], axis=0),
        ]
    rounds = 150_000 if fault == "hang" else 300  # seconds, and some 15 ms
    constants |= {
        "many": np.array(rounds, np.int64),
        "once": np.array(1, np.int64),
        "go": np.array(True),
        "square": np.eye(96, dtype=np.float32),
        "single": np.array([], np.int64),
        "nothing": np.zeros((), np.float32),
    }
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still"]),
            helper.make_node("MatMul", ["power", "square"], ["more"]),
        ],
        "body",
        [
            value("turn", TensorProto.INT64, []),
            value("on", TensorProto.BOOL, []),
            value("power", TensorProto.FLOAT, [96, 96]),
        ],
        [value("still", TensorProto.BOOL, []), value("more", TensorProto.FLOAT, [96, 96])],
    )
    return [
        helper.make_node("Reshape", ["bad", "single"], ["truth"]),
        helper.make_node("Where", ["truth", "many", "once"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "go", "square"], ["worked"], body=body),
        helper.make_node("ReduceSum", ["worked"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nothing"], ["zero"]),
        helper.make_node("Add", ["said", "zero"], ["y"]),
    ]


def validated(store: Store, folder: Path, counter: int = 1, version: str = "2.0.0") -> Installed:
    """Put a model directory into the store, as far as a passed gate."""
    part = folder.with_suffix(".tar")
    release = Installed(bundle.pack(folder, part), "kit", version, counter)
    store.open()
    store.fetching(release)
    store.part(release.digest).parent.mkdir(parents=True, exist_ok=True)
    part.rename(store.part(release.digest))
    store.stage(store.part(release.digest), release)
    store.validate("kit")
    return release


class Stream:
    """A live signal at the pace of `rate` frames a second, each another wave; it never waits."""

    live = True

    def __init__(self, count: int, rate: float = 100.0) -> None:
        self.name = "wave"
        self._count, self._period = count, 1 / rate
        self._seq = 0
        self.spoil = threading.Event()

    def open(self) -> None:
        self._began = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        if self._seq == self._count:
            raise EndOfStream
        time.sleep(max(0.0, self._began + self._seq * self._period - time.monotonic()))
        seq, self._seq = self._seq, self._seq + 1
        phase = np.linspace(seq, seq + 3, SAMPLES, dtype=np.float32)
        wave = np.sin(phase).reshape(SAMPLES, 1)
        wave[0] = 2.0 if self.spoil.is_set() else 0.0
        return Frame(wave, time.time_ns(), time.monotonic_ns(), seq, "wave", rate_hz=250.0)

    def close(self) -> None:
        pass


class Bench:
    """A pipeline around a switch, run in a thread."""

    def __init__(
        self,
        tmp_path: Path,
        *,
        rules: Rules = RULES,
        count: int = 400,
        rate: float = 100.0,
        hung: Callable[[], None] = lambda: None,
        require_approval: bool = False,
        live: Path | None = None,
        stream: Source | None = None,
    ) -> None:
        self.folder = tmp_path / "update"
        self.folder.mkdir(exist_ok=True)
        factory = live or tmp_path / "factory"
        if not factory.exists():
            write_model(factory)
        self.store = Store(self.folder, factory)
        self.desk = StoreDesk(self.store, model, require_approval=require_approval)
        self.sink = Collected()
        self.switch = Switch(
            live=model(self.desk.open()), desk=self.desk, rules=rules, hung=hung, poll_s=0.05
        )
        self.stream = stream or Stream(count, rate)
        self.pipeline = Pipeline(
            capture=Capture([self.stream], Limits()),
            steps={self.stream.name: ()},
            model=self.switch,
            sinks=[self.sink],
        )
        self._thread = threading.Thread(target=self.pipeline.run, daemon=True)

    def start(self) -> Bench:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.pipeline.stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def states(self) -> list[str]:
        """Of the update, as announced, each once in a row."""
        states = [info.update.state for info in self.sink.infos if info.update]
        return [
            word for word, before in zip(states, [None, *states], strict=False) if word != before
        ]

    @property
    def state(self) -> str:
        """The last of them."""
        return self.states[-1] if self.states else ""

    def spoke(self) -> list[str]:
        """Versions in the order in which they began to speak."""
        versions = [result.model.version for result in self.sink.results]
        return [
            one for one, before in zip(versions, [None, *versions], strict=False) if one != before
        ]

    def lost(self) -> list[int]:
        """Frames without a result."""
        seen = [result.seq for result in self.sink.results]
        assert len(seen) == len(set(seen))
        return sorted(set(range(max(seen) + 1)) - set(seen))


def model(path: Path):
    return build.model(ModelConfig(path, delegates=(Rung("cpu"),), threads=1))


def until(condition: Callable[[], object], limit_s: float = 20.0) -> float:
    """Wait; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "it did not come to pass"
        time.sleep(0.01)
    return time.monotonic() - began
