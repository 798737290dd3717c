"""The networks: one input, three heads, three sizes.

Input (samples, 12) in mV, ten seconds at 100, 250 or 500 Hz, leads as in `LEADS`; a lead that is
not there is zero throughout. Outputs are logits: `rhythm` (3, one of), `findings` (5, any of) and
`noise` (1). Every weighted layer is a convolution followed by a batch normalisation, which
`build(..., folded=True)` leaves out for deployment; activations are ReLU. There is no layer
normalisation, no exact GELU and no loop: all of it converts to INT8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
HEADS = {
    "rhythm": ("rhythm sinus", "rhythm af", "rhythm other"),
    "findings": ("NORM", "MI", "STTC", "CD", "HYP"),
    "noise": ("noise",),
}
LABELS = tuple(label for labels in HEADS.values() for label in labels)
SAMPLES = {1000: 100.0, 2500: 250.0, 5000: 500.0}  # length of the input -> Hz
_INSIDE = 1000  # samples that the networks work on, 100 Hz


class Maker:
    """Layers of one network, named in order so that weights can be carried to a folded twin."""

    def __init__(self, *, folded: bool, dropout: float = 0.0) -> None:
        self.folded = folded
        self.dropout = dropout
        self._count = 0

    def conv(
        self, x: Any, filters: int, size: int = 1, stride: int = 1, *, relu: bool = True
    ) -> Any:
        """Convolution along time of (samples, 1, channels)."""
        name = self._name()
        x = layers.Conv2D(
            filters,
            (size, 1),
            strides=(stride, 1),
            padding="same",
            use_bias=self.folded,
            kernel_initializer="he_normal",
            name=name,
        )(x)
        return self._end(x, name, relu=relu)

    def depthwise(self, x: Any, size: int, stride: int = 1) -> Any:
        """Convolution along time, each channel by itself. The width is 1: its stride is idle."""
        name = self._name()
        x = layers.DepthwiseConv2D(
            (size, 1),
            strides=(stride, stride),
            padding="same",
            use_bias=self.folded,
            depthwise_initializer="he_normal",
            name=name,
        )(x)
        return self._end(x, name, relu=True)

    def add(self, before: Any, x: Any) -> Any:
        """What the last convolution gave, added to what was before its block."""
        return layers.ReLU(name=f"c{self._count}_sum")(layers.Add()([before, x]))

    def join(self, before: Any, x: Any) -> Any:
        """What the last convolution gave, beside what was before it."""
        return layers.Concatenate(name=f"c{self._count}_join")([before, x])

    def pool(self, x: Any) -> Any:
        """Half as many samples."""
        return layers.AveragePooling2D((2, 1), padding="same", name=f"c{self._count}_pool")(x)

    def _name(self) -> str:
        self._count += 1
        return f"c{self._count}"

    def _end(self, x: Any, name: str, *, relu: bool) -> Any:
        if not self.folded:
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x) if relu else x


class Stage(NamedTuple):
    """Separable blocks; the first has the stride."""

    channels: int
    size: int
    blocks: int


EDGE = (Stage(64, 9, 2), Stage(128, 9, 2), Stage(256, 7, 3), Stage(512, 7, 3))
MOBILE = (Stage(96, 9, 2), Stage(192, 9, 3), Stage(384, 7, 6), Stage(768, 7, 5))


def edge(make: Maker, x: Any) -> Any:
    """Depthwise separable, cheap where the signal is long."""
    return _separable(make, make.conv(x, 32, 15, 4), EDGE)


def mobile(make: Maker, x: Any) -> Any:
    """The same, wider and deeper, with the stem at twice the resolution."""
    x = make.pool(make.conv(x, 48, 15, 2))
    return _separable(make, x, MOBILE)


def _separable(make: Maker, x: Any, stages: tuple[Stage, ...]) -> Any:
    for stage in stages:
        for block in range(stage.blocks):
            before = x
            x = make.depthwise(x, stage.size, 2 if block == 0 else 1)
            x = make.conv(x, stage.channels, relu=block == 0)
            if block:
                x = make.add(before, x)
    return x


GROWTH, DENSE_BLOCKS = 48, (4, 8, 12)
WIDTH, HIDDEN, LAYERS, ATTENTION_HEADS = 384, 384, 5, 6


def hybrid(make: Maker, x: Any) -> Any:
    """Densely connected CNN to 32 steps of 0.31 s; bidirectional GRU; Transformer encoder."""
    x = make.pool(make.conv(x, 64, 15, 2))
    for number, count in enumerate(DENSE_BLOCKS):
        for _ in range(count):
            made = make.conv(make.conv(x, 4 * GROWTH), GROWTH, 7)
            x = make.join(x, made)
        x = make.pool(make.conv(x, x.shape[-1] // 2 if number < 2 else WIDTH))
    both = []
    for name in ("forward", "backward"):
        gates = make.conv(x, 3 * HIDDEN, relu=False)
        both.append(GRU(HIDDEN, backward=name == "backward", name=f"gru_{name}")(gates))
    x = layers.Add()([x, make.conv(layers.Concatenate()(both), WIDTH, relu=False)])
    for _ in range(LAYERS):
        x = layers.Add()([x, make.conv(_attention(make, x), WIDTH, relu=False)])
        x = layers.Add()([x, make.conv(make.conv(x, 4 * WIDTH), WIDTH, relu=False)])
    return layers.ReLU()(x)


def _attention(make: Maker, x: Any) -> Any:
    """Multi-head self-attention over (steps, 1, WIDTH), before its output projection."""
    steps, deep = x.shape[1], WIDTH // ATTENTION_HEADS
    parts = []
    for order in ((2, 1, 3), (2, 3, 1), (2, 1, 3)):  # queries, keys transposed, values
        part = layers.Reshape((steps, ATTENTION_HEADS, deep))(make.conv(x, WIDTH, relu=False))
        parts.append(layers.Permute(order)(part))
    made = layers.Permute((2, 1, 3))(Attention()(parts))
    return layers.Reshape((steps, 1, WIDTH))(made)


@keras.saving.register_keras_serializable("ecg-family")
class Attention(layers.Layer):  # type: ignore[misc]
    """softmax(Q K / sqrt(d)) V, of (heads, steps, d), (heads, d, steps), (heads, steps, d)."""

    def call(self, parts: Any) -> Any:
        queries, keys, values = parts
        weights = ops.matmul(queries * (1.0 / float(queries.shape[-1]) ** 0.5), keys)
        return ops.matmul(ops.softmax(weights, axis=-1), values)


@keras.saving.register_keras_serializable("ecg-family")
class GRU(layers.Layer):  # type: ignore[misc]
    """Gated recurrent unit (Cho 2014, reset after the product) over (steps, 1, 3 * hidden).

    The input's part of the gates (update, reset, candidate) comes ready made, for all steps in
    one convolution before. The steps are written out one by one: no loop has to be converted.
    Gives (steps, 1, hidden).
    """

    def __init__(self, hidden: int, *, backward: bool, **options: Any) -> None:
        super().__init__(**options)
        self.hidden, self.backward = hidden, backward

    def build(self, shape: Any) -> None:
        del shape
        self.kernel = self.add_weight(
            shape=(self.hidden, 3 * self.hidden), initializer="orthogonal", name="recurrent"
        )
        self.bias = self.add_weight(
            shape=(3 * self.hidden,), initializer="zeros", name="recurrent_bias"
        )

    def call(self, gates: Any) -> Any:
        width, steps = self.hidden, gates.shape[1]
        state: Any = None
        made = []
        for step in reversed(range(steps)) if self.backward else range(steps):
            given = gates[:, step, 0, :]
            if state is None:
                recurrent = ops.zeros_like(given) + self.bias
                before = ops.zeros_like(given[:, :width])
            else:
                recurrent, before = ops.matmul(state, self.kernel) + self.bias, state
            both = ops.sigmoid(given[:, : 2 * width] + recurrent[:, : 2 * width])
            keep, reset = both[:, :width], both[:, width:]
            new = ops.tanh(given[:, 2 * width :] + reset * recurrent[:, 2 * width :])
            state = new + keep * (before - new)
            made.append(ops.expand_dims(state, 1))
        ordered = made[::-1] if self.backward else made
        return ops.expand_dims(ops.concatenate(ordered, axis=1), 2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self.hidden, "backward": self.backward}


BODIES: dict[str, Callable[[Maker, Any], Any]] = {"edge": edge, "mobile": mobile, "hybrid": hybrid}
HEAD_WIDTH = {"edge": 20, "mobile": 24, "hybrid": 128}


def build(
    name: str, samples: int = _INSIDE, *, folded: bool = False, dropout: float = 0.3
) -> keras.Model:
    """(samples, 12) mV to logits by head."""
    signal = keras.Input((samples, len(LEADS)), name="signal")
    make = Maker(folded=folded)
    x = BODIES[name](make, _front(signal, samples))
    pools = (layers.GlobalAveragePooling2D(keepdims=True), layers.GlobalMaxPooling2D(keepdims=True))
    x = layers.Concatenate()([pool(x) for pool in pools])
    outputs = {}
    for head, labels in HEADS.items():
        own = make.conv(x, HEAD_WIDTH[name])
        own = layers.Flatten()(layers.Dropout(dropout)(own))
        outputs[head] = layers.Dense(len(labels), name=head)(own)
    return keras.Model(signal, outputs, name=f"ecg-{name}")


def _front(signal: Any, samples: int) -> Any:
    """(samples, 12) at its own rate to (1000, 1, 12) at 100 Hz, by a fixed linear-phase filter."""
    x = layers.Reshape((samples, 1, len(LEADS)), name="front")(signal)
    if samples == _INSIDE:
        return x
    phases = {2500: 2, 5000: 1}[samples]  # output samples for every five of the input
    taps = _taps(SAMPLES[samples], phases)
    filtered = layers.DepthwiseConv2D(
        (len(taps), 1),
        strides=(5, 5),
        padding="same",
        depth_multiplier=phases,
        use_bias=False,
        trainable=False,
        name="to_100_hz",
        depthwise_initializer=lambda shape, dtype=None: np.broadcast_to(
            taps[:, None, None, :], shape
        ).astype(dtype or "float32"),
    )(x)
    if phases == 1:
        return filtered
    split = layers.Reshape((samples // 5, len(LEADS), phases))(filtered)
    return layers.Reshape((_INSIDE, 1, len(LEADS)))(layers.Permute((1, 3, 2))(split))


def _taps(rate_hz: float, phases: int) -> NDArray[np.float64]:
    """Low-pass at 45 Hz, Hamming, (taps, phases); each phase lies 5 / phases samples later."""
    half = 19 if phases == 2 else 45
    at = np.arange(2 * half + 5)[:, None] - half - np.arange(phases) * 5 / phases
    ideal = np.sinc(90.0 / rate_hz * at)
    window = np.where(np.abs(at) <= half, 0.54 + 0.46 * np.cos(np.pi * at / (half + 1)), 0.0)
    return ideal * window / (ideal * window).sum(axis=0)
