"""Make a model directory of trained weights: files, scores, golden vectors, contract, pictures.

    python models/ecg-family/make.py ecg-edge --build build --cinc cinc2017 --ptbxl ptbxl

`build/ecg-<network>` holds what `train.py` left; the files are written there. Every file is run
over the whole test part and compared with the float network. ecg-ensemble needs all three.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
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

CALIBRATION = 240  # windows of the training part
LIMIT_MV = 10.0  # what is larger is no ECG
GOLDEN, GOLDEN_APART = 10, 0.05
MEMBERS = ("edge", "mobile", "hybrid")
RHYTHMS = ("sinus", "af", "other")


def main() -> None:
    options = _options()
    out = options.build / options.name
    out.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    cases = read(options)
    test = [c for c in cases if c.part == "test"]
    test = [c for at, c in enumerate(test) if c.source != "mitdb" or at % options.sparse == 0]
    train = [c for c in cases if c.part == "train"]
    model = deployed(options.build, options.name)
    files, runs, left = _files(model, options.name, out, _calibration(train), options.skip)
    scores: dict[str, Floats] = {}
    report: dict[str, Any] = {"versions": _versions(), "parameters": model.count_params()}
    report["bytes"] = {path.name: path.stat().st_size for path in files.values()}
    report["left_in_float"] = left
    report["test"], report["against_float"] = {}, {}
    for kind, run in {"float32": export.run_keras(model), **runs}.items():
        began = time.perf_counter()
        scores[kind] = scoring.of_cases(run, test)
        report["test"][kind] = scoring.figures(test, scores[kind])
        report["against_float"][kind] = {
            **scoring.against(scores["float32"], scores[kind]),
            "macro_f1_change": scoring.change(test, scores["float32"], scores[kind]),
        }
        print(
            f"{kind}: {time.perf_counter() - began:.0f} s, {report['against_float'][kind]}",
            flush=True,
        )
    report["golden"] = _golden(out / "golden.npz", train, export.run_keras(model), runs)
    _write(out, options.name, files, report)


def deployed(build: Path, name: str) -> keras.Model:
    """The network of a model's name with its trained weights, or all three of them."""
    models = {}
    for one in _members(name):
        models[one] = network.build(one)
        models[one].load_weights(build / f"ecg-{one}" / "best.weights.h5")
    return export.deployed(models)


def _members(name: str) -> tuple[str, ...]:
    return MEMBERS if name == "ecg-ensemble" else (name.removeprefix("ecg-"),)


def _files(
    model: keras.Model, name: str, out: Path, cases: Floats, skip: Sequence[str]
) -> tuple[dict[str, Path], dict[str, Run], dict[str, Any]]:
    """Every file but those of `skip`, best choice first: path, run, what stayed float, by kind."""
    plain, members = export.onnx_float(model), _members(name)
    makers = {
        "tflite_int8": lambda: export.tflite_int8(export.tflite(model, "float32"), cases, members),
        "onnx_fp16": lambda: (export.onnx_float16(plain), {}),
        "onnx_int8": lambda: export.onnx_int8(plain, cases, members),
        "tflite_fp16": lambda: (export.tflite(model, "float16"), {}),
    }
    files, runs, left = {}, {}, {}
    for kind, make in makers.items():
        if kind in skip:
            continue
        began = time.perf_counter()
        made, facts = make()
        suffix, precision = kind.split("_")
        content = made if isinstance(made, bytes) else made.SerializeToString()
        files[kind] = out / f"{name}-{precision}.{suffix}"
        files[kind].write_bytes(content)
        runs[kind] = (export.run_tflite if isinstance(made, bytes) else export.run_onnx)(made)
        if facts:
            left[kind] = {"float_tensors": facts["float_tensors"], "nodes": _named(facts)}
        print(f"{kind}: {len(content)} bytes, {time.perf_counter() - began:.0f} s", flush=True)
    return files, runs, left


def _named(facts: Mapping[str, Any]) -> list[str]:
    """The operations that compute in float."""
    return [f"{one['op']} {one['node'].rpartition(';')[2]}" for one in facts["kept_float"]]


def _calibration(train: Sequence[Case]) -> Floats:
    """Windows of each source and one of nothing; INT8 saturates at the largest value here."""
    random = np.random.default_rng(0)
    chosen = []
    for source in ("cinc2017", "ptbxl", "mitdb"):
        group = [case for case in train if case.source == source]
        order = random.permutation(len(group))[: CALIBRATION // 3]
        chosen.extend(group[at].windows()[:1] for at in order)
    windows = np.concatenate([*chosen, np.zeros_like(chosen[0])])
    return np.clip(windows, -LIMIT_MV, LIMIT_MV)


def _golden(
    path: Path, train: Sequence[Case], real: Run, runs: Mapping[str, Run]
) -> dict[str, Any]:
    """Windows of the training part with the scores of the first file (output) and the float net.

    Real ones of each kind, then the edges: nothing, one lead, a large offset. Only windows that
    are no near tie and that all files score alike: there, whoever differs is wrong.
    """
    random = np.random.default_rng(1)
    by_kind: dict[tuple[str, float], list[Case]] = {}
    for at in random.permutation(len(train)):
        by_kind.setdefault((train[at].source, train[at].rhythm), []).append(train[at])
    real_ones = [case.windows()[:1] for group in by_kind.values() for case in group[:4]]
    edges = [np.zeros_like(real_ones[0]), real_ones[0] * 0 + 0.5, real_ones[0] * 5]
    windows = np.round(np.concatenate([*edges, *real_ones]), 3)
    called = {kind: run(windows) for kind, run in runs.items()}
    given, reference = next(iter(called.values())), real(windows)
    apart = np.max(
        [np.abs(given - other).max(1) for other in (*called.values(), reference)], axis=0
    )
    top = np.sort(given, axis=1)
    clear = np.flatnonzero((apart < GOLDEN_APART) & (top[:, -1] - top[:, -2] > 2 * GOLDEN_APART))
    rows = clear[:GOLDEN]
    np.savez_compressed(
        path,
        **{
            "input/0": windows[rows][:, None],
            "output/0": given[rows][:, None],
            "float/0": reference[rows][:, None],
        },
    )
    return {"cases": len(rows), "considered": len(windows), "edge_cases": int((rows < 3).sum())}


def _write(out: Path, name: str, files: Mapping[str, Path], report: Mapping[str, Any]) -> None:
    accuracy: dict[str, Any] = {
        "protocol": "patients apart; intervals and confusion in scores.json"
    }
    tables = {}
    for kind, figures in report["test"].items():
        cinc, twelve = figures["cinc2017"], figures["ptbxl"]
        accuracy[f"{kind}_cinc2017_rhythm_macro_f1"] = cinc["rhythm"]["macro_f1"][0]
        accuracy[f"{kind}_cinc2017_noise_auc"] = cinc["noise"]["auc"][0]
        accuracy[f"{kind}_ptbxl_findings_macro_auc"] = twelve["findings"]["macro_auc"][0]
        if kind in ("float32", next(iter(files))):
            tables[kind] = cinc["rhythm"]["confusion"]
    text = json.dumps(report, indent=1) + "\n"
    (out / "scores.json").write_text(text, encoding="utf-8")
    (out / "run.toml").write_text(contract.run_file(name), encoding="utf-8")
    text = contract.contract(name, list(files.values()), accuracy)
    (out / "model.toml").write_text(text, encoding="utf-8")
    title = f"{name}: rhythm of CinC 2017 test strips"
    (out / "confusion.svg").write_text(pictures.matrices(title, RHYTHMS, tables), encoding="utf-8")
    log = out / "training.json"
    if log.exists():
        facts = json.loads(log.read_text(encoding="utf-8"))
        drawn = pictures.curves(f"{name}: losses", facts["epochs"], facts["chosen_epoch"])
        (out / "training.svg").write_text(drawn, encoding="utf-8")
    print(f"wrote {out}")


def _versions() -> dict[str, str]:
    packages = ("keras", "tf2onnx", "onnx", "onnxruntime", "numpy")
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        **{name: version(name) for name in packages},
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(contract.SUMMARIES))
    parser.add_argument(
        "--build", type=Path, required=True, help="folder of the folders of train.py"
    )
    add_data(parser)
    parser.add_argument(
        "--skip", nargs="*", default=[], help="kinds to leave out: tflite_int8, ..."
    )
    parser.add_argument("--sparse", type=int, default=10, help="score every n-th window of mitdb")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
