"""Networks of several tasks: what each head reports, and contracts that cannot be right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters.data import Cases
from edge_runtime.converters.gate.answers import answers, same
from edge_runtime.converters.gate.measure import Run

from edge_runtime import manifest
from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.model import _reported
from edge_runtime.postprocess.heads import Heads
from edge_runtime.readout import HeadEntry
from edge_runtime.tables import parse_toml

FRAME = Frame(np.zeros((1, 1), np.float32), 1, 1, 0, "bed1")
TEXT = """\
name = "toy"
version = "1.0.0"
task = "classification"
[[file]]
path = "toy.tflite"
format = "tflite"
precision = "int8"
[[input]]
name = "0"
kind = "feature"
feature = "x"
[[output]]
name = "0"
meaning = "scores"
[[output]]
name = "quality"
meaning = "scores"
[postprocess]
kind = "heads"
[[head]]
name = "findings"
output = "0"
first = 3
labels = ["MI", "HYP"]
report = "all"
threshold = 0.5
[[head]]
name = "rhythm"
output = "0"
labels = ["sinus", "af", "other"]
report = "best"
activation = "softmax"
[[head]]
name = "noise"
output = "quality"
labels = ["noise"]
report = "all"
activation = "sigmoid"
threshold = 0.5
"""
SCORES = np.array([[1.0, 3.0, 1.0, 0.4, 0.9]], np.float32)
SPECS = (TensorSpec("scores", (1, 5), "float32"), TensorSpec("quality", (1, 1), "float32"))


def read(text: str = TEXT, tmp_path=None):
    return manifest.from_table(parse_toml(text, "model.toml"), tmp_path)


def said(scores, noise=0.0, text=TEXT, tmp_path=None):
    heads = Heads(read(text, tmp_path), SPECS)
    found = heads((np.asarray(scores), np.array([[noise]], np.float32)), FRAME, None)
    return [(label.head, label.index, label.label, label.score) for label in found.labels]


def test_each_head_reports_its_own_labels_in_the_order_of_the_manifest(tmp_path):
    best = float(np.exp(3.0) / (np.exp(3.0) + 2 * np.exp(1.0)))

    assert said(SCORES, -1.0, tmp_path=tmp_path) == [
        ("findings", 1, "HYP", pytest.approx(0.9)),
        ("rhythm", 1, "af", pytest.approx(best)),
    ]


def test_all_is_every_class_that_reaches_the_threshold_best_first(tmp_path):
    found = said([[9, 0, 0, np.float32(0.5), np.float32(0.9)]], 0.0, tmp_path=tmp_path)

    assert [one[:3] for one in found] == [
        ("findings", 1, "HYP"),
        ("findings", 0, "MI"),
        ("rhythm", 0, "sinus"),
        ("noise", 0, "noise"),  # sigmoid(0) is the threshold itself
    ]


def test_the_best_class_below_its_threshold_is_not_reported(tmp_path):
    text = TEXT.replace('report = "best"', 'report = "best"\nthreshold = 0.8')
    assert [one[0] for one in said(SCORES, -9.0, text, tmp_path)] == ["findings"]


def test_stored_scores_are_compared_as_real_ones(tmp_path):
    spec = TensorSpec("scores", (1, 1, 5), "int8", Quantisation((1 / 256,), (-128,)))
    scores = np.array([[[127, -128, -128, -1, 0]]], np.int8)

    heads = Heads(read(tmp_path=tmp_path), (spec, SPECS[1]))
    found = heads((scores, np.array([[-1]], np.float32)), FRAME, None).labels

    assert [(one.label, one.score) for one in found[:1]] == [("HYP", 0.5)]
    assert [one.label for one in found] == ["HYP", "sinus"]


def test_a_nan_in_any_head_is_a_bad_frame(tmp_path):
    with pytest.raises(FrameError, match="NaN: 'quality'"):
        said(SCORES, np.nan, tmp_path=tmp_path)


def test_labels_are_told_with_their_heads_and_announced_without(tmp_path):
    contract = read(tmp_path=tmp_path)

    assert contract.labels()[1:3] == ("findings: HYP", "rhythm: sinus")
    assert _reported(contract) == ("MI", "HYP", "sinus", "af", "other", "noise")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("first = 3", "first = 2", "23: [head] first: score 2 of output '0' is in two heads"),
        ("first = 3", "first = 4", "23: [head] first: score 3 of output '0' is in no head"),
        ("first = 3", "first = -1", "23: [head] first: -1 is below 0"),
        ('"sinus", "af"', '"af", "af"', "30: [head] labels: names one twice"),
        ('["noise"]', "[]", "36: [head] labels: name every class of the head"),
        ('"rhythm"', '"findings"', "[head] name: 'findings' stands twice"),
        ('"rhythm"', '" "', "28: [head] name: is empty"),
        ('output = "quality"', 'output = "1"', "35: [head] output: '1' is no [[output]] of"),
        ('output = "0"\nlabels', 'output = "quality"\nlabels', "is in two heads"),
        ('report = "best"', 'report = "one"', "'one' is not one of best, all"),
        ('report = "best"\n', "", "[head] report: is missing"),
        ('"heads"', '"heads"\ntop_k = 3', "20: [postprocess] top_k: belongs into each [[head]]"),
        ('"heads"', '"classification"', "19: [postprocess] kind: 'heads' and [[head]] go together"),
        ("[[head]]\n" + TEXT.split("[[head]]\n")[3], "", "16: [output] name: no [[head]] reads"),
        (TEXT[TEXT.index("[[head]]") :], "", "19: [postprocess] kind: 'heads' and [[head]] go"),
    ],
)
def test_heads_that_cannot_be_right_are_told_with_line_and_key(tmp_path, old, new, message):
    assert TEXT.count(old) == 1
    text = TEXT.replace(old, new)
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        read(text, tmp_path)
    assert str(caught.value).startswith("model.toml:")


@pytest.mark.parametrize("shape", [(1, 4), (1, 6), (5, 1, 5), (1,)])
def test_weights_with_a_score_in_no_head_are_refused_when_they_are_opened(tmp_path, shape):
    spec = TensorSpec("scores", shape, "float32")
    with pytest.raises(ConfigError, match="labels: 5 for output '0', which is"):
        Heads(read(tmp_path=tmp_path), (spec, SPECS[1]))


def test_an_output_of_open_size_is_held_against_the_labels_when_it_is_known(tmp_path):
    spec = TensorSpec("scores", (None, None), "float32")
    heads = Heads(read(tmp_path=tmp_path), (spec, SPECS[1]))
    noise = np.zeros((1, 1), np.float32)

    assert len(heads((SCORES, noise), FRAME, None).labels) == 3
    with pytest.raises(ConfigError, match=r"labels: 5 for output '0', which is \(1, 6\)"):
        heads((np.zeros((1, 6), np.float32), noise), FRAME, None)


def test_an_output_that_the_file_does_not_have_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="'quality' is not in the file"):
        Heads(read(tmp_path=tmp_path), SPECS[:1])


def test_a_head_ends_behind_its_last_score():
    assert HeadEntry("h", "0", ("a", "b"), "all", first=3).end == 5


def run(values, noise) -> Run:
    outputs = (np.asarray(values, np.float32), np.asarray(noise, np.float32))
    untimed = dict.fromkeys(("latency", "beside", "ratio"))
    sizes = dict.fromkeys(("size_bytes", "load_ms", "base_rss_mb", "peak_rss_mb"), 0)
    facts = {"runtime": "", "inputs": (), "outputs": SPECS, "batched": (True, True)}
    return Run(path=Path("toy"), values=outputs, **facts, **untimed, **sizes)


def test_two_files_agree_where_every_head_reports_the_same(tmp_path):
    cases = Cases("toy", {}, ("a", "b", "c", "d"))
    one = run(np.repeat(SCORES, 4, axis=0), [[-1.0]] * 4)
    other = run(np.repeat(SCORES, 4, axis=0), [[-1.0], [-1.0], [1.0], [np.nan]])
    other.values[0][0] *= 1.01  # nothing that is reported
    other.values[0][1, 3] = 0.6  # one finding more

    found = [
        answers(read(tmp_path=tmp_path), each, cases, ("0", "quality")) for each in (one, other)
    ]

    assert found[0].told[0] == {"findings: HYP", "rhythm: af"}
    assert same(*found, (one, other), cases).tolist() == [True, False, False, False]
