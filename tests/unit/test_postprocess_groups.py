"""Classes reported as groups: sums, names, thresholds, and files that cannot be right."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.manifest import (
    FileEntry,
    InputEntry,
    Manifest,
    OutputEntry,
    PostprocessEntry,
)
from edge_runtime.postprocess.classification import Classification

FRAME = Frame(np.zeros((1, 1), np.float32), 1, 1, 0, "bed1")


@pytest.fixture
def classify(tmp_path):
    def run(scores, groups, spec=None, **rules):
        (tmp_path / "groups.txt").write_text(groups)
        contract = Manifest(
            name="toy",
            version="1.0.0",
            task="classification",
            file=(FileEntry("toy.tflite", "tflite", "int8"),),
            input=(InputEntry("0", "feature", feature="x"),),
            output=(OutputEntry("0", "scores"),),
            postprocess=PostprocessEntry("classification", groups="groups.txt", **rules),
            directory=tmp_path,
        )
        scores = np.asarray(scores)
        spec = spec or TensorSpec("scores", scores.shape, scores.dtype.name)
        labels = Classification(contract, (spec,))((scores,), FRAME, None).labels
        return [(label.index, label.label, pytest.approx(label.score)) for label in labels]

    return run


SCORES = np.array([[0.1, 0.3, 0.35, 0.05, 0.2]], np.float32)


def test_scores_of_a_group_are_summed_and_classes_of_none_are_left_out(classify):
    found = classify(SCORES, "\ncat\ndog\ncat\ncat\n")

    assert found == [(0, "cat", 0.55), (1, "dog", 0.35)]


def test_classes_may_be_numbered_and_the_rest_are_in_no_group(classify):
    assert classify(SCORES, "2 dog\n4 cat\n") == [(0, "dog", 0.35), (1, "cat", 0.2)]


def test_threshold_and_top_k_are_those_of_the_sums(classify):
    assert classify(SCORES, "0 a\n1 a\n2 b\n3 c\n", threshold=0.36) == [(0, "a", 0.4)]
    assert classify(SCORES, "0 a\n1 a\n2 b\n3 c\n", top_k=1) == [(0, "a", 0.4)]
    assert classify(SCORES, "0 a\n1 a\n2 b\n3 c\n", threshold=0.5) == []


def test_stored_scores_are_summed_as_real_ones(classify):
    spec = TensorSpec("scores", (1, 3), "int8", Quantisation((1 / 256,), (-128,)))

    found = classify(np.array([[-64, 0, -127]], np.int8), "0 a\n1 a\n2 b\n", spec)

    assert found == [(0, "a", 0.75), (1, "b", 1 / 256)]


def test_lines_are_those_of_the_labels_where_the_index_has_an_offset(classify):
    assert classify(SCORES, "3 dog\n", class_offset=1) == [(0, "dog", 0.35)]


def test_a_nan_is_a_bad_frame(classify):
    with pytest.raises(FrameError, match="NaN"):
        classify(np.array([[np.nan, 0.1]], np.float32), "1 a\n")


@pytest.mark.parametrize(
    ("groups", "offset", "said"),
    [
        ("", 0, r"\[postprocess\] groups: groups.txt names no group"),
        ("5 dog\n", 0, "goes beyond the 5 classes"),
        ("0 dog\n", 1, "goes beyond the 5 classes"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(classify, groups, offset, said):
    with pytest.raises(ConfigError, match=said):
        classify(SCORES, groups, class_offset=offset)
