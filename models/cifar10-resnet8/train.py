"""Train cifar10-resnet8: the ResNet8 of MLPerf Tiny, from nothing, on 20,000 pictures.

    pip install -e '.[vision]' tensorflow-cpu tf2onnx onnx onnxruntime
    python models/cifar10-resnet8/train.py --train cifar10-train.zip --test images/cifar10

The archive holds CLASS/NNNN.jpg. The last 200 of each class are held out and only scored; so are
the pictures of the folder `--test`. Writes both weights files, labels, golden vectors, scores and
pictures beside itself, and checksums and figures into model.toml. Every random number has a seed;
another version of TensorFlow still gives slightly other weights.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).resolve().parents[at]) for at in (0, 1, 2)]

import cv2
import export
import keras
import numpy as np
from drawing import confusion_svg, curves_svg
from keras import layers
from numpy.typing import NDArray

from edge_runtime.frame import Frame
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import InputEntry
from edge_runtime.preprocess.image import ImageInput

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]

HERE = Path(__file__).parent
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIZE = 32
HELD_OUT = 200  # the last of each class
CALIBRATION = 500
BATCH = 64
ENTRY = InputEntry(
    name="0",
    kind="image",
    layout="NHWC",
    colour="rgb",
    resize="stretch",
    mean=(0.0,),
    std=(255.0,),
)


def prepared(encoded: list[bytes]) -> Floats:
    """(pictures, 32, 32, 3) in 0 to 1, by the code that runs on devices."""
    prepare = ImageInput(ENTRY, TensorSpec("x", (1, SIZE, SIZE, 3), "float32"))
    made = np.empty((len(encoded), SIZE, SIZE, 3), np.float32)
    for at, raw in enumerate(encoded):
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        made[at] = prepare(Frame(picture, 0, 0, at, "cifar10"))[0][0]
    return made


def from_archive(path: Path) -> tuple[Floats, Classes, Floats, Classes]:
    """Pictures and classes to train on, and those held out."""
    parts: list[list[bytes]] = [[], []]
    truth: list[list[int]] = [[], []]
    with zipfile.ZipFile(path) as archive:
        for kind, label in enumerate(CLASSES):
            names = sorted(n for n in archive.namelist() if n.startswith(f"{label}/"))
            for at, name in enumerate(names):
                held_out = at >= len(names) - HELD_OUT
                parts[held_out].append(archive.read(name))
                truth[held_out].append(kind)
    return prepared(parts[0]), np.array(truth[0]), prepared(parts[1]), np.array(truth[1])


def from_folder(folder: Path) -> tuple[Floats, Classes]:
    """Pictures and classes of CLASS/*.jpg."""
    files = [(k, f) for k, label in enumerate(CLASSES) for f in sorted(folder.glob(f"{label}/*"))]
    return prepared([file.read_bytes() for _, file in files]), np.array([k for k, _ in files])


class Varied(keras.utils.PyDataset):  # type: ignore[misc]
    """Training pictures in batches: mirrored, moved by up to 4 pixels, brighter or darker."""

    def __init__(self, pictures: Floats, classes: Classes, seed: int) -> None:
        super().__init__()
        edges = ((0, 0), (4, 4), (4, 4), (0, 0))
        self._pictures, self._classes = np.pad(pictures, edges, mode="reflect"), classes
        self._random = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self._order = self._random.permutation(len(self._classes))

    def __len__(self) -> int:
        return len(self._order) // BATCH

    def __getitem__(self, index: int) -> tuple[Floats, Classes]:
        rows = self._order[index * BATCH : (index + 1) * BATCH]
        made = np.empty((len(rows), SIZE, SIZE, 3), np.float32)
        for at, row in enumerate(rows):
            y, x = self._random.integers(0, 9, 2)
            cut = self._pictures[row, y : y + SIZE, x : x + SIZE]
            made[at] = cut[:, ::-1] if self._random.random() < 0.5 else cut
        made *= self._random.uniform(0.8, 1.2, (len(rows), 1, 1, 1)).astype(np.float32)
        return np.clip(made, 0, 1), self._classes[rows]


def network() -> keras.Model:
    """ResNet8 (Banbury 2021, MLPerf Tiny): three residual blocks of 16, 32 and 64 channels."""
    inputs = layers.Input((SIZE, SIZE, 3), name="image")
    x = layers.ReLU()(_convolution(inputs, 16, 3, 1))
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(_convolution(x, channels, 3, stride))
        y = _convolution(y, channels, 3, 1)
        if stride > 1:
            x = _convolution(x, channels, 1, stride)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(len(CLASSES), activation="softmax")(x))


def _convolution(x: object, channels: int, size: int, stride: int) -> object:
    made = layers.Conv2D(
        channels,
        size,
        stride,
        "same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(1e-4),
    )(x)
    return layers.BatchNormalization(momentum=0.97)(made)


def fitted(pictures: Floats, classes: Classes, epochs: int) -> tuple[keras.Model, list[float]]:
    """The network after a fixed number of epochs, and the loss of each."""
    model, batches = network(), Varied(pictures, classes, 7)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-3, epochs * len(batches), warmup_target=4e-3, warmup_steps=len(batches), alpha=0.01
    )
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy())
    told = model.fit(batches, epochs=epochs, verbose=2)
    return model, [round(float(loss), 4) for loss in told.history["loss"]]


def measured(scores: Floats, classes: Classes) -> dict[str, object]:
    """Share of right answers with Wilson's interval (95 %), macro F1, and what was called what."""
    called, size = scores.argmax(axis=1), len(CLASSES)
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (classes, called), 1)
    right, count = int(table.trace()), len(classes)
    f1 = 2 * table.diagonal() / np.maximum(table.sum(axis=0) + table.sum(axis=1), 1)
    share, z = right / count, 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = (
        z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    )
    return {
        "pictures": count,
        "accuracy": round(share, 4),
        "95 %": [round(middle - reach, 4), round(middle + reach, 4)],
        "macro F1": round(float(f1.mean()), 4),
        "F1": {label: round(float(value), 3) for label, value in zip(CLASSES, f1, strict=True)},
        "confusion": table.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True, help="archive of CLASS/NNNN.jpg")
    parser.add_argument("--test", type=Path, required=True, help="folder of CLASS/NNNN.jpg")
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    keras.utils.set_random_seed(7)
    pictures, classes, held_out, held_out_classes = from_archive(options.train)
    test, test_classes = from_folder(options.test)
    print(f"{len(classes)} to train on, {len(held_out)} held out, {len(test)} to test", flush=True)

    start = time.monotonic()
    model, losses = fitted(pictures, classes, options.epochs)
    seconds = round(time.monotonic() - start)
    picked = np.random.default_rng(1).choice(len(pictures), CALIBRATION, replace=False)
    files = export.written(model, pictures[picked], HERE)
    runs = {"float32": lambda x: model.predict(x, verbose=0), **files}
    found = {name: (run(held_out), run(test)) for name, run in runs.items()}
    report = {
        "parameters": model.count_params(),
        "epochs": options.epochs,
        "seconds": seconds,
        "loss": losses,
        "versions": _versions(),
        "held out": {name: measured(one, held_out_classes) for name, (one, _) in found.items()},
        "test": {name: measured(one, test_classes) for name, (_, one) in found.items()},
        "same as float32": {
            name: round(float(np.mean(one.argmax(1) == found["float32"][0].argmax(1))), 4)
            for name, (one, _) in found.items()
        },
    }
    (HERE / "scores.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (HERE / "labels.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    table = report["held out"]["tflite"]["confusion"]
    (HERE / "confusion.svg").write_text(confusion_svg(table, CLASSES, CLASSES), encoding="utf-8")
    (HERE / "training.svg").write_text(curves_svg({"loss": losses}, "Loss"), encoding="utf-8")
    export.golden(files, pictures[picked[:100]], HERE / "golden.npz")
    export.renew_manifest(HERE / "model.toml", report)
    print(json.dumps({side: report[side] for side in ("held out", "test")}))


def _versions() -> dict[str, str]:
    packages = ("tensorflow-cpu", "keras", "tf2onnx", "onnxruntime", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


if __name__ == "__main__":
    main()
