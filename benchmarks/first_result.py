"""Time from the start of a process to its first result at a subscriber, as a ratio to bare code.

The bare script imports, connects, loads, decodes, infers and publishes one result, one after the
other; the other side is `edge-run start` on the same video and model. Both are started in turn,
and timed by a subscriber on the same broker.

    python benchmarks/first_result.py --data FOLDER [--rounds 9]
"""

from __future__ import annotations

import argparse
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hot_path import CASES, VIDEO, broker, run_file

BARE = """
import json, sys
import cv2, numpy as np
import paho.mqtt.client as mqtt
from ai_edge_litert.interpreter import Interpreter
video, weights, size, port = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", port)
client.loop_start()
interpreter = Interpreter(model_path=weights, num_threads=1)
interpreter.allocate_tensors()
spec, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
image = cv2.VideoCapture(video).read()[1]
rgb = cv2.cvtColor(cv2.resize(image, (size, size)), cv2.COLOR_BGR2RGB)[None]
stored = (rgb ^ 0x80).view(np.int8) if spec["dtype"] == np.int8 else rgb
interpreter.set_tensor(spec["index"], stored)
interpreter.invoke()
best = int(interpreter.get_tensor(out).argmax())
client.publish("edge/bare/result", json.dumps({"best": best}), qos=1).wait_for_publish()
"""


def main() -> None:
    import paho.mqtt.client as mqtt

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    data = options.data.resolve()
    contract, weights, size, _ = next(iter(CASES.values()))
    with tempfile.TemporaryDirectory() as name, broker(Path(name)) as port:
        arrived: queue.Queue[float] = queue.Queue()
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.on_message = lambda *_: arrived.put(time.perf_counter())
        client.connect("127.0.0.1", port)
        client.subscribe("edge/+/result")
        client.subscribe("edge/+/+/+/result")
        client.loop_start()
        file = run_file(Path(name), data, contract, weights, port)
        bare = ["-c", BARE, f"{data}/video/{VIDEO}", f"{data}/models/{weights}", str(size)]
        ours = ["-m", "edge_runtime", "start", str(file)]
        pairs = [
            (first([*bare, str(port)], arrived), first(ours, arrived))
            for _ in range(options.rounds)
        ]
        client.loop_stop()
    ratio = statistics.median(ours_s / bare_s for bare_s, ours_s in pairs)
    bare_s, ours_s = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"bare {bare_s:.3f} s, edge-run {ours_s:.3f} s, median of ratios {ratio:.2f} (goal 1.30)")


def first(words: list[str], arrived: queue.Queue[float]) -> float:
    started = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    moment = arrived.get(timeout=60)
    child.kill()
    child.wait()
    time.sleep(0.2)
    while not arrived.empty():
        arrived.get()
    return moment - started


if __name__ == "__main__":
    main()
