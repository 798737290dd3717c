"""Networks pruned, taught and tuned for INT8: real training, on data that can be learnt."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters import child, environment, optimise
from edge_runtime.converters.errors import GateError
from edge_runtime.converters.optimise_wish import wish

from edge_runtime.errors import ConfigError
from tests.families import python_of

HERE = Path(__file__).parent
EPOCHS, RIGHT = 3, 0.8
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONWARNINGS": "ignore"}
CONTRACT = """
name = "net"
version = "1.0.0"
task = "classification"

[[input]]
name = "image"
kind = "image"
shape = [1, 3, 8, 8]
layout = "NCHW"
colour = "rgb"
resize = "stretch"
mean = [0.0]
std = [1.0]

[[output]]
name = "0"
meaning = "scores"

[postprocess]
kind = "classification"
activation = "softmax"
labels = "labels.txt"
"""
# name: factory or file, job, options. Every one is trained with the same data and seed.
TORCH = {
    "masked": ("Chain", "prune", {"share": 0.75}),
    "again": ("Chain", "prune", {"share": 0.75}),
    "other seed": ("Chain", "prune", {"share": 0.75, "seed": 8}),
    "channels": ("Chain", "prune", {"share": 0.5, "structured": True, "form": "pt2"}),
    "joined": ("Residual", "prune", {"share": 0.5, "structured": True, "form": "pt2"}),
    "dead": ("dead", "prune", {"structured": True, "form": "pt2", "epochs": 0}),
    "nothing": ("Chain", "prune", {"share": 0.01, "structured": True, "form": "pt2"}),
    "alone": ("Chain", "fit", {}),
    "taught": ("Chain", "fit", {"temperature": 2.0, "weight": 1.0, "teacher": True, "epochs": 9}),
    "tuned": ("Chain", "tune", {}),
    "tuned program": ("Residual.pt2", "tune", {"form": "pt2"}),
    "diverges": ("Residual", "fit", {"rate": 1e30}),
    "other classes": ("Chain", "fit", {"weight": 1.0, "teacher": 5}),
    "one score": ("Scalar", "fit", {}),
    "no module": ("Residual.pt2", "prune", {}),
}
KERAS = {
    "masked": ("chain.keras", "prune", {"share": 0.75}),
    "again": ("chain.keras", "prune", {"share": 0.75}),
    "channels": ("chain.keras", "prune", {"share": 0.5, "structured": True}),
    "dead": ("dead.keras", "prune", {"structured": True, "epochs": 0}),
    "joined": ("residual.keras", "prune", {"structured": True}),
    "taught": (
        "chain.keras",
        "fit",
        {"temperature": 2.0, "weight": 1.0, "teacher": True, "epochs": 9},
    ),
    "tuned": ("residual.keras", "tune", {}),
    "diverges": ("residual.keras", "fit", {"rate": 1e30}),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
            patch.setenv(f"{name}_THREADS" if name != "OMP" else "OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield


def cases(count, seed):
    """Four classes: which quarter of a noisy picture is lighter. (count, 3, 8, 8), (count,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = random.standard_normal((count, 3, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[:, row : row + 4, column : column + 4] += 0.4
    return images, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data for both layouts, as the parent writes them for a job and as a user gives them."""
    made = tmp_path_factory.mktemp("optimise")
    for name, count, seed in (("train", 512, 1), ("held", 200, 2)):
        images, labels = cases(count, seed)
        np.savez(made / f"{name}.npz", image=images, labels=labels)
        np.savez(made / f"{name}-nchw.npz", image=images)
        np.savez(made / f"{name}-nhwc.npz", image=images.transpose(0, 2, 3, 1))
    labels = cases(512, 1)[1]
    np.savez(made / "answers.npz", labels=labels)
    wrong = (labels + 1) % 4  # a teacher that calls every class by the next one's name
    np.savez(made / "teacher.npz", labels=labels, teacher=np.log(np.eye(4)[wrong] * 0.9 + 0.025))
    np.savez(made / "five.npz", labels=labels, teacher=np.zeros((512, 5)))
    (made / "net.toml").write_text(CONTRACT)
    (made / "labels.txt").write_text("a\nb\nc\nd\n")
    return made


def job(folder, family, name, given):
    source, module, options = given
    layout = "nchw" if family == "torch" else "nhwc"
    out = folder / f"{family}-{name}".replace(" ", "-")
    taught = {True: "teacher.npz", 5: "five.npz"}.get(options.get("teacher"), "answers.npz")
    factory = "" if "." in source else f"training_nets:{source if source != 'dead' else 'Chain'}"
    told = {
        "epochs": EPOCHS, "batch_size": 32, "rate": 5e-3, "seed": 7, "share": 0.5, "form": "pt",
        **options,
        "factory": factory, "path": str(HERE),
        "train": str(folder / f"train-{layout}.npz"), "answers": str(folder / taught),
        "evaluate": str(folder / f"held-{layout}.npz"), "untuned": f"{out}.untuned.npz",
        "checkpoint": f"{out}.checkpoint", "key": {"data": "1"},
    }  # fmt: skip
    return f"{family}.{module}", {
        "source": str(folder / (f"{source}.pt" if factory else source)),
        "out": f"{out}.{told['form'] if family == 'torch' else 'keras'}",
        "options": told,
        "cases": str(folder / f"held-{layout}.npz"),
    }


def run_all(folder, family, asked):
    """Every job, then what each file predicts: {name: (answer, predictions or None)}."""
    python = python_of(family)
    command = [python, "-W", "ignore", HERE / "training_nets.py", family, folder]
    subprocess.run(command, check=True, env={**os.environ, **QUIET}, stderr=subprocess.DEVNULL)
    jobs = {name: job(folder, family, name, given) for name, given in asked.items()}
    predicts = {}
    for name, (_, told) in jobs.items():
        options = {key: told["options"][key] for key in ("factory", "path")}
        if told["out"].endswith("pt2"):
            options = {}
        predict = {**told, "source": told["out"], "out": told["out"] + ".npz", "options": options}
        predicts[name] = (f"{family}.predict", predict)
    source = jobs["dead"][1]
    before = {**source, "out": str(folder / "before.npz")}
    listed = [*jobs.values(), *predicts.values(), (f"{family}.predict", before)]
    done = subprocess.run(
        [python, HERE / "many_jobs.py"],
        input=json.dumps(listed), capture_output=True, text=True, env={**os.environ, **QUIET},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout)
    found = {}
    for name, answer in zip(jobs, answers, strict=False):
        path = Path(predicts[name][1]["out"])
        found[name] = (answer, only(path) if path.exists() else None)
    found["before"] = ({}, only(folder / "before.npz"))
    return found


def only(path):
    with np.load(path) as file:
        return file[file.files[0]]


def state(folder, name):
    with np.load(folder / f"{name}.checkpoint") as file:
        return {key: file[key] for key in file.files if key != "about"}


def right(scores):
    return float(np.mean(scores.argmax(1) == cases(200, 2)[1]))


@pytest.fixture(scope="module")
def torch(folder, one_thread):
    return run_all(folder, "torch", TORCH)


@pytest.fixture(scope="module")
def keras(folder, one_thread):
    return run_all(folder, "keras", KERAS)


@pytest.fixture(params=["torch", "keras"])
def family(request):
    return request.param


@pytest.fixture
def done(family, request):
    return request.getfixturevalue(family)


# Pruning


def test_three_quarters_of_the_weights_become_zero_and_stay_so_in_training(done):
    answer, scores = done["masked"]
    facts = answer["facts"]

    total = sum(layer["before"] for layer in facts["layers"])
    assert facts["zeros"] == round(0.75 * total)
    assert facts["parameters"]["before"] == facts["parameters"]["after"] > total
    assert right(scores) > RIGHT


def test_half_of_the_channels_leave_a_smaller_network_that_learns_again(done):
    answer, scores = done["channels"]
    facts = answer["facts"]

    assert facts["parameters"]["after"] < 0.5 * facts["parameters"]["before"]
    before, after = (
        sorted(layer[key][0] for layer in facts["layers"]) for key in ("before", "after")
    )
    assert before != after
    assert right(scores) > RIGHT


def test_channels_that_did_nothing_are_the_ones_taken_out(done):
    facts = done["dead"][0]["facts"]

    assert facts["parameters"]["after"] < facts["parameters"]["before"]
    np.testing.assert_allclose(done["dead"][1], done["before"][1], atol=1e-5)


def test_what_was_pruned_is_shown_before_it_was_trained(done, folder, family):
    untuned = only(folder / f"{family}-channels.untuned.npz")

    assert untuned.shape == (200, 4)
    assert right(untuned) < right(done["channels"][1])


def test_branches_that_join_lose_the_same_channels_in_torch(torch):
    answer, scores = torch["joined"]

    shapes = {layer["layer"]: layer["after"] for layer in answer["facts"]["layers"]}
    assert shapes == {"stem": [8, 3, 3, 3], "inner": [8, 8, 3, 3], "head": [4, 128]}
    assert right(scores) > 0.5
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-5)


def test_branches_that_join_are_refused_in_keras_by_the_layers_name(keras):
    assert "layer 'join' (Add) is none of a chain" in keras["joined"][0]["error"]
    assert "without --structured" in keras["joined"][0]["error"]


def test_a_share_that_takes_no_channel_is_refused(torch):
    assert "no layer has a channel to spare at --share 0.01" in torch["nothing"][0]["error"]


# Training


def test_the_same_seed_gives_the_same_weights_to_the_last_bit(done, folder, family):
    first, second = (state(folder, f"{family}-{name}") for name in ("masked", "again"))

    assert done["masked"][0]["facts"]["training"] == done["again"][0]["facts"]["training"]
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_another_seed_gives_other_weights(torch, folder):
    first, second = (state(folder, f"torch-{name}") for name in ("masked", "other-seed"))

    assert any(not np.array_equal(first[key], second[key]) for key in first)


def test_a_student_believes_its_teacher_against_the_labels(done):
    scores = done["taught"][1]

    assert right(np.roll(scores, 1, axis=1)) < 0.2
    assert right(np.roll(scores, -1, axis=1)) > RIGHT


def test_a_network_tuned_for_int8_is_an_ordinary_float_network(torch, keras, folder):
    for answer, scores in (torch["tuned"], torch["tuned program"], keras["tuned"]):
        assert len(answer["facts"]["training"]["losses"]) == EPOCHS
        assert right(scores) > 0.5
    assert torch["tuned"][0]["facts"]["tuned"] == [
        "deep.weight", "first.weight", "head.weight", "wide.weight",
    ]  # fmt: skip


def test_a_loss_that_is_no_number_ends_it_and_leaves_nothing(done, folder, family):
    error = done["diverges"][0]["error"]

    assert "NaN or infinite" in error or "the loss is nan" in error
    assert "--rate 1e+29" in error
    left = [path.name for path in folder.iterdir() if path.name.startswith(f"{family}-diverges")]
    assert [name for name in left if not name.endswith("untuned.npz")] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other classes", "gives 4 scores, and the teacher 5"),
        ("one score", "a score for each of two or more classes"),
        ("no module", "(module:callable) and its --weights"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(torch, name, said):
    assert said in torch[name][0]["error"]


def test_a_run_that_is_broken_off_goes_on_to_the_same_weights(torch, folder):
    module, told = job(folder, "torch", "broken", ("Chain", "prune", {"share": 0.75, "epochs": 40}))
    checkpoint = Path(told["options"]["checkpoint"])
    python = python_of("torch")

    def interrupt(*_):
        if checkpoint.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        child.run(python, module, told, on_progress=interrupt)
    with np.load(checkpoint) as file:
        done = len(json.loads(str(file["about"]))["losses"])
    assert 0 < done < 40
    assert not Path(told["out"]).exists()
    _, whole = job(folder, "torch", "whole", ("Chain", "prune", {"share": 0.75, "epochs": 40}))
    other = {**told, "options": {**told["options"], "key": {"data": "2"}}}
    said = subprocess.run(
        [python, HERE / "many_jobs.py"],
        input=json.dumps([(module, other), (module, told), (module, whole)]),
        capture_output=True, text=True, env={**os.environ, **QUIET}, check=True,
    )  # fmt: skip
    refused, went_on, at_once = json.loads(said.stdout)

    assert "is of a run with another data" in refused["error"]
    assert went_on["facts"]["training"] == at_once["facts"]["training"]
    first, second = state(folder, "torch-broken"), state(folder, "torch-whole")
    assert all(np.array_equal(first[key], second[key]) for key in first)


# The whole way


def wanted(folder, verb, special, **more):
    given = {
        "model": "training_nets:Chain", "out": folder / "result.pt2",
        "contract": folder / "net.toml", "weights": folder / "Chain.pt",
        "train": str(folder / "train.npz"), "evaluate": str(folder / "held.npz"),
        "train_cases": None, "steps": None, "epochs": EPOCHS, "batch_size": 32, "rate": 5e-3,
        "seed": 7, "threads": 1, "target": None, "max_drop": None, "trust": False,
        "timeout_s": 240.0, **more,
    }  # fmt: skip
    return wish(verb, special, **given)


def test_a_student_is_taught_by_an_npz_and_measured_beside_itself_alone(
    torch, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(HERE)
    for family in ("torch", "convert"):
        python_of(family)
    labels = cases(512, 1)[1]
    np.savez(tmp_path / "teacher.npz", logits=9 * np.eye(4)[(labels + 1) % 4])
    out = tmp_path / "student.pt2"
    taught = (str(tmp_path / "teacher.npz"), None, None)
    told = []
    found = optimise.optimise(
        wanted(folder, "distil", {"temperature": 2.0, "weight": 1.0}, out=out, taught=taught,
               weights=None),
        lambda *progress: told.append(progress),
    )  # fmt: skip

    assert found.before.value > RIGHT  # alone
    assert found.after.value < 0.2  # for its teacher is wrong
    assert found.before.method == "Wilson"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "student.pt2", "student.pt2.json", "teacher.npz",
    ]  # fmt: skip
    facts = json.loads((tmp_path / "student.pt2.json").read_text())
    assert len(facts["training"]["losses"]) == len(facts["alone"]["losses"]) == EPOCHS
    assert "alone" in found.text()
    assert any("epoch" in what for _, _, what in told)


def test_int8_loses_on_uneven_channels_and_less_after_training_for_it(
    torch, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(HERE)
    out = tmp_path / "tuned.pt"
    found = optimise.optimise(
        wanted(
            folder, "tune", {}, out=out, weights=folder / "uneven.pt", target="onnx:int8", epochs=4
        ),
        lambda *_: None,
    )

    source = found.floats[0].value
    assert source - found.before.value > 0.03
    assert found.after.value - found.before.value > 0.02
    assert found.runs[1].size_bytes == pytest.approx(found.runs[0].size_bytes, rel=0.02)


def test_zeros_are_no_gain_and_too_much_lost_writes_nothing(torch, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(HERE)
    out = tmp_path / "masked.pt"
    options = {"share": 0.5, "structured": False}
    found = optimise.optimise(wanted(folder, "prune", options, out=out, epochs=2), lambda *_: None)

    assert "no gain on this kernel" in found.text()
    assert "it stores zeros" in found.text()
    one, other = found.runs
    assert other.size_bytes == pytest.approx(one.size_bytes, rel=0.02)
    assert found.zipped[1] < 0.8 * found.zipped[0]
    assert found.after.value > RIGHT
    assert out.exists()

    out.unlink()
    Path(f"{out}.json").unlink()
    worse = wanted(folder, "prune", {"share": 0.97, "structured": False}, out=out, epochs=0,
                   max_drop=0.5)  # fmt: skip
    with pytest.raises(GateError, match="at most 0.5 may be lost; nothing was written"):
        optimise.optimise(worse, lambda *_: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"out": Path("net.onnx")}, "is written as .pt2 or .pt"),
        ({"model": "net.tflite"}, "there is no such file"),
        ({"out": Path("no/such/net.pt2")}, "there is no such folder"),
        ({"target": "onnx:int4"}, "does not exist"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(folder, more, said):
    with pytest.raises(ConfigError, match=said):
        optimise.optimise(wanted(folder, "prune", {"structured": True}, **more), lambda *_: None)


def test_a_missing_framework_is_named_with_its_extra(folder, monkeypatch):
    monkeypatch.setattr(environment, "find", lambda family: None)

    with pytest.raises(ConfigError, match=r"edge-runtime\[convert-torch\]"):
        optimise.optimise(wanted(folder, "prune", {"share": 0.5}), lambda *_: None)
