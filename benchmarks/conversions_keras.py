"""Networks for conversions.py, as Keras saves them: `python conversions_keras.py FOLDER`.

It runs on the Python of the family keras. FOLDER/weights.npz holds kernels and biases of ResNet8.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers


def main() -> None:
    folder = Path(sys.argv[1])
    model = resnet8(folder / "weights.npz")
    model.save(folder / "resnet8.keras")
    model.save(folder / "resnet8.h5")
    model.export(folder / "resnet8", verbose=False)
    keras.utils.set_random_seed(5)
    for name, net in {"gru": gru(), "lstm": lstm(), "attention": attention()}.items():
        net.save(folder / f"keras-{name}.keras")


def resnet8(path: Path) -> keras.Model:
    """(batch, 32, 32, 3) pixels 0 to 255 to ten scores; batch normalisation is folded already."""
    with np.load(path) as held:
        weights = [held[name] for name in held.files]
    pairs = list(zip(weights[::2], weights[1::2], strict=True))

    def convolution(x: object, stride: int, activation: str | None = None) -> object:
        kernel, bias = pairs.pop(0)  # kernel: (out, height, width, in)
        layer = layers.Conv2D(len(bias), kernel.shape[1], stride, "same", activation=activation)
        made = layer(x)
        layer.set_weights([kernel.transpose(1, 2, 3, 0), bias])
        return made

    picture = keras.Input((32, 32, 3), name="picture")
    x = convolution(picture, 1, "relu")
    for stride in (1, 2, 2):
        y = convolution(convolution(x, stride, "relu"), 1)
        x = convolution(x, stride) if stride > 1 else x
        x = layers.ReLU()(layers.Add()([x, y]))
    dense = layers.Dense(10, activation="softmax", name="class")
    made = keras.Model(picture, dense(layers.GlobalAveragePooling2D()(x)))
    kernel, bias = pairs.pop(0)
    dense.set_weights([kernel.T, bias])
    return made


def gru() -> keras.Model:
    wave = keras.Input((32, 3), name="wave")
    seen = layers.Bidirectional(layers.GRU(32))(wave)
    return keras.Model(wave, layers.Dense(5, name="class")(seen))


def lstm() -> keras.Model:
    wave = keras.Input((32, 3), name="wave")
    return keras.Model(wave, layers.Dense(5, name="class")(layers.LSTM(32)(wave)))


def attention() -> keras.Model:
    """One block of a Transformer."""
    wave = keras.Input((32, 3), name="wave")
    hidden = layers.Dense(32)(wave)
    seen = layers.MultiHeadAttention(4, 8)(hidden, hidden)
    hidden = layers.LayerNormalization()(layers.Add()([hidden, seen]))
    wide = layers.Dense(64, activation="gelu")(hidden)
    hidden = layers.LayerNormalization()(layers.Add()([hidden, layers.Dense(32)(wide)]))
    return keras.Model(wave, layers.Dense(5, name="class")(layers.Flatten()(hidden)))


if __name__ == "__main__":
    main()
