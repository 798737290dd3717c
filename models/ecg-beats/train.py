"""Make ecg-beats from the MIT-BIH records: train, quantise, score, write the model directory.

    python models/ecg-beats/train.py --data path/to/mitdb --out models/ecg-beats

A workstation recipe. It needs tensorflow-cpu, tf2onnx, onnxruntime and edge-runtime itself,
whose own steps find and cut the beats. About fifteen minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).resolve().parents[at]) for at in (0, 1, 2)]

import export
import network
import numpy as np
from export import Floats
from manifest_text import manifest_text, pictures
from records import DS1, DS2, FOLDS, LABELS, RecordBeats, read_record
from scoring import (
    best_bias,
    calibration,
    confusion,
    gated,
    scores,
    softmax,
    temperature,
    with_and_without,
)

CALIBRATION = 200  # beats of each class
GOLDEN = 12  # beats of each class
GOLDEN_APART = 0.06  # of scores, between the files; the manifest's tolerance is above
NAMES = {"tflite": "ecg-beats-int8.tflite", "onnx": "ecg-beats-int8.onnx"}
Scores = dict[str, Floats]  # record -> (beats, 3)


def main() -> None:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    records = {}
    for name in (*DS1, *DS2):
        records[name] = read_record(options.data, name)
        print(f"record {name}: {Counter(records[name].classes.tolist())}", flush=True)
    train, test = [records[n] for n in DS1], [records[n] for n in DS2]
    report: dict[str, Any] = {"versions": _versions(), "seeds": options.seeds, "runs": []}
    report["beats"] = {
        "DS1": Counter(c for r in train for c in r.classes.tolist()),
        "DS2": Counter(c for r in test for c in r.classes.tolist()),
        "DS1 missed": Counter(c for r in train for c in r.missed),
        "DS2 missed": Counter(c for r in test for c in r.missed),
    }
    report["patients"] = _patients(train, test)
    settings, report["cross-validation on DS1"] = _cross_validated(train)
    report["bias"], report["temperature"] = settings[0].tolist(), settings[1]
    for at, seed in enumerate(options.seeds):
        print(f"seed {seed}: training on {len(train)} records", flush=True)
        model, losses = network.train(train, seed)
        deployed = export.with_scores(model, *settings)
        figures = _quantised(deployed, train, test, options.out if at == 0 else None, seed)
        report["runs"].append({"seed": seed, "loss": losses, **figures})
        print(json.dumps(figures["DS2"], indent=1), flush=True)
    if options.leak:
        report["random split"] = _leak(train + test)
    _write(options.out, report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the mitdb records")
    parser.add_argument("--out", type=Path, required=True, help="model directory to write")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="first is shipped")
    parser.add_argument("--epochs", type=int, default=network.EPOCHS)
    parser.add_argument(
        "--leak", action="store_true", help="also score a random split, to show what leakage does"
    )
    options = parser.parse_args()
    network.EPOCHS = options.epochs
    return options


def _cross_validated(
    train: Sequence[RecordBeats],
) -> tuple[tuple[Floats, float], dict[str, object]]:
    """Train on two parts of DS1, call the third, in turn.

    Gives a class bias and a temperature, and scores with and without the gate and the bias.
    """
    called: Scores = {}
    for at, fold in enumerate(FOLDS):
        print(f"cross-validation {at + 1} of {len(FOLDS)}", flush=True)
        model, _ = network.train([r for r in train if r.name not in fold], at)
        for record in train:
            if record.name in fold:
                called[record.name] = _predicted(model, record)
    held = {record.name: gated(record, called[record.name]) for record in train}
    bias = best_bias(train, held)
    moved = {record.name: gated(record, called[record.name] + bias) for record in train}
    divisor = temperature(train, {name: logits + bias for name, logits in called.items()})
    cooled = {
        record.name: softmax(gated(record, (called[record.name] + bias) / divisor))
        for record in train
    }
    figures: dict[str, object] = {
        "plain": scores(confusion(train, called)),
        "with gate": scores(confusion(train, held)),
        "with gate and bias": scores(confusion(train, moved)),
        "calibration": {
            "before": calibration(train, {name: softmax(x) for name, x in moved.items()}),
            "after": calibration(train, cooled),
        },
    }
    print(f"bias {bias.tolist()}, temperature {divisor:.2f}: {json.dumps(figures)}", flush=True)
    return (bias, divisor), figures


def _predicted(model: network.keras.Model, record: RecordBeats) -> Floats:
    names = {tensor.name for tensor in model.inputs}
    inputs = {name: values for name, values in record.inputs().items() if name in names}
    return np.asarray(model.predict(inputs, batch_size=4096, verbose=0), np.float32)


def _quantised(
    deployed: network.keras.Model,
    train: Sequence[RecordBeats],
    test: Sequence[RecordBeats],
    out: Path | None,
    seed: int,
) -> dict[str, object]:
    """Make both files, score them on the test patients; keep them when `out` is given."""
    cases = _balanced(train, CALIBRATION, seed)
    tflite = export.tflite_int8(deployed, cases)
    contents = {
        "tflite": tflite,
        "onnx": export.onnx_int8(deployed, cases, export.input_order(tflite)),
    }
    runs = {
        "tflite": export.run_tflite(contents["tflite"]),
        "onnx": export.run_onnx(contents["onnx"]),
    }
    called: dict[str, Scores] = {"float": {r.name: _predicted(deployed, r) for r in test}}
    for kind, run in runs.items():
        called[kind] = {r.name: _each(run, r.inputs()) for r in test}
        print(f"{kind}: {len(contents[kind])} bytes, scored", flush=True)
    if out:
        for kind, content in contents.items():
            (out / NAMES[kind]).write_bytes(content)
        _golden(out / "golden.npz", train, deployed, runs, export.input_order(tflite))
    return {
        "DS2": {kind: with_and_without(test, values) for kind, values in called.items()},
        "calibration": {kind: calibration(test, values) for kind, values in called.items()},
        "confusion": {
            kind: {f"{a}>{b}": n for (a, b), n in sorted(confusion(test, values).items())}
            for kind, values in called.items()
        },
        "same call as float": {kind: _same(called["float"], called[kind]) for kind in runs},
        "parameters": int(deployed.count_params()),
    }


def _balanced(records: Sequence[RecordBeats], each: int, seed: int) -> dict[str, Floats]:
    inputs, classes = network.stacked(records)
    random = np.random.default_rng(seed)
    rows = [random.choice(np.flatnonzero(classes == k), each, replace=False) for k in range(3)]
    order = random.permutation(np.concatenate(rows))
    return {name: values[order] for name, values in inputs.items()}


def _each(run: export.Run, cases: export.Inputs) -> Floats:
    return np.concatenate([run(case) for case in export.each_case(cases)])


def _same(one: Mapping[str, Floats], other: Mapping[str, Floats]) -> float:
    equal = [one[name].argmax(1) == other[name].argmax(1) for name in one]
    return float(np.concatenate(equal).mean())


def _golden(
    path: Path,
    train: Sequence[RecordBeats],
    deployed: network.keras.Model,
    runs: Mapping[str, export.Run],
    order: Sequence[str],
) -> None:
    """Beats of training patients with the scores of the INT8 TFLite file, and of the float net.

    Only beats that are no near tie, and on which both files and the float network agree: there,
    whoever differs is wrong.
    """
    cases = _balanced(train, 16 * GOLDEN, seed=0)
    int8, other = _each(runs["tflite"], cases), _each(runs["onnx"], cases)
    real = deployed.predict(cases, verbose=0)
    apart = np.maximum(np.abs(int8 - other), np.abs(int8 - real)).max(axis=1)
    top = np.sort(int8, axis=1)
    clear = np.flatnonzero((top[:, -1] - top[:, -2] > 0.3) & (apart < GOLDEN_APART))
    rows = np.concatenate([clear[int8[clear].argmax(1) == k][:GOLDEN] for k in range(3)])
    inputs = {f"input/{at}": cases[name][rows][:, None] for at, name in enumerate(order)}
    outputs = {"output/0": int8[rows][:, None], "float/0": real[rows][:, None]}
    np.savez_compressed(path, **inputs, **outputs)


def _leak(records: Sequence[RecordBeats]) -> dict[str, float]:
    """Half of all beats against the other half: the same people on both sides."""
    random = np.random.default_rng(0)
    halves: tuple[list[RecordBeats], list[RecordBeats]] = ([], [])
    for record in records:
        coin = random.random(len(record.classes)) < 0.5
        for side, rows in zip(halves, (coin, ~coin), strict=True):
            arrays = (values[rows] for values in record.inputs().values())
            side.append(RecordBeats(record.name, *arrays, record.classes[rows], ()))
    print("random split: training (for comparison only, not kept)", flush=True)
    model, _ = network.train(halves[0], 1)
    called = {record.name: gated(record, _predicted(model, record)) for record in halves[1]}
    return scores(confusion(halves[1], called))


def _patients(train: Sequence[RecordBeats], test: Sequence[RecordBeats]) -> dict[str, object]:
    return {
        side: {
            label: sum(bool((record.classes == label).any()) for record in group)
            for label in (*LABELS, "F", "Q")
        }
        for side, group in (("DS1", train), ("DS2", test))
    }


def _versions() -> dict[str, str]:
    packages = ("tensorflow-cpu", "keras", "tf2onnx", "onnxruntime", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _write(out: Path, report: dict[str, Any]) -> None:
    (out / "scores.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (out / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    (out / "model.toml").write_text(manifest_text(out, report), encoding="utf-8")
    pictures(out, report)
    print(f"wrote {out}; check that the figures in {out / 'README.md'} are those of scores.json")


if __name__ == "__main__":
    main()
