"""Train the model `shapes`: which shape is in a generated picture.

    pip install -e '.[vision]' tensorflow-cpu tf2onnx onnx onnxruntime
    python models/shapes/train.py

Writes shapes_int8.tflite, shapes_int8.onnx, labels.txt and golden.npz beside itself, and prints
the accuracy of all three forms on pictures of seeds that the training has not seen. Every random
number has a seed; another version of TensorFlow still gives slightly other weights.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import layers
from onnxruntime import InferenceSession
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from edge_runtime.frame import Frame
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import InputEntry
from edge_runtime.preprocess.image import ImageInput
from edge_runtime.sources.generators.shapes import SHAPES, draw, shape_of

HERE = Path(__file__).parent
SIZE = 64
TRAIN = ((101, 14000, 160, 120), (102, 4000, 320, 240), (103, 2000, 128, 128))  # seed, count, size
TUNE = (201, 1000, 160, 120)
TEST = (301, 2000, 320, 240)
GOLDEN = (401, 8, 160, 120)
EPOCHS = 8
ENTRY = InputEntry(
    name="0",
    kind="image",
    layout="NHWC",
    colour="rgb",
    resize="letterbox",
    mean=(0.0,),
    std=(255.0,),
)


def pictures(seed: int, count: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Prepared inputs (count, 64, 64, 3) float32 and classes, by the code that runs on devices."""
    prepare = ImageInput(ENTRY, TensorSpec("x", (1, SIZE, SIZE, 3), "float32"))
    inputs = np.empty((count, SIZE, SIZE, 3), np.float32)
    for seq in range(count):
        frame = Frame(draw(seed, seq, width, height), 0, 0, seq, "train")
        inputs[seq] = prepare(frame)[0][0]
    return inputs, np.array([SHAPES.index(shape_of(seed, seq)) for seq in range(count)])


def network() -> keras.Model:
    """A strided convolution, five separable ones, a mean over the picture."""
    inputs = layers.Input((SIZE, SIZE, 3))
    x = conv(inputs, layers.Conv2D(12, 3, 2, "same", use_bias=False))
    for channels, stride in ((24, 1), (32, 2), (40, 1), (48, 2), (48, 1)):
        x = conv(x, layers.DepthwiseConv2D(3, stride, "same", use_bias=False))
        x = conv(x, layers.Conv2D(channels, 1, use_bias=False))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(len(SHAPES), activation="softmax")(x))


def conv(x, layer):
    return layers.ReLU(6.0)(layers.BatchNormalization()(layer(x)))


def batches(inputs: np.ndarray, classes: np.ndarray) -> tf.data.Dataset:
    """Shuffled, mirrored, with channels in any order: a shape stays what it is."""

    def vary(picture, kind):
        picture = tf.image.random_flip_left_right(picture)
        picture = tf.image.random_flip_up_down(picture)
        return tf.gather(picture, tf.random.shuffle([0, 1, 2]), axis=-1), kind

    data = tf.data.Dataset.from_tensor_slices((inputs, classes))
    return data.shuffle(len(inputs), seed=7).map(vary).batch(64).prefetch(2)


def to_tflite(model: keras.Model, samples: np.ndarray) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter.convert()


class Samples(CalibrationDataReader):
    def __init__(self, samples: np.ndarray) -> None:
        self._samples = iter(samples)

    def get_next(self):
        sample = next(self._samples, None)
        return None if sample is None else {"image": sample[None]}


def to_onnx(model: keras.Model, samples: np.ndarray, path: Path) -> None:
    signature = [tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")]
    function = tf.function(lambda image: {"scores": model(image, training=False)}, signature)
    graph, _ = tf2onnx.convert.from_function(function, signature, opset=17)
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder, "plain.onnx"), Path(folder, "prepared.onnx")
        onnx.save(graph, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            Samples(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def run_tflite(path: Path, inputs: np.ndarray) -> np.ndarray:
    interpreter = tf.lite.Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    out_scale, out_zero = found["quantization"]
    scores = []
    for picture in inputs:
        stored = np.clip(np.rint(picture[None] / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], stored)
        interpreter.invoke()
        raw = interpreter.get_tensor(found["index"]).astype(np.float32)
        scores.append((raw - out_zero) * np.float32(out_scale))
    return np.stack(scores)


def run_onnx(path: Path, inputs: np.ndarray) -> np.ndarray:
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: picture[None]})[0] for picture in inputs])


def main() -> None:
    keras.utils.set_random_seed(7)
    parts = [pictures(*part) for part in TRAIN]
    inputs, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
    steps = EPOCHS * (len(inputs) // 64 + 1)
    model = network()
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    model.fit(batches(inputs, classes), epochs=EPOCHS, validation_data=pictures(*TUNE), verbose=2)

    tflite, qdq = HERE / "shapes_int8.tflite", HERE / "shapes_int8.onnx"
    tflite.write_bytes(to_tflite(model, inputs[:500]))
    to_onnx(model, inputs[:500], qdq)
    (HERE / "labels.txt").write_text("\n".join(SHAPES) + "\n")
    golden, _ = pictures(*GOLDEN)
    outputs = run_tflite(tflite, golden)
    np.savez_compressed(HERE / "golden.npz", **{"input/0": golden[:, None], "output/0": outputs})

    tests, truth = pictures(*TEST)
    scores = {
        "float32": model.predict(tests, verbose=0),
        "int8 tflite": run_tflite(tflite, tests)[:, 0],
        "int8 onnx": run_onnx(qdq, tests)[:, 0],
    }
    print(f"{model.count_params()} parameters; {len(tests)} unseen pictures")
    for name, found in scores.items():
        print(f"{name}: {np.mean(found.argmax(-1) == truth):.4f}")
    print("golden, onnx against tflite:", np.abs(run_onnx(qdq, golden) - outputs).max())
    print({path.name: path.stat().st_size for path in (tflite, qdq)})


if __name__ == "__main__":
    main()
