"""Training without a framework: order, checkpoints, teachers, refusals."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters import teacher
from edge_runtime.converters.data import read
from edge_runtime.converters.jobs import checkpoint, training
from edge_runtime.converters.jobs.job import Job, JobError
from edge_runtime.converters.optimise_bench import overlap
from edge_runtime.converters.optimise_wish import check, wish

from edge_runtime import manifest
from edge_runtime.errors import ConfigError
from tests.needs import ROOT

KEY = {"data": "1", "options": "a"}


class Regression:
    """A learner of its own: softmax regression by plain gradient descent."""

    def __init__(self):
        self.weights = np.zeros((2, 3))
        self.seeds, self.rates = [], []

    def begin(self, seed):
        self.seeds.append(seed)

    def step(self, inputs, answers, rate):
        self.rates.append(rate)
        scores = inputs[0] @ self.weights
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        wanted = np.eye(3)[answers.labels]
        self.weights = self.weights - rate * inputs[0].T @ (shares - wanted) / len(wanted)
        return float(-np.log((shares * wanted).sum(1)).mean())

    def state(self):
        return {"weights": self.weights}

    def restore(self, state):
        self.weights = state["weights"]


def cases_():
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 100)
    places = np.array([[0, 2], [2, -1], [-2, -1]])
    return [places[labels] + random.standard_normal((100, 2))], training.Answers(labels)


def job(folder, key=KEY):
    return Job(Path("net"), folder / "out", {"checkpoint": folder / "c", "key": key})


def settings(**more):
    return training.Settings(**{"epochs": 5, "batch": 32, "rate": 1.0, "seed": 4, **more})


def test_a_run_learns_and_its_rate_falls_to_zero_along_a_cosine(tmp_path):
    learner = Regression()
    losses = training.fit(job(tmp_path), learner, *cases_(), settings())

    assert losses[0] > 1.1 * losses[-1]
    assert len(learner.rates) == 5 * 4  # 100 cases: three batches of 32 and one of 4
    assert learner.rates == sorted(learner.rates, reverse=True)
    assert (learner.rates[0], learner.rates[10]) == (1.0, pytest.approx(0.5))
    assert learner.rates[-1] < 0.01
    assert len(set(learner.seeds)) == 5


def test_a_run_goes_on_where_its_checkpoint_stands(tmp_path):
    whole, first, second = Regression(), Regression(), Regression()
    (tmp_path / "whole").mkdir()
    losses = training.fit(job(tmp_path / "whole"), whole, *cases_(), settings())

    def stop(self, inputs, answers, rate):
        if len(self.seeds) == 3:
            raise KeyboardInterrupt
        return Regression.step(self, inputs, answers, rate)

    first.step = stop.__get__(first)
    with pytest.raises(KeyboardInterrupt):
        training.fit(job(tmp_path), first, *cases_(), settings())
    assert training.fit(job(tmp_path), second, *cases_(), settings()) == losses

    assert len(second.seeds) == 3  # two epochs of five were done
    np.testing.assert_array_equal(second.weights, whole.weights)


def test_another_seed_takes_another_order(tmp_path):
    learners = [Regression(), Regression()]
    for seed, learner in enumerate(learners):
        (tmp_path / str(seed)).mkdir()
        training.fit(job(tmp_path / str(seed)), learner, *cases_(), settings(seed=seed))

    assert not np.array_equal(learners[0].weights, learners[1].weights)


def test_a_last_batch_of_one_case_is_left_out(tmp_path):
    learner = Regression()
    inputs, right = cases_()
    training.fit(
        job(tmp_path), learner, [inputs[0][:65]], training.Answers(right.labels[:65]), settings()
    )

    assert len(learner.rates) == 5 * 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: x * np.nan, r"net: the loss is nan in epoch 1 of 5: .*--rate 0.1"),
        (lambda x: x * 1e308, r"net: (a weight|the loss) is .*--rate 0.1"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_number_ends_a_run_without_a_checkpoint(tmp_path, spoil, said):
    inputs, right = cases_()
    with pytest.raises(JobError, match=said):
        training.fit(job(tmp_path), Regression(), [spoil(inputs[0])], right, settings())
    assert list(tmp_path.iterdir()) == []


# Checkpoints


def test_a_checkpoint_of_other_data_or_options_is_named_and_kept(tmp_path):
    checkpoint.write(tmp_path / "c", checkpoint.Checkpoint(KEY, [0.5], {"w": np.ones(2)}))

    with pytest.raises(JobError, match=r"c: is of a run with another options: .* delete it"):
        checkpoint.read(tmp_path / "c", {**KEY, "options": "b"})
    found = checkpoint.read(tmp_path / "c", KEY)
    assert (found.losses, found.state["w"].tolist()) == ([0.5], [1, 1])


@pytest.mark.parametrize("keep", [0, 30, 200])
def test_a_damaged_checkpoint_is_named(tmp_path, keep):
    path = tmp_path / "c"
    checkpoint.write(path, checkpoint.Checkpoint(KEY, [0.5], {"w": np.ones(200)}))
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(JobError, match="c: not a checkpoint, or a damaged one: delete it"):
        checkpoint.read(path, KEY)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "c"
    before = checkpoint.Checkpoint(KEY, [0.5], {"w": np.ones(10)})
    checkpoint.write(path, before)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(JobError, match="c: cannot be written: File too large"):
            checkpoint.write(path, checkpoint.Checkpoint(KEY, [0.5], {"w": np.ones(9000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert [one.name for one in tmp_path.iterdir()] == ["c"]
    assert checkpoint.read(path, KEY).state["w"].shape == (10,)


# Scores and teachers


def test_probabilities_are_told_from_logits():
    rows = np.array([[0.2, 0.8], [1.0, 0.0]])

    assert training.are_probabilities(rows)
    assert not training.are_probabilities(rows + 0.1)
    assert not training.are_probabilities(np.array([[1.5, -0.5]]))


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (np.zeros((4, 1)), "each of two or more classes"),
        (np.zeros((4, 3, 2)), "each of two or more classes"),
        (np.zeros((4, 2)), "gives 2 scores, and a label is 2"),
    ],
)
def test_outputs_that_are_no_scores_of_classes_are_refused(scores, said):
    with pytest.raises(JobError, match=said):
        training.check_scores(scores, cases_()[1], Path("net"))


def test_logits_and_their_probabilities_are_the_same_teacher():
    logits = np.array([[2.0, 0.0, -1.0], [100.0, 3.0, 0.0]])
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)

    one, other = teacher.log_probabilities(logits), teacher.log_probabilities(shares)
    np.testing.assert_allclose(one[0], other[0], atol=1e-6)
    np.testing.assert_allclose(np.exp(one).sum(1), 1, atol=1e-6)


def test_any_model_file_can_teach(data):
    from tests.runtimes import need_runtime

    need_runtime("tflite")
    file = data / "models/resnet8-cifar10/resnet8_float.tflite"
    resnet8 = manifest.read(ROOT / "examples/contracts/resnet8.toml")
    cases = read(str(data / "images/cifar10"), resnet8, limit=8, balanced=True, seed=3)
    contract = teacher.contracts.read(ROOT / "examples/contracts/resnet8.toml")
    one = teacher.find(str(file), None, contract, trust=False, timeout_s=60)

    said = teacher.ask(one, cases, None, lambda *_: None)

    assert said.shape == (8, 10)
    assert np.mean(said.argmax(1) == cases.labels) > 0.6
    assert len(one.digest) == 64


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"scores": np.zeros((2, 3))}, "no array 'logits' or 'probabilities'"),
        ({"logits": np.zeros((3, 3))}, r"says \(3, 3\) for 2 cases"),
        ({"logits": np.full((2, 3), np.nan)}, "gives NaN or infinity"),
        (None, "not readable as an .npz"),
    ],
)
def test_an_npz_that_is_no_teacher_is_refused(tmp_path, arrays, said):
    (tmp_path / "t.npz").write_bytes(b"PK no zip")
    if arrays:
        np.savez(tmp_path / "t.npz", **arrays)
    one = teacher.find(str(tmp_path / "t.npz"), None, None, trust=False, timeout_s=1)

    with pytest.raises(ConfigError, match=said):
        teacher.ask(one, range(2), None, lambda *_: None)


# Options


def asked(tmp_path, model, out, *, contract="resnet8.toml", verb="prune", **special):
    given = {
        "model": model, "out": tmp_path / out, "contract": ROOT / "examples/contracts" / contract,
        "weights": None, "train": "t", "evaluate": "e", "train_cases": None, "steps": None,
        "epochs": 1, "batch_size": 32, "rate": 0.1, "seed": 0, "threads": 1, "target": None,
        "max_drop": None, "trust": False, "timeout_s": 1.0,
    }  # fmt: skip
    return wish(verb, special, **given)


def test_a_file_without_layers_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"any")
    with pytest.raises(
        ConfigError, match="onnx has no layers that can be trained: give the .keras"
    ):
        check(asked(tmp_path, str(tmp_path / "net.onnx"), "out.onnx"))


@pytest.mark.parametrize(
    ("model", "out", "contract", "said"),
    [
        ("net.keras", "out.pt2", "resnet8.toml", "is written as .keras"),
        ("net.pt2", "out.pt", "resnet8.toml", "weights alone would not say"),
        ("net.keras", "out.keras", "ssd-mobilenet-v1.toml", "tell one class of several"),
        ("net.keras", "no/out.keras", "resnet8.toml", "there is no such folder"),
    ],
)
def test_wishes_that_cannot_be_are_refused(tmp_path, model, out, contract, said):
    (tmp_path / model).write_bytes(b"any")
    with pytest.raises(ConfigError, match=said):
        check(asked(tmp_path, str(tmp_path / model), out, contract=contract))


def test_a_student_may_start_as_it_is_built_and_nothing_else_may(tmp_path):
    assert asked(tmp_path, "nets:build", "o.pt2", verb="distil").special["untrained"]
    with pytest.raises(ConfigError, match="needs --weights"):
        asked(tmp_path, "nets:build", "o.pt2")


def test_the_verbs_say_what_they_do():
    for verb, said in (("prune", "--structured"), ("distil", "--teacher"), ("tune", "--calibrate")):
        code = f"from edge_runtime.converters.cli_optimise import {verb}; {verb}(['--help'])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0
        assert said in done.stdout
        assert f"edge-convert {verb}" in done.stdout


def test_cases_that_are_trained_and_judged_on_are_counted(data):
    resnet8 = manifest.read(ROOT / "examples/contracts/resnet8.toml")
    every = read(str(data / "images/cifar10"), resnet8, limit=12)

    assert overlap(every.part(range(8)), every.part(range(5, 12))) == 3
