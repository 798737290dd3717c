"""Scores to labels and beats: order, ties, thresholds, names, NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import BeatMark, Frame
from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.manifest import (
    FileEntry,
    InputEntry,
    Manifest,
    OutputEntry,
    PostprocessEntry,
    QuantisationEntry,
)
from edge_runtime.postprocess.beats import Beats
from edge_runtime.postprocess.classification import Classification
from edge_runtime.postprocess.tensors import Tensors

UINT8 = Quantisation((1 / 256,), (0,))
INT8 = Quantisation((1 / 256,), (-128,))
FRAME = Frame(np.zeros((1, 1), np.float32), 1, 1, 0, "bed1")


SCORES = (OutputEntry("0", "scores"),)


def manifest_of(rules, outputs=SCORES, directory=None):
    given = {"directory": directory} if directory else {}
    return Manifest(
        name="toy",
        version="1.0.0",
        task="classification",
        file=(FileEntry("toy.tflite", "tflite", "int8"),),
        input=(InputEntry("0", "feature", feature="x"),),
        output=outputs,
        postprocess=rules,
        **given,
    )


def classify(scores, spec=None, **rules):
    scores = np.asarray(scores)
    spec = spec or TensorSpec("scores", scores.shape, scores.dtype.name)
    made = Classification(manifest_of(PostprocessEntry("classification", **rules)), (spec,))
    return made((scores,), FRAME, None).labels


def spec_of(size, dtype, quantisation):
    return TensorSpec("scores", (1, size), dtype, quantisation)


def test_the_best_come_first_and_no_more_than_top_k():
    labels = classify(np.array([[0.1, 0.6, 0.3]], np.float32), top_k=2)

    assert [(label.index, label.label) for label in labels] == [(1, "1"), (2, "2")]
    assert [label.score for label in labels] == pytest.approx([0.6, 0.3])


def test_stored_scores_are_made_real_whatever_their_sign():
    assert classify(np.array([[-128, 127, 0]], np.int8), spec_of(3, "int8", INT8), top_k=3)[
        0
    ].score == pytest.approx(255 / 256)
    found = classify(np.array([[0, 255, 128]], np.uint8), spec_of(3, "uint8", UINT8), top_k=3)
    assert [label.score for label in found] == pytest.approx([255 / 256, 0.5, 0.0])


@given(
    scores=st.lists(st.integers(-128, 127), min_size=1, max_size=200),
    top_k=st.integers(1, 12),
)
def test_the_order_is_that_of_a_full_stable_sort(scores, top_k):
    stored = np.array([scores], np.int8)

    found = classify(stored, spec_of(len(scores), "int8", INT8), top_k=top_k)

    expected = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[:top_k]
    assert [label.index for label in found] == expected


def test_a_softmax_adds_up_to_one_and_never_overflows():
    labels = classify(np.array([[1000.0, 1000.0, -1000.0]], np.float32), activation="softmax")

    assert [label.score for label in labels] == pytest.approx([0.5, 0.5, 0.0])


def test_a_sigmoid_of_large_numbers_is_nought_or_one():
    labels = classify(np.array([[-1e30, 1e30, 0.0]], np.float32), activation="sigmoid")

    assert [(label.index, label.score) for label in labels] == [
        (1, 1.0),
        (2, 0.5),
        (0, pytest.approx(0)),
    ]


def test_scores_below_the_threshold_are_left_out():
    assert [
        label.index for label in classify(np.array([0.5, 0.4, 0.1], np.float32), threshold=0.4)
    ] == [0, 1]
    assert classify(np.array([0.3], np.float32), threshold=0.4) == ()


def test_the_background_is_never_reported():
    labels = classify(np.array([0.9, 0.1, 0.0], np.float32), background=True, top_k=3)

    assert [label.index for label in labels] == [1, 2]


def test_labels_are_by_index_with_its_offset_and_a_number_where_there_is_none(tmp_path):
    (tmp_path / "names.txt").write_text("nothing\ncat\ndog\n")
    rules = PostprocessEntry("classification", labels="names.txt", class_offset=1)
    made = Classification(
        manifest_of(rules, directory=tmp_path), (TensorSpec("s", (1, 3), "float32"),)
    )

    labels = made((np.array([[0.5, 0.3, 0.2]], np.float32),), FRAME, None).labels

    assert [(label.index, label.label) for label in labels] == [(1, "cat"), (2, "dog"), (3, "3")]


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_a_nan_is_a_bad_frame_and_not_a_label(activation):
    with pytest.raises(FrameError, match="NaN: 'scores'"):
        classify(np.array([0.1, np.nan], np.float32), activation=activation)


@pytest.mark.parametrize(
    ("outputs", "rules", "said"),
    [
        ((), {}, "needs an output with meaning = 'scores'; the file has 0 'probabilities'"),
        ((OutputEntry("nope", "scores"),), {}, "name: 'nope' is not in the file"),
        ((OutputEntry("0", "scores"), OutputEntry("0", "scores")), {}, "'scores' stands twice"),
        ((OutputEntry("0", "scores"),), {"top_k": 0}, "top_k"),
        (
            (OutputEntry("0", "scores", QuantisationEntry(0.5, 1)),),
            {},
            "quantisation: the file says",
        ),
    ],
)
def test_a_manifest_that_cannot_be_right_is_refused_by_key(outputs, rules, said):
    spec = TensorSpec("probabilities", (1, 3), "uint8", UINT8)

    with pytest.raises(ConfigError, match=said):
        Classification(manifest_of(PostprocessEntry("classification", **rules), outputs), (spec,))


def test_the_manifest_may_say_the_quantisation_that_the_file_does_not():
    entry = OutputEntry("0", "scores", QuantisationEntry(scale=0.01, zero_point=0))
    made = Classification(
        manifest_of(PostprocessEntry("classification"), (entry,)),
        (TensorSpec("s", (1, 2), "uint8"),),
    )

    assert made((np.array([[25, 75]], np.uint8),), FRAME, None).labels[0].score == pytest.approx(
        0.75
    )


MARK = BeatMark(timestamp_ns=123, rr_s=0.8, rate_bpm=75.0)


def beat_of(scores, spec=None, frame=None, **rules):
    scores = np.asarray(scores)
    spec = spec or TensorSpec("scores", scores.shape, scores.dtype.name)
    made = Beats(manifest_of(PostprocessEntry("beats", **rules)), (spec,))
    frame = frame or Frame(np.zeros((1, 1), np.float32), 1, 1, 0, "bed1", beat=MARK)
    (beat,) = made((scores,), frame, None).beats
    return beat


def test_a_beat_has_its_class_and_the_time_of_its_peak():
    beat = beat_of(np.array([[0.1, 0.7, 0.2]], np.float32))

    assert (beat.index, beat.label) == (1, "1")
    assert beat.score == pytest.approx(0.7)
    assert (beat.timestamp_ns, beat.rr_s, beat.rate_bpm) == (123, 0.8, 75.0)


def test_a_bias_moves_the_choice_and_the_scores_still_add_up():
    scores = np.array([[0.6, 0.4]], np.float32)

    beat = beat_of(scores, class_bias=(0.0, float(np.log(3))))

    assert beat.index == 1
    assert beat.score == pytest.approx(1.2 / 1.8)


def test_a_stored_zero_is_not_beyond_the_reach_of_a_bias():
    spec = spec_of(2, "int8", INT8)

    beat = beat_of(np.array([[127, -128]], np.int8), spec, class_bias=(0.0, 10.0))

    assert beat.index == 1


def test_a_beat_below_the_threshold_is_unsure_and_keeps_its_index():
    beat = beat_of(np.array([0.4, 0.6], np.float32), threshold=0.7, unsure="Q")

    assert (beat.index, beat.label) == (1, "Q")
    assert beat.score == pytest.approx(0.6)


def test_a_frame_without_a_beat_says_which_step_is_missing():
    with pytest.raises(FrameError, match=r"bed1: .*add the step 'beats'"):
        beat_of(np.array([1.0], np.float32), frame=FRAME)


def test_a_nan_makes_no_beat():
    with pytest.raises(FrameError, match="NaN"):
        beat_of(np.array([0.1, np.nan], np.float32))


@pytest.mark.parametrize(
    ("rules", "said"),
    [({"threshold": 0.5}, "unsure"), ({"class_bias": (0.0, 1.0, 2.0)}, "class_bias: 3 numbers")],
)
def test_beat_rules_that_cannot_be_right_are_refused_by_key(rules, said):
    with pytest.raises(ConfigError, match=said):
        beat_of(np.array([[0.5, 0.5]], np.float32), **rules)


def test_tensors_are_real_copies_without_the_state():
    outputs = (OutputEntry("1", "state"), OutputEntry("map", "other", QuantisationEntry(0.5, 2)))
    made = Tensors(
        manifest_of(PostprocessEntry("tensors"), outputs),
        (
            TensorSpec("scores", (2,), "int8", INT8),
            TensorSpec("h", (1,), "float32"),
            TensorSpec("map", (1,), "uint8"),
        ),
    )
    raw = (np.array([-128, 127], np.int8), np.ones(1, np.float32), np.array([4], np.uint8))

    tensors = made(raw, FRAME, None).tensors
    raw[2][:] = 0

    assert [tensor.name for tensor in tensors] == ["scores", "map"]
    assert tensors[0].data.tolist() == [0.0, 255 / 256]
    assert tensors[1].data.tolist() == [1.0]
    assert {tensor.data.dtype.name for tensor in tensors} == {"float32"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_tensor_that_json_cannot_hold_is_a_bad_frame(value):
    made = Tensors(
        manifest_of(PostprocessEntry("tensors"), ()), (TensorSpec("x", (1,), "float32"),)
    )

    with pytest.raises(FrameError, match="'x'"):
        made((np.array([value], np.float32),), FRAME, None)
