"""Small Keras networks, cases for them and what Keras answers: `python keras_nets.py FOLDER`.

For each network NAME it writes NAME.keras, NAME-cases.npz and NAME-answers.npz, and beside them
the models that are to be refused. It runs on the Python of the family keras.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

CASES = 24


def main() -> None:
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(5)
    built = {
        "image": image(),
        "two": two_inputs(),
        "bigru": recurrent(layers.Bidirectional(layers.GRU(6), name="both")),
        "lstm": recurrent(layers.LSTM(6, name="memory")),
        "attention": attention(),
        "ids": embedding(),
    }
    for name, model in built.items():
        spread(model)
        model.save(folder / f"{name}.keras")
        write_answers(folder / name, model)
    built["two"].save(folder / "two.h5")
    built["two"].export(folder / "two-saved", verbose=False)
    built["bigru"].export(folder / "bigru-saved", verbose=False)
    broken(folder)
    reaching(folder)


def image() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3), name="picture"),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(4, name="shape"),
        ]
    )


def two_inputs() -> keras.Model:
    """Neither the inputs nor the outputs are in the order of the alphabet."""
    wave, age = keras.Input((64, 3), name="wave"), keras.Input((4,), name="age")
    hidden = layers.Conv1D(8, 5, strides=2, activation="relu", name="filter")(wave)
    hidden = layers.Concatenate()([layers.Flatten()(hidden), age])
    rhythm = layers.Dense(5, activation="softmax", name="rhythm")(hidden)
    return keras.Model([wave, age], [rhythm, layers.Dense(2, name="beat")(hidden)])


def recurrent(layer: layers.Layer) -> keras.Model:
    wave = keras.Input((16, 3), name="wave")
    return keras.Model(wave, layers.Dense(3, name="class")(layer(wave)))


def attention() -> keras.Model:
    """One block of a Transformer, with the exact GELU."""
    wave = keras.Input((16, 3), name="wave")
    hidden = layers.Dense(8)(wave)
    seen = layers.MultiHeadAttention(2, 4)(hidden, hidden)
    hidden = layers.LayerNormalization()(layers.Add()([hidden, seen]))
    wide = layers.Dense(16, activation="gelu")(hidden)
    hidden = layers.LayerNormalization()(layers.Add()([hidden, layers.Dense(8)(wide)]))
    return keras.Model(wave, layers.Dense(3, name="class")(layers.Flatten()(hidden)))


def embedding() -> keras.Model:
    words = keras.Input((12,), dtype="int32", name="words")
    hidden = layers.Flatten()(layers.Embedding(50, 8)(words))
    return keras.Model(words, layers.Dense(2, name="class")(hidden))


def spread(model: keras.Model) -> None:
    """Biases and statistics that are not all 0 and 1, as after training."""
    generator = np.random.default_rng(3)
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(weight + generator.uniform(0.05, 0.3, weight.shape))


def write_answers(stem: Path, model: keras.Model) -> None:
    generator = np.random.default_rng(7)
    cases = {}
    for each in model.inputs:
        shape = (CASES, *each.shape[1:])
        whole = each.dtype == "int32"
        cases[each.name] = (
            generator.integers(0, 50, shape) if whole else generator.normal(size=shape)
        )
    given = model([cases[each.name].astype(each.dtype) for each in model.inputs])
    answers = given if isinstance(given, list) else [given]
    names = [each.name for each in getattr(model, "_functional", model)._operations]
    outputs = getattr(getattr(model, "_functional", model), "output_names", names[-1:])
    np.savez(f"{stem}-cases.npz", **cases)
    np.savez(f"{stem}-answers.npz", **dict(zip(outputs, map(np.asarray, answers), strict=True)))


class Mine(layers.Layer):
    def call(self, tensor):
        return tensor + 1


def broken(folder: Path) -> None:
    start = keras.Input((8,), name="x")
    dense = layers.Dense(4, name="last")
    keras.Model(start, dense(layers.Lambda(lambda x: 2 * x, name="twice")(start))).save(
        folder / "lambda.keras"
    )
    keras.Sequential([keras.Input((8,)), layers.Lambda(lambda x: 2 * x, name="twice")]).save(
        folder / "lambda.h5"
    )
    keras.Model(start, Mine(name="mine")(start)).save(folder / "custom.keras")
    model = keras.Model(start, dense(start))
    model.save_weights(folder / "only.weights.h5")
    (folder / "cut.keras").write_bytes((folder / "image.keras").read_bytes()[:3000])
    kernel = dense.get_weights()[0]
    kernel[1, 2] = np.nan
    dense.set_weights([kernel, dense.get_weights()[1]])
    model.save(folder / "nan.keras")
    strange = keras.ops.erfinv(layers.Dense(4, activation="tanh", name="before")(start))
    keras.Model(start, layers.Dense(2)(strange)).save(folder / "erfinv.keras")
    keras.Model(start, keras.ops.log(start - 10)).save(folder / "log.keras")
    volume = keras.Input((6, 6, 6, 2), name="volume")
    deep = layers.Conv3D(4, 3, name="deep")(volume)
    model = keras.Model(volume, layers.Dense(2)(layers.Flatten()(deep)))
    model.save(folder / "volume.keras")
    write_answers(folder / "volume", model)
    wave = keras.Input((None, 3), name="wave")
    keras.Model(wave, layers.Dense(2)(layers.GRU(4, name="memory")(wave))).save(
        folder / "open.keras"
    )
    np.savez(folder / "x-cases.npz", x=np.ones((4, 8), np.float32))
    fixed = keras.Input(batch_shape=(1, 4, 3), name="wave")
    keras.Model(fixed, layers.GRU(4, stateful=True, name="memory")(fixed)).save(
        folder / "stateful.keras"
    )


def reaching(folder: Path) -> None:
    """A SavedModel that reads a file of the machine it runs on."""
    module = tf.Module()

    def read(x):
        length = tf.strings.length(tf.io.read_file("/etc/hostname"))
        return {"y": x + tf.cast(length, tf.float32)}

    module.serve = tf.function(read, input_signature=[tf.TensorSpec((None, 8), name="x")])
    tf.saved_model.save(module, str(folder / "reads"), signatures=module.serve)


if __name__ == "__main__":
    main()
