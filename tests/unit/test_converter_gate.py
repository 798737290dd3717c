"""The gate: figures against hand-computed ones, files run in processes of their own, verdicts."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_runtime.converters import card, comparing
from edge_runtime.converters.data import Cases, Truth, read
from edge_runtime.converters.data.recorded import golden_inputs
from edge_runtime.converters.errors import ConversionError, MisfitError
from edge_runtime.converters.gate import measure as measuring
from edge_runtime.converters.gate.agreement import output_error, same_objects, same_top
from edge_runtime.converters.gate.answers import answers
from edge_runtime.converters.gate.boxes import BoxMatches, overlap
from edge_runtime.converters.gate.estimate import Resampling, wilson
from edge_runtime.converters.gate.measure import How, ModelFile, measure
from edge_runtime.converters.gate.run_file import _shaped
from edge_runtime.converters.gate.scores import NOTHING, macro_f1, score_labels
from edge_runtime.converters.gate.verdict import failed, judge
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import manifest
from edge_runtime.errors import ConfigError
from edge_runtime.interfaces import TensorSpec
from edge_runtime.outcome import Box, Detection
from tests.needs import ROOT
from tests.runtimes import need_runtime, wake_word_frames

CONTRACT = ROOT / "examples/contracts/resnet8.toml"
RESNET8 = manifest.read(CONTRACT)
SSD = manifest.read(ROOT / "examples/contracts/ssd-mobilenet-v1.toml")
QUICK = How(calls=20)
KINDS = ("float", "int8")


@pytest.fixture(scope="module")
def resnet8(data):
    """200 labelled pictures, and both files' runs over them."""
    need_runtime("tflite")
    cases = read(str(data / "images/cifar10"), RESNET8)
    folder = data / "models/resnet8-cifar10"
    files = [ModelFile(folder / f"resnet8_{kind}.tflite", cases.inputs, RESNET8) for kind in KINDS]
    return cases, measure(files[0], QUICK), measure(files[1], QUICK, beside=files[0])


# Figures of classes


def test_scores_of_a_small_table_are_those_worked_out_by_hand():
    right = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    called = np.array([0, 0, 1, NOTHING, 1, 0, 2, 1])

    scores = score_labels(right, called, ("a", "b", "c"), Resampling(8, replicates=50))

    assert scores.accuracy.value == 4 / 8
    a, b, c = scores.classes
    assert (a.precision, a.recall, a.f1) == (2 / 3, 2 / 4, 4 / 7)
    assert (b.precision, b.recall, b.f1) == (1 / 3, 1 / 2, 2 / 5)
    assert (c.precision, c.recall, c.f1) == (1, 1 / 2, 2 / 3)
    assert scores.macro_f1.value == pytest.approx((4 / 7 + 2 / 5 + 2 / 3) / 3)
    assert scores.confusion.tolist() == [[2, 1, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0]]


def test_a_class_that_is_called_and_never_there_pulls_the_macro_f1_down():
    ones = np.ones(3, int)
    assert macro_f1(np.array([0, 0, 0]), np.array([0, 0, 0]), 2, ones) == 1
    assert macro_f1(np.array([0, 0, 0]), np.array([0, 0, 1]), 2, ones) == pytest.approx(0.4)


# Newcombe 1998, Statistics in Medicine 17:857, table I: method 3 (the score method) for 81 of 263,
# 15 of 148, 0 of 20 and 1 of 29.
@pytest.mark.parametrize(
    ("right", "cases", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_are_the_published_ones(right, cases, low, high):
    found = wilson(right, cases)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_figures_are_shares_and_lie_in_their_intervals(pairs):
    right, called = np.array(pairs).T
    scores = score_labels(right, called, "abcd", Resampling(len(right), replicates=30))

    for figure in (scores.accuracy, scores.macro_f1):
        assert 0 <= figure.low <= figure.value <= figure.high <= 1
    assert scores.confusion.sum() == len(right)
    same = score_labels(right, right, "abcd", Resampling(len(right), replicates=5))
    assert same.accuracy.value == same.macro_f1.value == 1


def test_the_bootstrap_covers_as_wilson_does_and_repeats():
    hits = np.arange(200) < 150
    bootstrap = Resampling(200)

    found = bootstrap.estimate(lambda weights: float((hits * weights).sum() / weights.sum()))
    exact = wilson(150, 200)

    assert found.low == pytest.approx(exact.low, abs=0.015)
    assert found.high == pytest.approx(exact.high, abs=0.015)
    again = bootstrap.estimate(lambda weights: float((hits * weights).sum() / weights.sum()))
    assert again == found


def test_patients_who_differ_widen_the_interval():
    hits = np.repeat(np.arange(20) < 15, 50)  # all beats of a patient are right, or none

    def figure(weights):
        return float((hits * weights).sum() / weights.sum())

    patients = [str(patient) for patient in np.repeat(np.arange(20), 50)]
    by_case = Resampling(1000).estimate(figure)
    by_patient = Resampling(1000, patients).estimate(figure)

    assert by_patient.high - by_patient.low > 4 * (by_case.high - by_case.low)
    assert "20 groups" in by_patient.method
    assert not Resampling(4, ["a", "b", "b", "b"]).grouped


# Figures of boxes


def found(index, score, *corners):
    return Detection(index, "", score, Box(*corners))


def test_precision_of_boxes_by_hand():
    # Two objects; calls by score: hit, miss, hit. Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    truths = [[Truth(0, Box(0, 0, 10, 10)), Truth(0, Box(20, 0, 30, 10))]]
    calls = [
        [found(0, 0.9, 0, 0, 10, 10), found(0, 0.8, 50, 50, 60, 60), found(0, 0.7, 20, 0, 30, 10)]
    ]

    matches = BoxMatches(truths, calls)

    # 51 of the 101 recalls (0 to 0.50) read 1, the other 50 read 2/3.
    expected = (51 + 50 * 2 / 3) / 101
    assert matches.map_50(np.ones(1)) == pytest.approx(expected)
    assert matches.map_50_95(np.ones(1)) == pytest.approx(expected)


def test_a_box_counts_at_the_thresholds_that_its_overlap_reaches():
    truths = [[Truth(0, Box(0, 0, 10, 10))]]
    matches = BoxMatches(truths, [[found(0, 0.9, 0, 0, 10, 7.2)]])  # overlap 0.72

    assert matches.map_50(np.ones(1)) == pytest.approx(1)
    assert matches.map_50_95(np.ones(1)) == pytest.approx(0.5)  # at 0.50, 0.55, 0.60, 0.65, 0.70


def test_an_object_is_found_once_and_a_crowd_counts_neither_way():
    truth, crowd = Truth(0, Box(0, 0, 10, 10)), Truth(0, Box(40, 40, 80, 80), crowd=True)
    twice = [found(0, 0.9, 0, 0, 10, 10), found(0, 0.8, 0, 0, 10, 9)]
    in_crowd = [found(0, 0.95, 50, 50, 55, 55), found(0, 0.9, 0, 0, 10, 10)]

    assert BoxMatches([[truth]], [twice]).map_50(np.ones(1)) == pytest.approx(1)
    assert BoxMatches([[truth]], [twice[::-1]]).map_50(np.ones(1)) == pytest.approx(1)
    assert BoxMatches([[truth, crowd]], [in_crowd]).map_50(np.ones(1)) == pytest.approx(1)
    assert BoxMatches([[truth]], [in_crowd]).map_50(np.ones(1)) == pytest.approx(0.5)
    assert math.isnan(BoxMatches([[crowd]], [in_crowd]).map_50(np.ones(1)))


def test_a_box_takes_the_object_that_it_overlaps_most():
    truths = [[Truth(0, Box(0, 0, 10, 10)), Truth(0, Box(3, 0, 13, 10))]]
    # The first overlaps both by half and more, the first object most; the other finds the second.
    calls = [[found(0, 0.9, 0, 0, 10, 10), found(0, 0.8, 6, 0, 16, 10)]]
    assert BoxMatches(truths, calls).map_50(np.ones(1)) == pytest.approx(1)


def test_random_boxes_are_scored_as_the_reference_program_scores_them():
    # What pycocotools 2.0.11 (COCOeval, area range "all") says of scene(seed).
    for seed, (at_50, over_all) in REFERENCE.items():
        truths, calls = scene(seed)
        matches, ones = BoxMatches(truths, calls), np.ones(len(truths), int)
        assert matches.map_50(ones) == pytest.approx(at_50, abs=1e-6)
        assert matches.map_50_95(ones) == pytest.approx(over_all, abs=1e-6)


def scene(seed):
    """Eight pictures with objects of three classes, crowds, near misses, and equal scores."""
    random = np.random.default_rng(seed)
    truths, calls = [], []
    for _ in range(8):
        objects, given = [], []
        for _ in range(random.integers(0, 6)):
            x, y, width, height = random.uniform((0, 0, 3, 3), (80, 80, 40, 40))
            index = int(random.integers(3))
            box = Box(x, y, x + width, y + height)
            objects.append(Truth(index, box, bool(random.random() < 0.15)))
            for _ in range(random.integers(0, 4)):
                x_min, y_min, x_max, y_max = np.array(box) + random.normal(0, 1.5, 4)
                score = round(float(random.random()), 1)
                called = index if random.random() < 0.9 else 2 - index
                far = (max(x_max, x_min + 1), max(y_max, y_min + 1))
                given.append(found(called, score, x_min, y_min, *far))
        truths.append(objects)
        calls.append(given)
    return truths, calls


REFERENCE = {
    0: (0.574310, 0.268133),
    1: (0.666887, 0.450446),
    2: (0.325853, 0.167213),
    3: (0.526403, 0.314450),
}


@given(st.permutations(range(6)), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_perfect_boxes_score_one_whatever_their_order(order, seed):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 50, (6, 2))
    truths = [[Truth(at % 2, Box(x, y, x + 9, y + 7)) for at, (x, y) in enumerate(corners)]]
    calls = [[found(truths[0][at].index, 0.5, *truths[0][at].box) for at in order]]

    assert BoxMatches(truths, calls).map_50_95(np.ones(1)) == pytest.approx(1)


def test_overlap_by_hand():
    assert overlap(Box(0, 0, 10, 10), Truth(0, Box(5, 5, 15, 15))) == pytest.approx(25 / 175)
    assert overlap(Box(0, 0, 10, 10), Truth(0, Box(5, 5, 15, 15), crowd=True)) == 0.25
    assert overlap(Box(0, 0, 10, 10), Truth(0, Box(10, 0, 20, 10))) == 0


# Agreement


def test_errors_of_an_output_by_hand():
    one = np.zeros((100, 1), np.float32)
    other = one.copy()
    other[0] = 1.0
    one[1] = -3.0
    other[1] = -3.0

    error = output_error("y", one, other)

    assert (error.largest, error.mean, error.span) == (1.0, 0.01, 3.0)
    assert error.percentile_99 == pytest.approx(0.01)
    assert math.isnan(output_error("y", one, other[:, 0]).largest)


def test_the_same_answer_is_the_same_place_in_every_output():
    one = [np.array([[1, 2], [2, 1]]), np.array([[0, 5], [0, 5]])]
    other = [np.array([[0, 9], [0, 9]]), np.array([[1, 2], [1, 2]])]
    assert same_top(one, other).tolist() == [True, False]


def test_objects_are_the_same_one_for_one():
    cat, near, far = (found(1, 0.9, x, 0, x + 10, 10) for x in (0, 2, 8))
    assert same_objects([cat], [near])
    assert not same_objects([cat], [far])
    assert not same_objects([cat], [near, near])
    assert not same_objects([cat, cat], [near])
    assert not same_objects([cat], [replace_class(near)])
    assert same_objects([], [])


def replace_class(one):
    return one._replace(index=2)


# Files in processes of their own


def test_both_files_are_as_right_as_their_card_says(resnet8):
    cases, floats, int8 = resnet8  # 72.0 % and 71.5 % of these 200: golden.json beside the files
    names = [spec.name for spec in floats.outputs]
    for run, share in ((floats, 0.72), (int8, 0.715)):
        assert (answers(RESNET8, run, cases, names).called == cases.labels).mean() == share


def test_a_run_has_values_without_batch_axis_latency_and_memory(resnet8):
    _, floats, int8 = resnet8
    assert floats.values[0].shape == (200, 10)
    assert floats.tensors(floats.values)[0].shape == (200, 1, 10)
    assert floats.values[0].sum(axis=1) == pytest.approx(1, abs=1e-3)
    for run in (floats, int8):
        assert 0 < run.latency.median_ms <= run.latency.p95_ms
        assert run.latency.calls == 20
        assert 0 < run.base_rss_mb < run.peak_rss_mb
        assert run.runtime
    assert floats.ratio is None
    assert int8.ratio == pytest.approx(int8.latency.median_ms / int8.beside.median_ms, rel=0.9)


def test_a_file_that_cannot_run_is_told_by_name(data):
    path = data / "models/broken/model_invoking_error.tflite"
    with pytest.raises(ConversionError, match=r"model_invoking_error\.tflite: does not run here"):
        measure(ModelFile(path, {"x": np.zeros((1, 2), np.float32)}), QUICK)


def test_a_file_that_takes_another_shape_is_told(data):
    path = data / "models/resnet8-cifar10/resnet8_float.tflite"
    channels_first = {"0": np.zeros((1, 3, 32, 32), np.float32)}
    with pytest.raises(MisfitError, match="does not run here") as error:
        measure(ModelFile(path, channels_first), QUICK)
    assert error.value.exit_code == 2
    with pytest.raises(ConversionError, match="has inputs 'a', 'b', the file takes 'input_1'"):
        measure(ModelFile(path, {"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}), QUICK)


def test_channels_first_do_not_pass_for_channels_last():
    last = TensorSpec("x", (1, 4, 5, 3), "float32")
    with pytest.raises(ConfigError, match=r"'x' is \(1, 4, 5, 3\), the cases have \(3, 4, 5\)"):
        _shaped(np.zeros((3, 4, 5)), last)
    assert _shaped(np.zeros((4, 5, 3)), last).shape == (1, 4, 5, 3)
    assert _shaped(np.zeros((4, 5, 3)), TensorSpec("x", (None, 4, None, 3), "")).shape[0] == 1


def test_no_case_sees_the_state_that_another_left_behind(data):
    need_runtime("tflite")
    (path,) = (data / "models/wakeword-okay-nabu").glob("*.tflite")
    frames = np.concatenate(wake_word_frames()).astype(np.float32) / 10 + 12.8
    there_and_back = np.concatenate([frames, frames[::-1]])

    (scores,) = measure(ModelFile(path, {"0": there_and_back}), How(calls=0)).values

    assert np.array_equal(scores[:40], scores[40:][::-1])


def test_a_process_that_crashes_takes_nobody_along(monkeypatch, tmp_path):
    for body, message in (
        (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", r"crashed \(SIGSEGV\)"),
        ("import sys; sys.exit('out of luck')", "ended with status 1; its last words: out of luck"),
        ("import os; os.close(1); import threading; threading.Event().wait()", "stopped after 1 s"),
    ):
        (tmp_path / "child_that_ends.py").write_text(body)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
        monkeypatch.setattr(measuring, "_CHILD", "child_that_ends")
        with pytest.raises(ConversionError, match=message):
            measure(ModelFile(Path("net.tflite"), {}), How(timeout_s=1.0))


# Verdicts


def test_a_loss_within_what_may_be_lost_passes_and_one_beyond_does_not(resnet8):
    cases, floats, int8 = resnet8
    good = judge("tflite:int8", RESNET8, cases, floats, int8, max_drop=0.5)
    poor = judge("tflite:int8", RESNET8, cases, floats, int8, max_drop=0.49)

    assert good.passed
    assert good.drops[0].points == pytest.approx(0.5)
    assert good.drops[0].loss.low < 0.005 < good.drops[0].loss.high
    assert not poor.passed
    assert "loses 0.50 points of accuracy" in poor.reasons[0]
    assert "200 cases do not rule out a loss" in good.notes[0]
    assert good.size_ratio == pytest.approx(98496 / 318144)


def test_a_file_loses_nothing_against_itself(resnet8):
    cases, floats, _ = resnet8
    verdict = judge("same", RESNET8, cases, floats, floats, max_drop=0)
    assert verdict.passed
    assert verdict.drops[0].loss.low == verdict.drops[0].loss.high == 0
    assert verdict.agreement.share == 1
    assert verdict.agreement.largest_error == 0


def test_without_labels_changed_answers_count_as_lost(resnet8):
    cases, floats, int8 = resnet8
    unlabelled = replace(cases, labels=None)
    verdict = judge("int8", RESNET8, unlabelled, floats, int8, max_drop=4.9)

    assert verdict.agreement.same == 190
    assert not verdict.passed
    assert "5.00 % of 200 answers changed" in verdict.reasons[0]
    assert judge("int8", RESNET8, unlabelled, floats, int8, max_drop=5.0).passed


def test_nan_never_passes(resnet8):
    cases, floats, int8 = resnet8
    values = int8.values[0].copy()
    values[3] = np.nan
    broken = replace(int8, values=(values,), outputs=floats.outputs)

    verdict = judge("int8", RESNET8, cases, floats, broken, max_drop=None)

    assert not verdict.passed
    assert "NaN" in verdict.reasons[0]
    json.dumps(verdict.facts(), allow_nan=False)


def test_of_a_single_score_the_answer_is_whether_it_reaches_the_threshold(data):
    need_runtime("tflite")
    (path,) = (data / "models/wakeword-okay-nabu").glob("*.tflite")
    nabu = manifest.read(ROOT / "examples/contracts/okay-nabu.toml")
    inputs = {"0": np.zeros((4, 3, 40), np.float32)}
    cases = Cases("made up", inputs, ("a", "b", "c", "d"))
    run = measure(ModelFile(path, inputs, nabu), How(calls=0))
    scores = [np.array(some).reshape(run.values[0].shape) for some in ([0, 0, 0.9, 0.9], [0.9] * 4)]
    source, other = (replace(run, values=(values,)) for values in scores)

    verdict = judge("onnx:int8", nabu, cases, source, other, max_drop=0.5)

    assert verdict.agreement.share == 0.5
    assert not verdict.passed


def test_outputs_of_another_shape_never_pass(resnet8):
    cases, floats, int8 = resnet8
    other = replace(int8, values=(int8.values[0][:, :9],))
    assert (
        "is (9,), the source's is (10,)"
        in judge("x", RESNET8, cases, floats, other, max_drop=None).reasons[0]
    )
    none = replace(int8, outputs=(), values=())
    assert "has 0 outputs" in judge("x", RESNET8, cases, floats, none, max_drop=None).reasons[0]


def test_wrong_labels_are_pointed_out(resnet8):
    cases, floats, int8 = resnet8
    wrong = replace(cases, labels=(cases.labels + 1) % 10)
    verdict = judge("int8", RESNET8, wrong, floats, int8, max_drop=None)
    assert any("are these data, labels and preprocessing the model's?" in n for n in verdict.notes)


def test_a_detector_is_scored_by_the_boxes_that_it_gives(data, tmp_path):
    need_runtime("tflite")
    picture = data / "images/cats_and_dogs.jpg"
    (tmp_path / picture.name).symlink_to(picture)
    recorded = json.loads((data / "models/ssd-mobilenet-v1-coco/golden.json").read_text())
    objects = recorded["results"]["ai-edge-litert 2.3.0"][picture.name][:4]
    import cv2

    height, width = cv2.imread(str(picture)).shape[:2]
    annotations = []
    for one in objects:
        y_min, x_min, y_max, x_max = np.clip(one["box_yxyx"], 0, 1)
        box = [x_min * width, y_min * height, (x_max - x_min) * width, (y_max - y_min) * height]
        annotations.append({"image_id": 1, "category_id": one["class"], "bbox": box})
    labels = {
        "categories": [{"id": one["class"], "name": one["label"]} for one in objects],
        "images": [{"id": 1, "file_name": picture.name}],
        "annotations": annotations,
    }
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    cases = read(str(tmp_path), SSD)
    path = data / "models/ssd-mobilenet-v1-coco/ssd_mobilenet_v1_coco_uint8.tflite"
    run = measure(ModelFile(path, cases.inputs, SSD), How(calls=0))

    verdict = judge("uint8", SSD, cases, run, run, max_drop=0)

    assert verdict.drops[0].metric == "mAP@[.5:.95]"
    assert verdict.drops[0].source.map_50.value == pytest.approx(1)
    assert set(verdict.drops[0].source.classes) == {"cat", "dog"}
    assert verdict.passed
    assert verdict.latency is None
    json.dumps(verdict.facts(), allow_nan=False)


def test_beats_are_judged_by_macro_f1():
    need_runtime("tflite")
    need_runtime("onnx")
    beats = manifest.read(ROOT / "models/ecg-beats")
    inputs = golden_inputs(beats)
    files = [ROOT / f"models/ecg-beats/ecg-beats-int8.{kind}" for kind in ("tflite", "onnx")]
    runs = [measure(ModelFile(file, inputs.inputs, beats), How(calls=0)) for file in files]
    labels = runs[0].values[0].argmax(axis=1)
    labels[0] = (labels[0] + 1) % 3
    cases = replace(inputs, labels=labels, groups=("106",) * len(inputs))

    verdict = judge("onnx:int8", beats, cases, *runs, max_drop=0.5)

    assert verdict.drops[0].metric == "macro-F1"
    assert verdict.drops[0].before == verdict.drops[0].source.macro_f1
    assert verdict.drops[0].before.value != verdict.drops[0].source.accuracy.value
    assert verdict.passed
    assert "the cases are of one patient" in " ".join(verdict.notes)


# Comparison and card


def test_two_files_are_compared_with_the_cases_that_differ(data):
    need_runtime("tflite")
    folder = data / "models/resnet8-cifar10"
    sides = [comparing.side(folder / f"resnet8_{kind}.tflite", CONTRACT) for kind in KINDS]
    found = comparing.compare(*sides, str(data / "images/cifar10"), how=QUICK)

    assert len(found.differences) == 10
    first = found.differences[0]
    assert (first.case, first.first, first.second, first.right) == (
        "automobile/0001.jpg",
        "truck",
        "automobile",
        "automobile",
    )
    rows = {row[0]: row[1:] for row in found.rows()}
    assert rows["same answers"][1:] == ("190 of 200", "95.00 %")
    assert rows["size"] == ("318.1 kB", "98.5 kB", "x 0.31")
    assert "they differ on 10 of 200 cases" in found.text()
    json.dumps(found.facts(), allow_nan=False)


def test_a_model_directory_is_compared_on_its_golden_inputs():
    need_runtime("tflite")
    need_runtime("onnx")
    folder = ROOT / "models/shapes"
    found = comparing.compare(comparing.side(folder), comparing.side(folder / "shapes_int8.onnx"))

    assert len(found.cases) == 8
    assert found.verdict.agreement.share == 1
    assert found.verdict.agreement.largest_error < 0.05


def test_models_of_another_task_or_other_labels_are_not_compared(data):
    shapes, beats = ROOT / "models/shapes", ROOT / "models/ecg-beats"
    with pytest.raises(ConfigError, match="shapes is for classification, ecg-beats for beats"):
        comparing.compare(comparing.side(shapes), comparing.side(beats))
    with pytest.raises(ConfigError, match="have other labels"):
        comparing.compare(
            comparing.side(shapes),
            comparing.side(data / "models/resnet8-cifar10/resnet8_int8.tflite", CONTRACT),
        )


def facts_of(resnet8, **more):
    cases, floats, int8 = resnet8
    verdict = judge("tflite:int8", RESNET8, cases, floats, int8, max_drop=1.0)
    return {
        "source": {"kind": "tflite", "name": "resnet8_float.tflite"},
        "options": {"max_drop": 1.0},
        "calibration": None,
        "evaluation": cases.facts(),
        "golden": None,
        "files": [verdict.facts()],
        **more,
    }


def test_a_card_has_the_figures_and_says_what_was_not_measured(resnet8):
    text = card.text(RESNET8, facts_of(resnet8))

    assert "72.00 (65.41 to 77.76)" in text
    assert "| `tflite:int8` | 98.5 kB | 71.50 (64.88 to 77.30) | 0.50 (" in text
    assert "Latency and memory on a device: not measured." in text
    assert "Golden vectors: none" in text
    assert "- Calibration: none." in text
    assert "| frog | 20 | 66.7 | 66.7 |" in text


def test_a_card_without_data_claims_nothing(resnet8):
    facts = facts_of(resnet8, evaluation=None, files=[failed("onnx:int8", "no").facts()])
    text = card.text(replace(RESNET8, licence=""), facts)

    assert "Accuracy: not measured. There were no evaluation data." in text
    assert "Licence: not stated." in text
    assert "| `onnx:int8` | not measured | not measured |" in text


def test_a_card_says_when_calibration_saw_the_evaluation(resnet8):
    cases = resnet8[0]
    text = card.text(RESNET8, facts_of(resnet8, calibration=cases.part(range(7)).facts()))
    assert "7 of the calibration cases are evaluation cases too." in text


def test_a_part_of_the_cases_keeps_what_belongs_to_each(resnet8):
    cases = resnet8[0]
    part = cases.part([5, 2])
    assert isinstance(part, Cases)
    assert part.names == (cases.names[5], cases.names[2])
    assert np.array_equal(part.inputs["0"][0], cases.inputs["0"][5])
