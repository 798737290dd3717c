"""The text of model.toml, with digests and measured figures filled in, and pictures of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drawing import confusion_svg, curves_svg

_TEXT = """name = "ecg-beats"
version = "1.1.0"
task = "beats"
summary = "Heart beats of one lead (MLII) as N, S or V by AAMI; engineering use, no medical device"
licence = "Apache-2.0; trained on the MIT-BIH Arrhythmia Database (ODC-By 1.0), see README.md"
source = "models/ecg-beats/train.py"

# The steps that must stand before it:
#   [[step]]  kind = "resample"  rate_hz = 250
#   [[step]]  kind = "bandpass"  low_hz = 0.5  high_hz = 40
#   [[step]]  kind = "beats"

[[file]]
path = "ecg-beats-int8.tflite"
format = "tflite"
precision = "int8"
sha256 = "{tflite}"

[[file]]
path = "ecg-beats-int8.onnx"
format = "onnx"
precision = "int8"
sha256 = "{onnx}"

[[input]]
name = "0"
kind = "feature"
feature = "context"       # intervals and shape against the template
shape = [1, 15]
dtype = "float32"

[[input]]
name = "1"
kind = "feature"
feature = "fibrillation"  # how much the last 30 s look like it: mutes S
shape = [1, 1]
dtype = "float32"

[[input]]
name = "2"
kind = "signal"
shape = [1, 225, 3]
dtype = "float32"
layout = "NTC"
units = "raw"             # relative to the patient's own template; the step "beats" makes it so
rate_hz = 250.0
leads = ["MLII", "MLII template", "MLII difference"]

[[output]]
name = "0"
meaning = "scores"

[postprocess]
kind = "beats"
labels = "labels.txt"
# To leave out what is not sure, name it; README.md says what each threshold costs:
#   threshold = 0.7
#   unsure = "?"

[golden]
file = "golden.npz"
tolerance = {tolerance}
agreement = 1.0

[training]                  # names of the records that it learned from: MIT-BIH, DS1
records = [
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122",
    "124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230",
]

[accuracy]
protocol = "AAMI EC57 counts, train DS1, test DS2 (de Chazal 2004), own R peaks, missed beats count"
{accuracy}"""


def manifest_text(folder: Path, report: Mapping[str, Any]) -> str:
    """The manifest of the files in `folder`, with the scores of the first run in `report`."""
    run = report["runs"][0]
    lines = []
    for kind, values in run["DS2"].items():
        for key, value in values["all"].items():
            name = f"{kind}_{key}".lower().replace(" ", "_").replace("+p", "ppv")
            lines.append(f"{name} = {value:.4g}")
    for kind, value in run["same call as float"].items():
        lines.append(f"{kind}_same_call_as_float = {value:.4g}")
    return _TEXT.format(
        tflite=_digest(folder / "ecg-beats-int8.tflite"),
        onnx=_digest(folder / "ecg-beats-int8.onnx"),
        tolerance=0.1,
        accuracy="\n".join(lines) + "\n",
    )


def pictures(folder: Path, report: Mapping[str, Any]) -> None:
    """What the TFLite file of the first run called the beats of DS2, and the losses of all runs."""
    counts, rows = report["runs"][0]["confusion"]["tflite"], ("N", "S", "V", "F", "Q", "-")
    table = [[counts.get(f"{given}>{called}", 0) for called in "NSV-"] for given in rows]
    names = (*rows[:-1], "false detection"), ("N", "S", "V", "missed")
    (folder / "confusion.svg").write_text(confusion_svg(table, *names), encoding="utf-8")
    losses = {f"seed {run['seed']}": run["loss"] for run in report["runs"]}
    (folder / "training.svg").write_text(curves_svg(losses, "Loss on DS1"), encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
