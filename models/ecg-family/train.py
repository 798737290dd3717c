"""Train one network of the family and keep its weights.

    python models/ecg-family/train.py edge --cinc cinc2017 --ptbxl ptbxl --mitdb mitdb \
        --nstdb nstdb --out build/ecg-edge

A workstation recipe: it needs tensorflow (a GPU is used when TensorFlow sees one), and
edge-runtime itself, whose own resampler prepares the records. `make.py` then makes the files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import cache
import keras
import network
import numpy as np
import records
import tensorflow as tf
from batches import Batches
from records import Case, Floats

WEIGHTS = {"rhythm": 1.0, "findings": 2.0, "noise": 1.0}  # of the losses


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores the `choose` part after each epoch; keeps the best weights, the curves and the state.

    The state of an epoch is whole or not there: weights and optimizer first, then, in one step,
    the file that names them. A run that was killed at any moment goes on from the last of them.
    """

    def __init__(self, cases: Sequence[Case], batches: Batches, out: Path) -> None:
        super().__init__()
        self._batches, self._out, self._state = batches, out, out / "resume" / "state.json"
        self._cases = cases
        self._signal = np.concatenate([case.windows() for case in cases])
        owner = np.concatenate([[at] * len(case.windows()) for at, case in enumerate(cases)])
        self._owner = owner.astype(int)
        self.curves: list[dict[str, float]] = []

    def resume(self, model: keras.Model) -> None:
        """Take weights, optimizer and curves up where they were left."""
        if self._state.exists():
            held = json.loads(self._state.read_text(encoding="utf-8"))
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self._state.parent / held["weights"])
            self.curves = held["epochs"]
            for variable, value in zip(_seeds(model), held["dropout"], strict=True):
                variable.assign(value)

    def started(self) -> bool:
        """Whether an earlier run left a state."""
        return self._state.exists()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches.epoch = epoch
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logits = self.model.predict(self._signal, batch_size=32, verbose=0)
        losses = choice_losses(self._cases, self._owner, logits)
        chosen = sum(WEIGHTS[head] * loss for head, loss in losses.items())
        row = {"train": float((logs or {})["loss"]), "choose": chosen}
        row |= {f"choose_{head}": loss for head, loss in losses.items()}
        row["seconds"] = time.perf_counter() - self._began
        row = {key: round(value, 4) for key, value in row.items()}
        best = min((one["choose"] for one in self.curves), default=np.inf)
        self.curves = [*self.curves, row]
        if row["choose"] < best:
            self._save(self._out / "best.weights.h5")
        self._keep(epoch)
        shown = ", ".join(f"{k} {v:.3f}" for k, v in row.items())
        print(f"epoch {epoch + 1} of {self.params['epochs']}: {shown}", flush=True)

    def _keep(self, epoch: int) -> None:
        folder = self._state.parent
        folder.mkdir(exist_ok=True)
        weights = folder / f"{epoch + 1}.weights.h5"
        self._save(weights)
        half = folder / "half.json"
        dropout = [variable.numpy().tolist() for variable in _seeds(self.model)]
        held = {"weights": weights.name, "dropout": dropout, "epochs": self.curves}
        half.write_text(json.dumps(held), encoding="utf-8")
        half.replace(self._state)
        for other in folder.glob("*.weights.h5"):
            if other != weights:
                other.unlink()

    def _save(self, path: Path) -> None:
        half = path.with_name(f"half.{path.name}")
        self.model.save_weights(half, overwrite=True)
        half.replace(path)


def _seeds(model: keras.Model) -> list[Any]:
    """The states of the random numbers of dropout, which files of weights do not hold."""
    return [one for one in model.non_trainable_variables if "seed_generator" in one.path]


def choice_losses(cases: Sequence[Case], owner: Any, logits: dict[str, Floats]) -> dict[str, float]:
    """Mean cross-entropy of each head over what is known of the cases' windows."""
    made = {}
    for head, wanted in (("findings", "findings"), ("noise", "noise")):
        true = np.array([np.atleast_1d(getattr(case, wanted)) for case in cases])[owner]
        keep = ~np.isnan(true).any(axis=1)
        values, true = logits[head][keep], true[keep]
        made[head] = float((np.logaddexp(0, values) - true * values).mean())
    rhythm = np.array([case.rhythm for case in cases])[owner]
    keep = ~np.isnan(rhythm)
    values, true = logits["rhythm"][keep], rhythm[keep].astype(int)
    total = np.log(np.exp(values - values.max(1, keepdims=True)).sum(1)) + values.max(1)
    by_class = [(total - values[:, k])[true == k].mean() for k in np.unique(true)]
    made["rhythm"] = float(np.mean(by_class))
    return made


def main() -> None:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    keras.utils.set_random_seed(options.seed)
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    cases = read(options)
    parts = {p: [c for c in cases if c.part == p] for p in ("train", "choose", "test")}
    print({part: len(group) for part, group in parts.items()}, flush=True)
    model = network.build(options.network)
    batches = Batches(
        parts["train"],
        records.noises(options.nstdb),
        size=options.batch,
        steps=options.steps,
        seed=options.seed,
    )
    rate = keras.optimizers.schedules.CosineDecay(
        options.rate / 10,
        options.epochs * options.steps,
        alpha=0.02,
        warmup_target=options.rate,
        warmup_steps=options.steps,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-2, clipnorm=1.0),
        loss={
            "rhythm": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "findings": keras.losses.BinaryCrossentropy(from_logits=True),
            "noise": keras.losses.BinaryCrossentropy(from_logits=True),
        },
        loss_weights=WEIGHTS,
    )
    epochs = Epochs(parts["choose"], batches, options.out)
    if options.resume:
        epochs.resume(model)
    elif epochs.started():
        raise SystemExit(f"{options.out}: an earlier run was not finished: add --resume")
    model.fit(
        batches,
        initial_epoch=len(epochs.curves),
        epochs=options.epochs,
        verbose=options.progress,
        callbacks=[epochs],
        shuffle=False,
    )
    facts = {
        "network": options.network,
        "parameters": model.count_params(),
        "seed": options.seed,
        "batch": options.batch,
        "steps": options.steps,
        "seconds": round(sum(row["seconds"] for row in epochs.curves)),
        "cases": {part: len(group) for part, group in parts.items()},
        "chosen_epoch": int(np.argmin([row["choose"] for row in epochs.curves])) + 1,
        "epochs": epochs.curves,
    }
    (options.out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(options.out / "resume")
    print(f"best epoch {facts['chosen_epoch']}, {facts['seconds']} s", flush=True)


def read(options: argparse.Namespace) -> list[Case]:
    """All cases of the databases that were given, or of the cache when it is there."""
    if options.cache and options.cache.exists():
        return cache.load(options.cache)
    given = {"cinc": records.cinc2017, "ptbxl": records.ptbxl, "mitdb": records.mitdb}
    cases = [
        case
        for option, reader in given.items()
        if getattr(options, option)
        for case in reader(getattr(options, option))
    ]
    if options.cache:
        cache.save(options.cache, cases)
    return cases


def add_data(parser: argparse.ArgumentParser) -> None:
    """The options that name the databases."""
    parser.add_argument("--cinc", type=Path, required=True, help="folder of CinC 2017")
    parser.add_argument("--ptbxl", type=Path, required=True, help="folder of PTB-XL, whole or part")
    parser.add_argument("--mitdb", type=Path, help="folder of mitdb")
    parser.add_argument(
        "--cache", type=Path, help=".npz that keeps what was read, for the next run"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=sorted(network.BODIES))
    add_data(parser)
    parser.add_argument("--nstdb", type=Path, required=True, help="folder of the noise records")
    parser.add_argument("--out", type=Path, required=True, help="where weights and curves go")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--steps", type=int, default=40, help="batches of an epoch")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--progress", type=int, default=0, help="1: a bar for every epoch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
