"""Make a model directory of trained weights: through edge-convert, then scored on the test part.

    python models/ecg-family/make.py ecg-edge --build build --cinc cinc2017 --ptbxl ptbxl

`build/ecg-<network>` holds what `train.py` left; ecg-ensemble needs all three. The float network
goes to `edge-convert`, which makes the files, holds each against it on the `choose` part and on
windows of the training part that set no range, and writes `build/ecg-edge/model`. Every file is
then run over the whole test part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import contract
import export
import keras
import network
import numpy as np
import pictures
import scoring
import tensorflow as tf
from export import Floats, Run
from records import Case
from train import add_data, read

from edge_runtime import manifest, registry
from edge_runtime.manifest import FileEntry

CALIBRATION = 240  # windows of the training part
CHECKED = 400  # others of it, without labels, on which files must say what the network says
LIMIT_MV = 10.0  # what is larger is no ECG
TARGETS = ("tflite:int8", "onnx:float16", "onnx:int8", "tflite:float16")  # best choice first
MEMBERS = ("edge", "mobile", "hybrid")
RHYTHMS = ("sinus", "af", "other")


def main() -> None:
    options = _options()
    out = options.build / options.name
    out.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    cases = read(options)
    parts = {p: [c for c in cases if c.part == p] for p in ("train", "choose", "test")}
    test = [c for at, c in enumerate(parts["test"]) if c.source != "mitdb" or at % 10 == 0]
    model = deployed(options.build, options.name)
    began = time.perf_counter()
    _give(out, options.name, model, parts)
    _convert(out, options)
    seconds = round(time.perf_counter() - began)
    made = manifest.read(out / "model")
    runs = {entry.path: _run(made.path(entry), entry) for entry in made.file}
    report: dict[str, Any] = {"versions": _versions(), "parameters": model.count_params()}
    report["converted_in_s"] = seconds
    report["bytes"] = {entry.path: made.path(entry).stat().st_size for entry in made.file}
    report |= _scored(test, {"float32": export.run_keras(model), **runs})
    _write(out / "model", options.name, out / "training.json", report)


def deployed(build: Path, name: str) -> keras.Model:
    """The network of a model's name with its trained weights, or all three of them."""
    models = {}
    for one in MEMBERS if name == "ecg-ensemble" else (name.removeprefix("ecg-"),):
        models[one] = network.build(one)
        models[one].load_weights(build / f"ecg-{one}" / "best.weights.h5")
    return export.deployed(models)


def _give(out: Path, name: str, model: keras.Model, parts: Mapping[str, Sequence[Case]]) -> None:
    """All that edge-convert takes: the network, its contract, and windows of two parts."""
    export.save(model, out / "float")
    (out / "contract.toml").write_text(contract.contract(name), encoding="utf-8")
    ranges, checked = _drawn(parts["train"])
    nothing = np.zeros_like(ranges[0].windows()[:1])
    windows = np.concatenate([nothing, *(case.windows()[:1] for case in ranges)])
    windows = np.clip(windows, -LIMIT_MV, LIMIT_MV)  # INT8 saturates at the largest value here
    np.savez(out / "calibration.npz", **{export.INPUT: windows})
    np.savez(out / "evaluation.npz", **_evaluation(parts["choose"], checked))


def _drawn(train: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Cases of the training part for the ranges, equally many of each source; others to check."""
    random = np.random.default_rng(0)
    ranges: list[Case] = []
    left: list[Case] = []
    for source in ("cinc2017", "ptbxl", "mitdb"):
        group = [case for case in train if case.source == source]
        order = [group[at] for at in random.permutation(len(group))]
        ranges += order[: CALIBRATION // 3]
        left += order[CALIBRATION // 3 :]
    return ranges, [left[at] for at in random.permutation(len(left))[:CHECKED]]


def _evaluation(cases: Sequence[Case], checked: Sequence[Case]) -> dict[str, Any]:
    """All windows of `cases` with what is known of each head, one of each of `checked` without."""
    windows = [*(case.windows() for case in cases), *(case.windows()[:1] for case in checked)]
    of = np.repeat(np.arange(len(windows)), [len(one) for one in windows])
    known = {head: np.array([getattr(case, head) for case in cases]) for head in network.HEADS}
    unknown = {
        head: np.full((len(checked), *rows.shape[1:]), np.nan) for head, rows in known.items()
    }
    patients = np.array([f"{case.source} {case.patient}" for case in (*cases, *checked)])
    rows = {head: np.concatenate([known[head], unknown[head]])[of] for head in known}
    return {
        export.INPUT: np.round(np.concatenate(windows), 3),  # to the microvolt
        "groups": patients[of],
        **{f"labels/{head}": values for head, values in rows.items()},
    }


def _convert(out: Path, options: argparse.Namespace) -> None:
    """edge-convert in a process of its own; ends this one when the gate is not passed."""
    command = [options.edge_convert, "float", "-o", "model", "--overwrite"]
    command += ["--contract", "contract.toml", "--max-drop", str(options.max_drop)]
    command += ["--min-agreement", str(options.min_agreement)]
    command += ["--calibration", options.calibration]
    command += [word for target in options.to for word in ("--to", target)]
    command += ["--calibrate", "calibration.npz", "--calibration-cases", str(CALIBRATION + 1)]
    command += ["--evaluate", "evaluation.npz", "--timeout", str(options.timeout)]
    ended = subprocess.run(command, cwd=out, check=False)
    if ended.returncode:
        raise SystemExit(ended.returncode)
    with np.load(out / "model" / "golden.npz") as file:
        vectors = dict(file)
    np.savez_compressed(out / "model" / "golden.npz", **vectors)


def _run(path: Path, entry: FileEntry) -> Run:
    """The file as the device runs it, one case at a time, on one thread."""

    def run(cases: Floats) -> Floats:
        with closing(registry.find("backend", entry.format)(path=path)) as backend:
            backend.open()
            return np.concatenate([backend.run([case[None]])[0] for case in cases])

    return run


def _scored(test: Sequence[Case], runs: Mapping[str, Run]) -> dict[str, Any]:
    """The figures of each file on these cases, and how far it is from the first."""
    scores: dict[str, Floats] = {}
    figures, against = {}, {}
    for kind, run in runs.items():
        scores[kind] = scoring.of_cases(run, test)
        figures[kind] = scoring.figures(test, scores[kind])
        against[kind] = {
            **scoring.against(scores["float32"], scores[kind]),
            "macro_f1_change": scoring.change(test, scores["float32"], scores[kind]),
        }
        print(f"{kind}: {against[kind]}", flush=True)
    return {"test": figures, "against_float": against}


def _write(out: Path, name: str, log: Path, report: Mapping[str, Any]) -> None:
    text = json.dumps(report, indent=1) + "\n"
    (out / "scores.json").write_text(text, encoding="utf-8")
    (out / "run.toml").write_text(contract.run_file(name), encoding="utf-8")
    shown = ("float32", next(kind for kind in report["test"] if kind != "float32"))
    tables = {kind: report["test"][kind]["cinc2017"]["rhythm"]["confusion"] for kind in shown}
    title = f"{name}: rhythm of CinC 2017 test strips"
    (out / "confusion.svg").write_text(pictures.matrices(title, RHYTHMS, tables), encoding="utf-8")
    if log.exists():
        facts = json.loads(log.read_text(encoding="utf-8"))
        drawn = pictures.curves(f"{name}: losses", facts["epochs"], facts["chosen_epoch"])
        (out / "training.svg").write_text(drawn, encoding="utf-8")
    print(f"wrote {out}")


def _versions() -> dict[str, str]:
    packages = ("tensorflow-cpu", "keras", "onnxruntime", "ai-edge-litert", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(contract.SUMMARIES))
    parser.add_argument(
        "--build", type=Path, required=True, help="folder of the folders of train.py"
    )
    add_data(parser)
    parser.add_argument("--to", nargs="+", default=TARGETS, help="files to make, best choice first")
    parser.add_argument("--max-drop", type=float, default=0.5, help="points that INT8 may lose")
    parser.add_argument("--min-agreement", type=float, default=98.5, help="percent of windows")
    parser.add_argument("--calibration", default="minmax", help="how INT8 finds its ranges")
    parser.add_argument("--edge-convert", default="edge-convert", help="the program")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds of one step of it")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
