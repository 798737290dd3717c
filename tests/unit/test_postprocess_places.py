"""Boxes and points: order, units, suppression, anchors, and the way back to source pixels."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import FileEntry, InputEntry, Manifest, OutputEntry, PostprocessEntry
from edge_runtime.outcome import Box
from edge_runtime.postprocess.anchors import Anchors
from edge_runtime.postprocess.boxes import suppress
from edge_runtime.postprocess.detection import Detection
from edge_runtime.postprocess.keypoints import Keypoints

FRAME = Frame(np.zeros((1, 1, 3), np.uint8), 1, 1, 0, "door")
IMAGE = InputEntry(
    "0", "image", layout="NHWC", colour="rgb", resize="stretch", mean=(0.0,), std=(1.0,)
)
# 200 x 100 source pixels, letterboxed into 100 x 100: half the scale, 25 rows above.
PLACE = Placement(0.5, 0.5, 0.0, 25.0, 200, 100, 100, 100)


def manifest_of(rules, meanings, image=IMAGE):
    return Manifest(
        name="toy",
        version="1.0.0",
        task="detection",
        file=(FileEntry("toy.tflite", "tflite", "int8"),),
        input=(image,),
        output=tuple(OutputEntry(str(at), meaning) for at, meaning in enumerate(meanings)),
        postprocess=rules,
    )


def specs_of(outputs):
    return tuple(
        TensorSpec(f"out{at}", output.shape, output.dtype.name) for at, output in enumerate(outputs)
    )


def detect(outputs, meanings, place=PLACE, **rules):
    facts = {"box_order": "yxyx", "box_units": "relative", **rules}
    made = Detection(
        manifest_of(PostprocessEntry("detection", **facts), meanings), specs_of(outputs)
    )
    return made(outputs, FRAME, place).detections


IN_GRAPH = ("boxes", "classes", "scores", "count")


def in_graph(boxes, classes, scores, count=None):
    return (
        np.array([boxes], np.float32),
        np.array([classes], np.float32),
        np.array([scores], np.float32),
        np.array([len(boxes) if count is None else count], np.float32),
    )


@pytest.mark.parametrize(
    ("order", "units", "box"),
    [
        ("yxyx", "relative", (0.25, 0.1, 0.75, 0.6)),
        ("xyxy", "relative", (0.1, 0.25, 0.6, 0.75)),
        ("cxcywh", "relative", (0.35, 0.5, 0.5, 0.5)),
        ("xyxy", "pixels", (10, 25, 60, 75)),
    ],
)
def test_every_form_of_a_box_comes_back_in_source_pixels(order, units, box):
    (found,) = detect(in_graph([box], [3], [0.9]), IN_GRAPH, box_order=order, box_units=units)

    assert (found.index, found.label) == (3, "3")
    sides = (found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max)
    assert sides == pytest.approx((20, 0, 120, 100), abs=1e-3)


def test_only_what_the_graph_counted_and_the_threshold_lets_through_is_reported():
    boxes = [(0.3, 0.1, 0.5, 0.2), (0.3, 0.1, 0.6, 0.2), (0.3, 0.1, 0.7, 0.2)]

    found = detect(in_graph(boxes, [1, 2, 3], [0.4, 0.8, 0.99], count=2), IN_GRAPH, threshold=0.5)

    assert [(one.index, round(one.score, 2)) for one in found] == [(2, 0.8)]


def test_a_box_that_lies_in_the_border_of_the_letterbox_is_no_detection():
    found = detect(
        in_graph([(0.0, 0.1, 0.2, 0.3), (0.1, 0.1, 0.5, 0.3)], [0, 0], [0.9, 0.8]), IN_GRAPH
    )

    (kept,) = found
    assert kept.box.y_min == 0.0
    assert kept.score == pytest.approx(0.8)


def test_nothing_found_is_an_empty_result():
    assert detect(in_graph([(0, 0, 1, 1)], [0], [0.1]), IN_GRAPH, threshold=0.5) == ()
    assert detect(in_graph([(0, 0, 1, 1)], [0], [0.9], count=0), IN_GRAPH) == ()


def test_raw_boxes_are_suppressed_within_a_class_only():
    boxes = np.array([[[0, 0, 10, 10], [1, 0, 11, 10], [40, 40, 60, 60]]], np.float32)
    scores = np.array([[[0.9, 0.0], [0.8, 0.7], [0.1, 0.6]]], np.float32)
    place = Placement(1, 1, 0, 0, 100, 100, 100, 100)

    found = detect(
        (boxes, scores),
        ("boxes", "scores"),
        place,
        box_order="xyxy",
        box_units="pixels",
        threshold=0.5,
    )

    assert [(one.index, round(one.score, 2), one.box.x_min) for one in found] == [
        (0, 0.9, 0.0),
        (1, 0.7, 1.0),
        (1, 0.6, 40.0),
    ]


def test_the_background_and_what_is_beyond_the_limit_are_not_reported():
    boxes = np.array([[[0, 0, 10, 10], [30, 30, 40, 40], [60, 60, 70, 70]]], np.float32)
    scores = np.array([[[0.99, 0.6], [0.9, 0.8], [0.95, 0.7]]], np.float32)
    place = Placement(1, 1, 0, 0, 100, 100, 100, 100)
    rules = {"box_order": "xyxy", "box_units": "pixels", "threshold": 0.5}

    found = detect(
        (boxes, scores), ("boxes", "scores"), place, background=True, max_results=2, **rules
    )

    assert [(one.index, round(one.score, 2)) for one in found] == [(1, 0.8), (1, 0.7)]


def test_suppression_keeps_the_best_and_what_overlaps_it_little():
    corners = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 5, 10, 15], [50, 50, 60, 60]], float)
    scores = np.array([0.5, 0.9, 0.8, 0.1])

    assert suppress(corners, scores, 0.5, 10) == [1, 2, 3]
    assert suppress(corners, scores, 0.2, 10) == [1, 3]
    assert suppress(corners, scores, 0.5, 2) == [1, 2]
    assert suppress(corners[:0], scores[:0], 0.5, 10) == []


@pytest.mark.parametrize("at", [0, 2])
def test_a_nan_in_boxes_or_scores_is_a_bad_frame(at):
    outputs = in_graph([(0.1, 0.1, 0.5, 0.5)], [1], [0.9])
    outputs[at][...] = np.nan

    with pytest.raises(FrameError, match=f"NaN: 'out{at}'"):
        detect(outputs, IN_GRAPH)


def test_what_stands_behind_the_count_is_not_looked_at():
    outputs = in_graph([(0.3, 0.1, 0.7, 0.6)] * 3, [1, 2, 3], [0.9, 0.8, 0.7], count=1)
    for output in outputs[:3]:
        output[:, 1:] = np.nan

    assert [one.index for one in detect(outputs, IN_GRAPH)] == [1]


@pytest.mark.parametrize("count", [-3, 1e12])
def test_a_count_that_cannot_be_is_held_within_what_there_is(count):
    outputs = in_graph([(0.3, 0.1, 0.7, 0.6)] * 2, [1, 2], [0.9, 0.8], count=count)

    assert len(detect(outputs, IN_GRAPH)) == (0 if count < 0 else 2)


@pytest.mark.parametrize(
    ("meanings", "rules", "said"),
    [
        (("boxes", "classes", "scores", "other"), {"box_order": ""}, "box_order: is missing"),
        (("boxes", "classes", "scores", "other"), {"box_units": ""}, "box_units: is missing"),
        (("other", "classes", "scores", "count"), {}, "meaning = 'boxes'"),
        (("boxes", "other", "scores", "count"), {}, "meaning = 'classes'"),
    ],
)
def test_a_detection_manifest_that_misses_something_is_refused_by_key(meanings, rules, said):
    with pytest.raises(ConfigError, match=said):
        detect(in_graph([(0, 0, 1, 1)], [1], [1]), meanings, **rules)


def test_places_need_an_image_to_be_in():
    signal = InputEntry("0", "feature", feature="x")
    rules = PostprocessEntry("detection", box_order="yxyx", box_units="relative")
    outputs = in_graph([(0, 0, 1, 1)], [1], [1])

    with pytest.raises(ConfigError, match="no \\[\\[input\\]\\] is of kind 'image'"):
        Detection(manifest_of(rules, IN_GRAPH, signal), specs_of(outputs))
    with pytest.raises(FrameError, match="no image"):
        detect(outputs, IN_GRAPH, place=None)


def anchors_of(rows, scores, **rules):
    outputs = (np.array([rows], np.float32), np.array([scores], np.float32)[:, :, None])
    facts = {
        "strides": (16, 32),
        "anchors_per_cell": (1, 2),
        "activation": "sigmoid",
        "threshold": 0.5,
        "names": ("eye",),
        **rules,
    }
    made = Anchors(
        manifest_of(PostprocessEntry("anchors", **facts), ("anchors", "scores")), specs_of(outputs)
    )
    return made(outputs, FRAME, Placement(1, 1, 0, 0, 32, 32, 32, 32)).detections


def test_an_anchor_moves_its_box_and_points_from_the_middle_of_its_cell():
    """A 32 x 32 input: 2 x 2 cells of 16 pixels with one anchor, one of 32 pixels with two."""
    rows = np.zeros((6, 6))
    rows[1] = (1, -2, 8, 4, 3, 4)  # second cell of the first row: its middle is (24, 8)
    scores = np.full(6, -50.0)
    scores[1] = 2.0

    (found,) = anchors_of(rows, scores)

    assert found.box == Box(21.0, 4.0, 29.0, 8.0)
    assert found.score == pytest.approx(1 / (1 + np.exp(-2)))
    (eye,) = found.keypoints
    assert (eye.name, eye.x, eye.y) == ("eye", 27.0, 12.0)


def test_anchors_of_one_cell_share_its_middle_and_the_better_one_stays():
    rows = np.zeros((6, 6))
    rows[:, 2:4] = 10
    scores = np.full(6, -1e6)
    scores[4:] = (1.0, 3.0)

    (found,) = anchors_of(rows, scores)

    assert found.box == Box(11.0, 11.0, 21.0, 21.0)
    assert found.score == pytest.approx(1 / (1 + np.exp(-3)))


def test_a_grid_that_is_not_the_files_is_refused():
    with pytest.raises(
        ConfigError, match="they make 6 anchors of an input of 32x32, the file has 7"
    ):
        anchors_of(np.zeros((7, 6)), np.zeros(7))
    with pytest.raises(ConfigError, match="as many anchors_per_cell"):
        anchors_of(np.zeros((6, 6)), np.zeros(6), anchors_per_cell=(1,))


def pose_of(rows, place=PLACE, **rules):
    outputs = (np.array([[rows]], np.float32),)
    facts = {"names": ("nose", "knee"), "box_units": "relative", **rules}
    made = Keypoints(
        manifest_of(PostprocessEntry("keypoints", **facts), ("keypoints",)), specs_of(outputs)
    )
    return made(outputs, FRAME, place).keypoints


def test_points_come_back_in_source_pixels_in_the_models_order():
    nose, knee = pose_of([(0.5, 0.25, 0.9), (1.0, 1.0, 0.1)])

    assert (nose.name, nose.x, nose.y) == ("nose", 50.0, 50.0)
    assert nose.score == pytest.approx(0.9)
    assert (knee.name, knee.x, knee.y) == ("knee", 200.0, 100.0)


def test_points_in_pixels_are_not_scaled_by_the_input():
    nose, _ = pose_of([(50, 25, 0.9), (0, 0, 0)], box_units="pixels")

    assert (nose.x, nose.y) == (50.0, 50.0)


@pytest.mark.parametrize(
    ("rows", "rules", "said"),
    [
        ([(0, 0, 0)] * 3, {}, "2 names for 3 points"),
        ([(0, 0, 0)] * 2, {"names": ()}, "names: is missing"),
        ([(0, 0, 0)] * 2, {"box_units": ""}, "box_units: is missing"),
    ],
)
def test_a_pose_manifest_that_cannot_be_right_is_refused_by_key(rows, rules, said):
    with pytest.raises(ConfigError, match=said):
        pose_of(rows, **rules)


def test_a_pose_with_a_nan_is_a_bad_frame():
    with pytest.raises(FrameError, match="NaN"):
        pose_of([(0, 0, np.nan), (0, 0, 0)])
