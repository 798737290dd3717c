"""The run files of examples/, on real pictures: what the whole model chain says of them.

Prepare, backend and postprocess are those of a pipeline. Recorded results are of two runtimes;
labels must be theirs exactly, and scores within 0.05, the spread between the two.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest

from edge_runtime import build, config
from edge_runtime.errors import EndOfStream
from edge_runtime.frame import Frame
from edge_runtime.sources.cameras.images import Images
from edge_runtime.sources.generators.shapes import Shapes
from tests.needs import ROOT, missing
from tests.runtimes import need_runtime

cv2 = pytest.importorskip("cv2")

TOLERANCE = 0.05
RUNTIME = "ai-edge-litert 2.3.0"


@contextmanager
def opened(examples, name):
    """The model of a run file."""
    settings = config.load(examples / f"{name}.toml")
    need_runtime("onnx" if settings.model.path.suffix == ".onnx" else "tflite")
    model = build.model(settings.model)
    model.open()
    try:
        yield model
    finally:
        model.close()


def picture(path, seq=0):
    image = cv2.imread(str(path))
    assert image is not None, path
    return Frame(image, 1, 1, seq, "picture")


def recorded(data, folder, file=None):
    """The results of one file as they were recorded, by picture."""
    path = data / "models" / folder / "golden.json"
    found = json.loads(path.read_text())["results"][RUNTIME]
    return found[file] if file else found


CLASSIFIERS = [
    ("mobilenet-v1-float", "mobilenet-v1-025-imagenet", "mobilenet_v1_0.25_224_float.tflite"),
    ("mobilenet-v1-uint8", "mobilenet-v1-025-imagenet", "mobilenet_v1_0.25_224_uint8.tflite"),
    ("mobilenet-v2", "mobilenet-v2-imagenet-uint8", None),
    ("vww96-float", "vww96", "vww_96_float.tflite"),
    ("vww96-int8", "vww96", "vww_96_int8.tflite"),
]


@pytest.mark.parametrize(("name", "folder", "file"), CLASSIFIERS)
def test_every_photograph_gets_the_recorded_label_and_score(examples, data, name, folder, file):
    expected = {
        photograph: labels[0]
        for photograph, labels in recorded(data, folder, file).items()
        if (data / "images" / photograph).exists()
    }
    assert len(expected) >= 7

    with opened(examples, name) as model:
        found = {
            photograph: model(picture(data / "images" / photograph)).outcome.labels[0]
            for photograph in expected
        }

    assert {key: (best.index, best.label) for key, best in found.items()} == {
        key: (best["index"], best["label"]) for key, best in expected.items()
    }
    for key, best in found.items():
        assert best.score == pytest.approx(expected[key]["score"], abs=TOLERANCE), key


@pytest.mark.parametrize("name", ["mobilenet-v1-float", "mobilenet-v1-uint8"])
def test_a_cheeseburger_is_a_cheeseburger_in_float_and_in_uint8(examples, data, name):
    with opened(examples, name) as model:
        best = model(picture(data / "images/burger.jpg")).outcome.labels[0]

    assert best.label == "cheeseburger"
    assert best.score > 0.9


@pytest.mark.parametrize(
    ("name", "file", "share"),
    [
        ("resnet8-float", "resnet8_float.tflite", 0.72),
        ("resnet8-int8", "resnet8_int8.tflite", 0.715),
    ],
)
def test_two_hundred_pictures_are_classed_as_recorded(examples, data, name, file, share):
    folder = data / "images/cifar10"
    expected = recorded(data, "resnet8-cifar10", file)["predicted"]
    source = Images(path=str(folder / "*" / "*.jpg"))
    source.open()
    files = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*.jpg"))
    right, as_recorded = 0, 0

    with opened(examples, name) as model:
        while True:
            try:
                frame = source.read(1.0)
            except EndOfStream:
                break
            best = model(frame).outcome.labels[0]
            file = files[frame.seq]
            right += best.label == file.split("/")[0]
            as_recorded += best.index == expected[file]

    assert len(files) == 200
    assert as_recorded >= 198  # two classes may tie within a step of 1/256
    assert right / 200 == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("file", ["resnet8_float.tflite", "resnet8_int8.tflite"])
def test_the_scores_are_bit_for_bit_those_of_a_hand_written_loop(examples, data, file):
    """cvtColor, resize, float arithmetic and the bare interpreter, on 200 pictures."""
    interpreters = pytest.importorskip("ai_edge_litert.interpreter")
    bare = interpreters.Interpreter(
        model_path=str(data / "models/resnet8-cifar10" / file), num_threads=1
    )
    bare.allocate_tensors()
    (given,), (wanted,) = bare.get_input_details(), bare.get_output_details()

    def by_hand(image):
        rgb = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (32, 32))
        real = rgb.astype(np.float32)[None]
        scale, zero = given["quantization"]
        if scale:
            real = np.clip(np.rint(real / np.float32(scale)) + zero, -128, 127)
        bare.set_tensor(given["index"], real.astype(given["dtype"]))
        bare.invoke()
        scores = bare.get_tensor(wanted["index"])[0]
        scale, zero = wanted["quantization"]
        return (scores.astype(np.int64) - zero) * np.float32(scale) if scale else scores

    with opened(examples, file.split(".")[0].replace("_", "-")) as model:
        for path in sorted((data / "images/cifar10").glob("*/*.jpg")):
            frame = picture(path)
            expected = by_hand(frame.data)
            for label in model(frame).outcome.labels:
                assert label.score == float(np.float32(expected[label.index])), path


def test_a_cat_is_a_cat_and_a_parrot_is_neither_cat_nor_dog(examples, data):
    with opened(examples, "cat-dog") as model:
        found = {
            name: [
                (one.label, one.score)
                for one in model(picture(data / "images" / name)).outcome.labels
            ]
            for name in ("cat.bmp", "cat_1080p.jpg", "parrot.jpg", "burger.jpg", "squat.bmp")
        }
        dogs = sorted((data / "images/cifar10/dog").glob("*.jpg"))
        called = Counter(
            label.label for path in dogs for label in model(picture(path)).outcome.labels
        )

    for cat in ("cat.bmp", "cat_1080p.jpg"):
        ((label, score),) = found.pop(cat)
        assert (label, score > 0.9) == ("cat", True)
    assert not any(found.values()), found
    assert called["dog"] >= 10  # of 20 pictures of 32 x 32
    assert called["cat"] <= 2


def test_three_cats_and_a_dog_are_found_where_they_were_recorded(examples, data):
    expected = recorded(data, "ssd-mobilenet-v1-coco")["cats_and_dogs.jpg"][:4]

    with opened(examples, "ssd-mobilenet-v1") as model:
        found = model(picture(data / "images/cats_and_dogs.jpg")).outcome.detections

    assert Counter(one.label for one in found) == {"cat": 3, "dog": 1}
    for one, record in zip(found, expected, strict=True):
        assert (one.index, one.label) == (record["class"], record["label"])
        assert one.score == pytest.approx(record["score"], abs=TOLERANCE)
        y_min, x_min, y_max, x_max = (min(max(side, 0), 1) for side in record["box_yxyx"])
        sides = (one.box.x_min, one.box.y_min, one.box.x_max, one.box.y_max)
        assert sides == pytest.approx(
            (1200 * x_min, 600 * y_min, 1200 * x_max, 600 * y_max), abs=12
        )


def test_a_pose_is_that_of_the_reference(examples, data):
    """Upstream resized otherwise, so a point may lie 4 % of the picture away."""
    reference = np.loadtxt(
        data / "models/movenet-lightning/reference.csv", delimiter=",", skiprows=1
    )

    with opened(examples, "movenet-lightning") as model:
        points = model(picture(data / "images/squat.bmp")).outcome.keypoints

    assert [point.name for point in points][:3] == ["nose", "left_eye", "right_eye"]
    found = np.array([(point.x / 500, point.y / 610) for point in points])
    assert found.shape == (17, 2)
    assert np.abs(found - reference[:, 4:6]).max() < 0.04


def test_one_face_is_found_with_its_eyes_above_its_mouth(examples, data):
    with opened(examples, "face-short-range") as model:
        (face,) = model(picture(data / "images/grace_hopper.bmp")).outcome.detections

    assert face.score > 0.8
    sides = (face.box.x_min, face.box.y_min, face.box.x_max, face.box.y_max)
    assert sides == pytest.approx((170, 140, 366, 338), abs=15)  # in 512 x 600
    at = {point.name: (point.x, point.y) for point in face.keypoints}
    assert at["right_eye"][0] < at["nose"][0] < at["left_eye"][0]
    assert at["right_eye"][1] < at["nose"][1] < at["mouth"][1]
    assert all(
        face.box.x_min <= x <= face.box.x_max and face.box.y_min <= y <= face.box.y_max
        for x, y in at.values()
    )


def test_no_face_is_found_on_a_parrot(examples, data):
    with opened(examples, "face-short-range") as model:
        assert model(picture(data / "images/parrot.jpg")).outcome.detections == ()


def written(height=240, width=400):
    image = np.full((height, width, 3), 255, np.uint8)
    cv2.putText(image, "EDGE RUN", (20, 140), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 5)
    return image


def test_a_model_with_open_dimensions_finds_where_the_text_is(examples):
    with opened(examples, "ppocr-det") as model:
        (result,) = model(Frame(written(), 1, 1, 0, "page")).outcome.tensors

    assert result.data.shape == (1, 1, 96, 160)
    rows, columns = np.nonzero(result.data[0, 0] > 0.5)
    scale = 96 / 240  # the letterbox of 400 x 240 in 160 x 96 has no border
    assert 90 < rows.min() / scale < rows.max() / scale < 150
    assert 10 < columns.min() / scale < columns.max() / scale < 320


@pytest.mark.parametrize(("turned", "label"), [(False, "0"), (True, "180")])
def test_a_line_of_text_is_upright_or_upside_down(examples, turned, label):
    line = written()[85:155, 10:390]
    if turned:
        line = np.ascontiguousarray(line[::-1, ::-1])

    with opened(examples, "ppocr-cls") as model:
        best = model(Frame(line, 1, 1, 0, "line")).outcome.labels[0]

    assert (best.label, best.score > 0.9) == (label, True)


def test_a_stateful_model_hears_by_its_state_and_forgets_it_at_a_gap(examples):
    rng = np.random.default_rng(5)
    sounds = [rng.normal(0, 0.1, (512, 1)).astype(np.float32) for _ in range(4)]

    def heard(model, seqs):
        frames = (
            Frame(sound, 1, 1, seq, "mic", 16000.0, ("sound",))
            for sound, seq in zip(sounds, seqs, strict=True)
        )
        return [model(frame).outcome.labels[0].score for frame in frames]

    with opened(examples, "silero-vad") as model:
        first = heard(model, [0, 1, 2, 3])
        again = heard(model, [0, 1, 2, 3])
        broken = heard(model, [10, 11, 13, 14])

    assert first == again
    assert broken[:2] == first[:2]
    assert broken[2] != first[2]


def test_the_scores_of_a_spoken_word_come_from_a_table_of_features(examples, data):
    rows = np.loadtxt(examples / "signals/kws-on.csv", delimiter=",", skiprows=1)
    names = tuple(f"mfcc{number}" for number in range(10))

    with opened(examples, "kws-dscnn") as model:
        best = model(Frame(rows.astype(np.float32), 1, 1, 0, "mic", 50.0, names)).outcome.labels[0]

    expected = json.loads((data / "models/kws-dscnn/golden.json").read_text())[RUNTIME]
    assert best.index == expected["kws_int8.tflite"]["argmax"]
    assert best.label == "on"
    assert best.score == pytest.approx(1.0, abs=TOLERANCE)


def test_a_wake_word_model_with_int8_in_and_uint8_out_runs(examples):
    silence = np.zeros((3, 40), np.float32)
    names = tuple(f"f{number}" for number in range(40))

    with opened(examples, "okay-nabu") as model:
        scores = [
            model(Frame(silence, 1, 1, seq, "mic", 100.0, names)).outcome.labels[0].score
            for seq in range(10)
        ]

    assert max(scores) < 0.5


def test_every_model_of_the_collection_has_a_run_file(examples, data):
    weights = {
        path.name
        for path in (data / "models").rglob("*")
        if path.suffix in (".tflite", ".onnx") and path.parent.name != "broken"
    }
    run = {config.load(path).model.path.name for path in examples.glob("*.toml")}
    if not weights:
        missing("the models", "see examples/README.md")

    assert weights - run == {"kws_float.tflite"}  # as kws-dscnn.toml, with this file as its path


@pytest.mark.parametrize("file", ["shapes_int8.tflite", "shapes_int8.onnx"])
def test_the_shipped_model_names_the_shapes_of_a_seed_that_it_has_never_seen(file):
    need_runtime(file.rsplit(".", 1)[1])
    settings = config.ModelConfig(
        path=ROOT / "models/shapes", delegates=(config.Rung("cpu", file=file),), required=True
    )
    model = build.model(settings)
    source = Shapes(count=300, seed=9001, pace="flat", width=160, height=120)
    source.open()
    right = 0

    model.open()  # replays the golden vectors
    for truth in source.truth:
        frame = source.read(1.0)
        right += model(frame).outcome.labels[0].label == truth
    model.close()

    assert right / 300 > 0.97
