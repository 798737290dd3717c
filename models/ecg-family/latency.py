"""How long a network of the family takes here, by batch: warm up, N runs, the median.

    python models/ecg-family/latency.py edge --build build --json build/ecg-edge/latency.json

Makes each kind of file anew with the batch axis that is measured, as `make.py` makes it for one;
INT8 TFLite has a batch of one, and is run once for each window.
Speed does not depend on the weights: without `--build` they are random. One thread unless told.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import export
import keras
import network
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

BATCHES = (1, 8, 16, 32)
KINDS = ("tflite_float32", "tflite_int8", "onnx_float32", "onnx_int8")


def main() -> None:
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    members = ("edge", "mobile", "hybrid") if options.network == "ensemble" else (options.network,)
    models = {name: network.build(name, options.samples) for name in members}
    for name, model in models.items():
        if options.build:
            model.load_weights(options.build / f"ecg-{name}" / "best.weights.h5")
    model = export.deployed(models, options.samples)
    rows = []
    for kind in options.kinds:
        for size, batch, run in _files(model, kind, options.threads):
            timed = {**_timed(run, options.runs), "load": round(os.getloadavg()[0], 1)}
            rows.append({"kind": kind, "batch": batch, "size_bytes": size, **timed})
            print(json.dumps(rows[-1]), flush=True)
    if options.json:
        facts = {"threads": options.threads, "runs": options.runs, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _timed(run: Any, runs: int) -> dict[str, float]:
    """Warm up, run, and give the median, the fastest, and what the median makes a second."""
    batch = run()
    for _ in range(max(3, runs // 10)):
        run()
    taken, busy = [], []
    for _ in range(runs):
        began, idle = time.perf_counter(), time.process_time()
        run()
        taken.append(time.perf_counter() - began)
        busy.append(time.process_time() - idle)
    median = statistics.median(taken)
    figures = {
        "median_ms": 1e3 * median,
        "fastest_ms": 1e3 * min(taken),
        "processor_ms": 1e3 * statistics.median(busy),  # without what other processes took
        "per_s": batch / median,
    }
    return {key: round(value, 3) for key, value in figures.items()}


def _files(model: keras.Model, kind: str, threads: int) -> Iterator[tuple[int, int, Any]]:
    """(bytes, batch, run) for each batch; `run` gives the batch back."""
    random = np.random.default_rng(0)
    cases = random.normal(0, 0.3, (max(BATCHES), *model.input_shape[1:])).astype(np.float32)
    members = [layer.name.removeprefix("ecg-") for layer in model.layers if "ecg-" in layer.name]
    if kind == "tflite_int8":  # a file of batch 1, as it is deployed: a batch is so many runs
        content, _ = export.tflite_int8(export.tflite(model, "float32"), cases, members)
        one = _tflite(content, cases[:1], threads)
        for batch in BATCHES:
            yield len(content), batch, lambda batch=batch: sum(one() for _ in range(batch))
        return
    if kind.startswith("tflite"):
        for batch in BATCHES:
            content = export.tflite(model, kind.partition("_")[2], batch)
            yield len(content), batch, _tflite(content, cases[:batch], threads)
        return
    proto = export.onnx_float(model, None)
    if kind == "onnx_int8":
        proto, _ = export.onnx_int8(proto, cases, members)
    for batch in BATCHES:
        yield proto.ByteSize(), batch, _onnx(proto, cases[:batch], threads)


def _tflite(content: bytes, cases: export.Floats, threads: int) -> Any:
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    made = interpreter.get_output_details()[0]["index"]

    def run() -> int:
        interpreter.set_tensor(given, cases)
        interpreter.invoke()
        return len(interpreter.get_tensor(made))

    return run


def _onnx(proto: onnx.ModelProto, cases: export.Floats, threads: int) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    return lambda: len(session.run(None, {"signal": cases})[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=(*sorted(network.BODIES), "ensemble"))
    parser.add_argument("--build", type=Path, help="folder of the folders of train.py")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--samples", type=int, choices=sorted(network.SAMPLES), default=1000)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
