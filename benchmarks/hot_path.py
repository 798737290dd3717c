"""CPU per frame of the whole loop, as a ratio to the bare work that nobody can avoid.

The floor is a script that decodes, resizes, writes the input, invokes and takes the largest
output: no threads, no MQTT, no counters. The loop is `edge-run start` publishing to a real broker
with QoS 1. Both read the same video and run the same model with one thread, each in a fresh
process, in turn, and each tells its own CPU time from after the first frame to the last.

    python benchmarks/hot_path.py --data FOLDER [--rounds 5]

FOLDER is the reference data (see examples/README.md). Needs mosquitto on PATH for the broker.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = {
    "vww96 int8": ("vww96", "vww96/vww_96_int8.tflite", 96, 1.15),
    "mobilenet v1 0.25 uint8": (
        "mobilenet-v1-uint8",
        "mobilenet-v1-025-imagenet/mobilenet_v1_0.25_224_uint8.tflite",
        224,
        1.08,
    ),
}
VIDEO = "car-detection.mp4"

FLOOR = """
import json, sys, time
started = time.perf_counter()
import cv2, numpy as np
from ai_edge_litert.interpreter import Interpreter
cv2.setNumThreads(1)
video, weights, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
interpreter = Interpreter(model_path=weights, num_threads=1)
interpreter.allocate_tensors()
spec, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
index, signed = spec["index"], spec["dtype"] == np.int8
small = np.empty((size, size, 3), np.uint8)
rgb = np.empty((1, size, size, 3), np.uint8)
stored = rgb.view(np.int8) if signed else rgb
capture = cv2.VideoCapture(video)
capture.set(cv2.CAP_PROP_N_THREADS, 1)
frames, cpu, first = 0, 0.0, 0.0
while True:
    got, image = capture.read()
    if not got:
        break
    cv2.resize(image, (size, size), dst=small)
    cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=rgb[0])
    if signed:
        np.bitwise_xor(rgb, 0x80, out=rgb)
    interpreter.set_tensor(index, stored)
    interpreter.invoke()
    int(interpreter.get_tensor(out).argmax())
    frames += 1
    if frames == 1:
        first, cpu = time.perf_counter() - started, time.process_time()
import resource
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"frames": frames, "first_s": first, "rss_mb": rss,
                  "cpu_ms": 1000 * (time.process_time() - cpu) / (frames - 1)}))
"""

LOOP = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from edge_runtime import build, config
from edge_runtime.cli.start import SWITCH_INTERVAL_S
sys.setswitchinterval(SWITCH_INTERVAL_S)
pipeline = build.pipeline(config.load(Path(sys.argv[1])))
sink = pipeline.sinks[0]
publish, marks = sink.publish, []
def first(result):
    publish(result)
    marks.append((time.perf_counter() - started, time.process_time()))
    sink.publish = publish
sink.publish = first
counters = pipeline.run()
import resource
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
(first_s, cpu), frames = marks[0], counters.results
print(json.dumps({"frames": frames, "first_s": first_s, "rss_mb": rss,
                  "cpu_ms": 1000 * (time.process_time() - cpu) / (frames - 1)}))
"""


def run_file(folder: Path, data: Path, contract: str, weights: str, port: int) -> Path:
    path = folder / f"{contract}.toml"
    path.write_text(
        f'name = "bench"\ndevice = "bench"\n[model]\npath = "{data}/models/{weights}"\n'
        f'manifest = "{ROOT}/examples/contracts/{contract}.toml"\n'
        'delegates = ["xnnpack"]\nthreads = 1\n'
        f'[[source]]\nkind = "video"\npath = "{data}/video/{VIDEO}"\n'
        f'[[sink]]\nkind = "mqtt"\nurl = "mqtt://127.0.0.1:{port}"\nstate = "{folder}"\n'
    )
    return path


@contextmanager
def broker(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "broker.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    child = subprocess.Popen(
        [program, "-c", str(folder / "broker.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(1.0)
    try:
        yield port
    finally:
        child.terminate()
        child.wait()


def measure(code: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = options.data.resolve()
    print(
        f"{'model':26}{'floor ms':>9}{'loop ms':>9}{'ratio':>7}{'goal':>6}"
        f"{'floor MB':>10}{'loop MB':>9}{'first result':>14}"
    )
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as port:
        for title, (contract, weights, size, goal) in CASES.items():
            file = run_file(Path(name), data, contract, weights, port)
            floors, loops = [], []
            for _ in range(options.rounds):
                paths = (f"{data}/video/{VIDEO}", f"{data}/models/{weights}")
                floors.append(measure(FLOOR, *paths, str(size)))
                loops.append(measure(LOOP, str(file)))
            print(row(title, floors, loops, goal))


Runs = list[dict[str, float]]


def row(title: str, floors: Runs, loops: Runs, goal: float) -> str:
    def middle(runs: Runs, key: str) -> float:
        return statistics.median(run[key] for run in runs)

    pairs = zip(floors, loops, strict=True)
    ratio = statistics.median(loop["cpu_ms"] / floor["cpu_ms"] for floor, loop in pairs)
    first = middle(loops, "first_s") / middle(floors, "first_s")
    return (
        f"{title:26}{middle(floors, 'cpu_ms'):9.2f}{middle(loops, 'cpu_ms'):9.2f}{ratio:7.2f}"
        f"{goal:6.2f}{middle(floors, 'rss_mb'):10.0f}{middle(loops, 'rss_mb'):9.0f}{first:13.2f}x"
    )


if __name__ == "__main__":
    main()
