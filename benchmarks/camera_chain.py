"""CPU per picture of the camera chain, as a ratio to a bare script on the same stream.

The floor is a script that reads with OpenCV, resizes, infers with one thread and takes the largest
score. The loop is the pipeline of `edge-run start`, writing each result to a file. Both take
pictures of one live server at 25 a second, or of one video file as fast as they can, each in a
fresh process, in turn. Counted is the CPU time of the process and its children (Linux only), from
the first picture to the last; the goal is a ratio of 1.05.

    python benchmarks/camera_chain.py --data FOLDER [--rounds 5] [--pictures 300] [--rtsp]

FOLDER is the reference data (examples/README.md). --rtsp needs GStreamer's server (tests/cameras).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = "models/mobilenet-v1-025-imagenet/mobilenet_v1_0.25_224_uint8.tflite"

CPU = """
import sys, time
from pathlib import Path
def ms():  # of CPU, this process and its children
    pids = ' '.join(t.read_text() for t in Path('/proc/self/task').glob('*/children')).split()
    tasks = [t for pid in pids for t in Path(f'/proc/{pid}/task').glob('*/schedstat')]
    return time.process_time() * 1e3 + sum(int(x.read_text().split()[0]) for x in tasks) / 1e6
"""
FLOOR = f"""{CPU}
import cv2, numpy as np
from ai_edge_litert.interpreter import Interpreter
cv2.setNumThreads(1)
url, count = sys.argv[1], int(sys.argv[3])
interpreter = Interpreter(model_path=sys.argv[2], num_threads=1)
interpreter.allocate_tensors()
index = interpreter.get_input_details()[0]["index"]
out = interpreter.get_output_details()[0]["index"]
small, rgb = np.empty((224, 224, 3), np.uint8), np.empty((1, 224, 224, 3), np.uint8)
capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
for number in range(count):
    image = capture.read()[1]
    cv2.resize(image, (224, 224), dst=small)
    cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=rgb[0])
    interpreter.set_tensor(index, rgb)
    interpreter.invoke()
    int(interpreter.get_tensor(out).argmax())
    if number == 0: begun = ms()
print((ms() - begun) / (count - 1))
"""
LOOP = f"""{CPU}
from edge_runtime import build, config
from edge_runtime.cli.start import SWITCH_INTERVAL_S
sys.setswitchinterval(SWITCH_INTERVAL_S)
pipeline = build.pipeline(config.load(Path(sys.argv[1])))
publish, count, marks = pipeline.sinks[0].publish, int(sys.argv[2]), []
def counted(result):
    publish(result)
    marks.append(ms() if len(marks) in (0, count - 1) else 0.0)
    if len(marks) == count: pipeline.stop.set()
pipeline.sinks[0].publish = counted
lost = sum(one.dropped + one.bad for one in pipeline.run().sources.values())
if len(marks) < count or lost > count // 100:
    sys.exit('pictures were lost: the machine is too busy')
print((marks[count - 1] - marks[0]) / (count - 1))
"""
SERVER = """
import itertools, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
import cv2
capture, parts = cv2.VideoCapture(sys.argv[1]), []
for _ in range(100):
    jpeg = cv2.imencode('.jpg', cv2.resize(capture.read()[1], (640, 480)))[1].tobytes()
    head = f'--b\\r\\nContent-Type: image/jpeg\\r\\nContent-Length: {len(jpeg)}\\r\\n\\r\\n'
    parts.append(head.encode() + jpeg + b'\\r\\n')
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        kind = b'multipart/x-mixed-replace; boundary=b'
        self.wfile.write(b'HTTP/1.0 200 OK\\r\\nContent-Type: ' + kind + b'\\r\\n\\r\\n')
        for part in itertools.cycle(parts):
            time.sleep(0.04 - time.monotonic() % 0.04)
            self.wfile.write(part)
server = HTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextmanager
def served(*command: str):
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()


def measure(code: str, *arguments: str) -> float:
    words = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else sys.exit(done.stderr)


def compare(title: str, kind: str, url: str, options: argparse.Namespace) -> None:
    """Measure in turn, and print one row."""
    floors, loops, weights = [], [], f"{options.data}/{MODEL}"
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "run.toml"
        file.write_text(
            f'name = "bench"\n[capture]\nmailbox = 32\n[model]\npath = "{weights}"\n'
            f'manifest = "{ROOT}/examples/contracts/mobilenet-v1-uint8.toml"\n'
            f'delegates = ["xnnpack"]\nthreads = 1\n'
            f'[[source]]\nkind = "{kind}"\n{"path" if kind == "video" else "url"} = "{url}"\n'
            f'[[sink]]\nkind = "jsonl"\npath = "{name}/results.jsonl"\n'
        )
        for _ in range(options.rounds):
            floors.append(measure(FLOOR, url, weights, options.pictures))
            loops.append(measure(LOOP, str(file), options.pictures))
    ratios = [loop / floor for floor, loop in zip(floors, loops, strict=True)]
    bare, loop, ratio = map(statistics.median, (floors, loops, ratios))
    print(f"{title:24}{bare:9.2f}{loop:13.2f}{ratio:7.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=os.path.abspath, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", default="300")
    parser.add_argument("--rtsp", action="store_true")
    options = parser.parse_args()
    video = f"{options.data}/video/car-detection.mp4"
    print(f"{'source':24}{'bare ms':>9}{'edge-run ms':>13}{'ratio':>7}")
    compare("video file", "video", video, options)
    with served(sys.executable, "-c", SERVER, video) as port:
        compare("MJPEG, 640x480, 25 Hz", "mjpeg", f"http://127.0.0.1:{port}/", options)
    if options.rtsp:
        server = f"{ROOT}/tests/cameras/rtsp_server.py"
        with served("/usr/bin/python3", server, "--size", "640x480") as port:
            compare("RTSP, 640x480, 25 Hz", "rtsp", f"rtsp://127.0.0.1:{port}/camera", options)


if __name__ == "__main__":
    main()
