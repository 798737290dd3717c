"""The network: a small one-dimensional CNN over a beat and its template, with the rhythm beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray
from records import LABELS, RecordBeats

EPOCHS = 16
BATCH = 256
NORMAL_PER_EPOCH = 16_000  # the classes S and V are taken whole, N is drawn anew each epoch
WEIGHTS = (1.0, 3.0, 1.0)  # of N, S, V in the loss


class Averaged(keras.callbacks.Callback):  # type: ignore[misc]
    """Mean of the weights after each of the last epochs (Izmailov 2018): seeds differ less."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self._start, self._count = start, 0
        self._mean: list[NDArray[np.float32]] = []

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        if epoch < self._start:
            return
        self._count += 1
        now = self.model.get_weights()
        before = self._mean or now
        self._mean = [b + (n - b) / self._count for b, n in zip(before, now, strict=True)]

    def on_train_end(self, logs: object = None) -> None:
        self.model.set_weights(self._mean)


class BeatBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Beats of the training patients: balanced and varied anew each epoch."""

    def __init__(self, records: Sequence[RecordBeats], seed: int) -> None:
        super().__init__()
        inputs, self._class = stacked(records)
        self._beat, self._rr = inputs["beat"], inputs["rr"]
        self._random = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        normal = np.flatnonzero(self._class == 0)
        drawn = self._random.choice(normal, min(NORMAL_PER_EPOCH, len(normal)), replace=False)
        others = np.flatnonzero(self._class > 0)
        self._order = self._random.permutation(np.concatenate([drawn, others]))

    def __len__(self) -> int:
        return len(self._order) // BATCH

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self._order[index * BATCH : (index + 1) * BATCH]
        random = self._random
        beat = np.roll(self._beat[rows], int(random.integers(-3, 4)), axis=1)
        beat = self._another_patient(beat) * random.uniform(0.85, 1.15, (len(rows), 1, 1))
        noise = random.normal(0, 1, (len(rows), beat.shape[1])) * random.uniform(
            0, 0.03, (len(rows), 1)
        )
        beat[:, :, 0] += noise
        beat[:, :, 2] += noise
        rr = self._rr[rows].copy()
        rr[:, :2] *= random.uniform(0.85, 1.15, (len(rows), 1))  # a faster or slower heart
        rr[:, 2:8] += random.normal(0, 0.01, (len(rows), 6))
        classes = self._class[rows]
        inputs = {"beat": beat.astype(np.float32), "rr": rr.astype(np.float32)}
        return inputs, classes, np.asarray(WEIGHTS, np.float32)[classes]

    def _another_patient(self, beat: NDArray[np.float32]) -> NDArray[np.float32]:
        """The beats, most times through a random filter: other shapes, the same differences."""
        if self._random.random() > 0.7:
            return beat
        taps = np.convolve(self._random.normal(0, 0.25, 15), [0.25, 0.5, 0.25], "same")
        taps[7] += 1
        made = sum(tap * np.roll(beat, at - 7, axis=1) for at, tap in enumerate(taps))
        size = np.abs(made[:, :, 1]).max(axis=1)[:, None, None]  # relative to the template again
        return np.clip(made / np.maximum(size, 0.2), -3, 3)


def stacked(
    records: Sequence[RecordBeats],
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    """The N, S and V beats of some records as inputs, and their index in LABELS."""
    wanted = [np.isin(record.classes, LABELS) for record in records]
    pairs = list(zip(records, wanted, strict=True))
    inputs = {
        name: np.concatenate([record.inputs()[name][keep] for record, keep in pairs])
        for name in records[0].inputs()
    }
    classes = np.concatenate([record.classes[keep] for record, keep in pairs])
    return inputs, np.searchsorted(np.array(LABELS), classes)


def build(length: int, channels: int, features: int, *, folded: bool = False) -> keras.Model:
    """Beat and rhythm to logits of N, S, V. `folded` has no batch normalisation, but biases."""
    beat = keras.Input((length, channels), name="beat")
    rr = keras.Input((features,), name="rr")
    x = beat
    for at, (filters, size) in enumerate(((16, 9), (24, 7), (32, 5), (32, 5))):
        x = layers.Conv1D(
            filters, size, strides=2, padding="same", use_bias=folded, name=f"conv{at}"
        )(x)
        x = layers.ReLU()(x if folded else layers.BatchNormalization(name=f"norm{at}")(x))
    x = layers.AveragePooling1D(3)(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(32, activation="relu", name="shape")(x)
    rhythm = layers.Dense(16, activation="relu", name="rhythm")(rr)
    x = layers.Concatenate()([x, rhythm])
    x = layers.Dropout(0.2)(layers.Dense(32, activation="relu", name="both")(x))
    return keras.Model([beat, rr], layers.Dense(len(LABELS), name="logits")(x))


def train(
    records: Sequence[RecordBeats], seed: int, verbose: int = 2
) -> tuple[keras.Model, list[float]]:
    """Fit on some patients for a fixed number of epochs; nothing else is looked at.

    Gives the network and the loss of each epoch.
    """
    keras.utils.set_random_seed(seed)
    model = build(records[0].beat.shape[1], records[0].beat.shape[2], records[0].rr.shape[1])
    batches = BeatBatches(records, seed)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * len(batches), alpha=0.05)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    told = model.fit(batches, epochs=EPOCHS, verbose=verbose, callbacks=[Averaged(EPOCHS * 3 // 5)])
    return model, [round(float(loss), 4) for loss in told.history["loss"]]
