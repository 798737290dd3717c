"""Calibration and evaluation data: what is read, what is chosen, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from edge_runtime.converters.data import read
from edge_runtime.converters.data.cases import Sample
from edge_runtime.converters.data.choose import choose, quotas
from edge_runtime.converters.data.intake import Intake
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime import build, manifest
from edge_runtime.config import ModelConfig, Rung
from edge_runtime.errors import ConfigError
from edge_runtime.frame import Frame
from edge_runtime.manifest import InputEntry
from edge_runtime.sources.cameras.images import Images
from tests.needs import ROOT

cv2 = pytest.importorskip("cv2")

RESNET8 = manifest.read(ROOT / "examples/contracts/resnet8.toml")
SSD = manifest.read(ROOT / "examples/contracts/ssd-mobilenet-v1.toml")
BEATS = manifest.read(ROOT / "models/ecg-beats")
BEAT_STEPS = ROOT / "models/ecg-beats/run.toml"

# A model of one small input, for what has nothing to do with pictures.
PAIR = replace(
    RESNET8,
    input=(InputEntry(name="x", kind="feature", feature="x", shape=(1, 2)),),
    postprocess=replace(RESNET8.postprocess),
)


def npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


def module(tmp_path, monkeypatch, text):
    """A user's module in the working directory, under a name of its own."""
    name = f"cases_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    return f"{name}:cases"


# Pictures


def test_a_picture_becomes_the_tensor_that_the_device_would_feed(data):
    cases = read(str(data / "images/cifar10"), RESNET8)

    config = ModelConfig(
        path=data / "models/resnet8-cifar10/resnet8_float.tflite",
        manifest=ROOT / "examples/contracts/resnet8.toml",
        delegates=(Rung("cpu"),),
        threads=1,
    )
    fed = []
    model = build.model(config)
    model.open()
    run = model._backend.run
    model._backend.run = lambda tensors: fed.append(tensors[0].copy()) or run(tensors)
    for name in cases.names[::40]:
        source = Images(path=str(data / "images/cifar10" / name))
        source.open()
        model(source.read(1.0))
    model.close()

    assert len(fed) == 5
    assert np.array_equal(np.concatenate(fed), cases.inputs["0"][::40])


def test_class_folders_give_every_picture_the_line_of_its_label(data):
    cases = read(str(data / "images/cifar10"), RESNET8)

    assert len(cases) == cases.total == 200
    assert cases.inputs["0"].shape == (200, 32, 32, 3)
    assert [RESNET8.labels()[label] for label in cases.labels] == [
        name.partition("/")[0] for name in cases.names
    ]


def test_a_balanced_choice_is_even_and_the_same_for_the_same_seed(data):
    folder = str(data / "images/cifar10")
    first, again, other = (
        read(folder, RESNET8, limit=30, seed=seed, balanced=True) for seed in (1, 1, 2)
    )

    assert set(first.per_class().values()) == {3}
    assert first.names == again.names
    assert first.names != other.names
    assert first.facts()["names"] == list(first.names)
    assert first.facts()["of"] == 200


def test_a_folder_of_plain_pictures_has_no_labels(data, tmp_path):
    for name in ("cat.bmp", "parrot.jpg"):
        shutil.copy(data / "images" / name, tmp_path)

    cases = read(str(tmp_path), RESNET8)

    assert cases.names == ("cat.bmp", "parrot.jpg")
    assert not cases.labelled


def test_boxes_are_read_as_coco_writes_them(data, tmp_path):
    shutil.copy(data / "images/cats_and_dogs.jpg", tmp_path)
    write_annotations(tmp_path, bbox=[10, 20, 30, 40], category="dog")

    cases = read(str(tmp_path), SSD)

    (truth,) = cases.objects[0]
    assert SSD.labels()[truth.index] == "dog"
    assert truth.box == (10, 20, 40, 60)
    assert cases.placements[0].input_width == 300


def write_annotations(folder, bbox, category, **more):
    found = {
        "categories": [{"id": 7, "name": category}],
        "images": [{"id": 1, "file_name": "cats_and_dogs.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 7, "bbox": bbox, **more}],
    }
    (folder / "labels.json").write_text(json.dumps(found))


def test_boxes_that_are_not_of_these_pictures_are_refused(data):
    # The boxes of this folder reach beyond its pictures: no file could find them.
    with pytest.raises(ConfigError, match=r"000000000078.jpg.*x 467 to 681.*612x612"):
        read(str(data / "images/coco"), SSD)


def test_boxes_of_a_class_that_the_model_lacks_are_refused_with_the_nearest(data, tmp_path):
    shutil.copy(data / "images/cats_and_dogs.jpg", tmp_path)
    write_annotations(tmp_path, bbox=[1, 1, 5, 5], category="dogg")
    with pytest.raises(ConfigError, match=r"annotation 0: class 'dogg'.*did you mean 'dog'"):
        read(str(tmp_path), SSD)


def test_a_folder_that_is_no_class_is_refused_with_the_nearest(data, tmp_path):
    shutil.copytree(data / "images/cifar10/ship", tmp_path / "shp")
    with pytest.raises(ConfigError, match=r"class 'shp' is not in .*cifar10.txt.*'ship'"):
        read(str(tmp_path), RESNET8)


def test_a_picture_that_does_not_decode_is_named(data, tmp_path):
    shutil.copytree(data / "images/cifar10/ship", tmp_path / "ship")
    (tmp_path / "ship/0003.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(ConfigError, match=r"ship/0003\.jpg"):
        read(str(tmp_path), RESNET8)


def test_pictures_beside_class_folders_are_refused(data, tmp_path):
    (tmp_path / "ship").mkdir()
    shutil.copy(data / "images/cat.bmp", tmp_path)
    with pytest.raises(ConfigError, match=r"cat\.bmp: stands beside class folders"):
        read(str(tmp_path), RESNET8)


@pytest.mark.parametrize("folder", ["", "ship"])
def test_nothing_is_refused(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match="holds no case"):
        read(str(tmp_path), RESNET8)


def test_too_few_are_refused(data):
    with pytest.raises(ConfigError, match="gives 200 cases: 500 are needed"):
        read(str(data / "images/cifar10"), RESNET8, least=500)


def test_data_that_are_not_there_are_refused_with_the_kinds_that_may_be():
    with pytest.raises(ConfigError, match=r"no such file; data are an \.npz file"):
        read("nowhere/at-all", RESNET8)


def test_pictures_for_a_model_of_signals_are_refused(data):
    with pytest.raises(ConfigError, match="holds pictures, and ecg-beats takes no image"):
        read(str(data / "images/cifar10"), BEATS)


# Arrays


def test_arrays_are_taken_by_name_with_or_without_a_batch_axis(tmp_path):
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    plain = read(npz(tmp_path / "a.npz", x=rows, labels=[0, 1, 2, 9]), PAIR)
    batched = read(npz(tmp_path / "b.npz", x=rows[:, None]), PAIR)

    assert np.array_equal(plain.inputs["x"], rows)
    assert np.array_equal(batched.inputs["x"], rows)
    assert plain.labels.tolist() == [0, 1, 2, 9]
    assert batched.labels is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((0, 2))}, "holds no case"),
        ({"labels": np.zeros(3, int)}, "holds no input"),
        ({"x": np.zeros((3, 2)), "labels": [0, 1]}, "not equally many cases: 'x' 3, 'labels' 2"),
        ({"x": np.zeros((3, 5))}, r"shape is \(5,\), the model takes \(2,\)"),
        ({"y": np.zeros((3, 2))}, "no input 'y'"),
        ({"x": [[0, 1], [np.nan, 1]]}, "case 1: input 'x' holds a NaN"),
        ({"x": [[0, 1], [np.inf, 1]]}, "case 1: input 'x' holds a NaN or infinity"),
        ({"x": np.zeros((1, 2)), "labels": [10]}, "class 10 is not in .*which has 10 lines"),
        ({"x": np.zeros((1, 2)), "labels": [0.5]}, "label 0.5 is neither a class nor its number"),
        ({"x": np.array([["a", "b"]])}, "not numbers"),
    ],
)
def test_arrays_that_cannot_be_cases_are_refused(tmp_path, arrays, message):
    with pytest.raises(ConfigError, match=message):
        read(npz(tmp_path / "data.npz", **arrays), PAIR)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04rubbish", b"\x80\x04pickle", b"\x93NUMPY\x01\x00"]
)
def test_a_damaged_file_of_arrays_is_refused(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"data\.npz: not readable"):
        read(str(tmp_path / "data.npz"), PAIR)


# Generators


def test_a_generator_may_yield_arrays_pairs_dicts_and_frames(tmp_path, monkeypatch):
    spec = module(
        tmp_path,
        monkeypatch,
        "import numpy as np\n"
        "from edge_runtime.frame import Frame\n"
        "def cases():\n"
        "    yield np.array([1, 2]), 'cat'\n"
        "    yield {'x': np.array([3, 4]), 'label': 3}\n"
        "    blank = np.zeros((0, 0))\n"
        "    yield Frame(blank, 0, 0, 0, 's', features={'x': np.array([5, 6])}), 'dog'\n",
    )

    cases = read(spec, PAIR)

    assert cases.inputs["x"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert cases.labels.tolist() == [3, 3, 5]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    yield [0, 0]\n    raise KeyError('gone')\n", r"cases_\d+\.py:3: KeyError: 'gone'"),
        (
            "    import json\n    json.loads('{')\n    yield 1\n",
            r"cases_\d+\.py:3: JSONDecodeError",
        ),
        ("    raise SystemExit('bye')\n", r"cases_\d+\.py:2: SystemExit: bye"),
        ("    return 3\n", "gives a int; make it a generator"),
        ("    yield [0, 0], 'cat'\n    yield [0, 0]\n", "case 1 has no label, and others have"),
        ("    yield [0, 0], 'kat'\n", r"case 0: class 'kat'.*did you mean 'cat'"),
        ("    yield [0, 0, 0]\n", r"case 0: input 'x': shape is \(3,\)"),
        ("    yield from ()\n", "holds no case"),
    ],
)
def test_a_generator_that_goes_wrong_is_told_with_its_line(tmp_path, monkeypatch, body, message):
    spec = module(tmp_path, monkeypatch, f"def cases():\n{body}")
    with pytest.raises(ConfigError, match=message):
        read(spec, PAIR)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def cases(:\n", r"cases_\d+\.py:1: SyntaxError"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        ("def other():\n    pass\n", "has no 'cases'"),
    ],
)
def test_a_module_that_does_not_load_is_told(tmp_path, monkeypatch, text, message):
    with pytest.raises(ConfigError, match=message):
        read(module(tmp_path, monkeypatch, text), PAIR)


# Records


@pytest.fixture(scope="module")
def beats(data, tmp_path_factory):
    """Two records, one of them without the lead that the model wants."""
    listed = tmp_path_factory.mktemp("records") / "RECORDS"
    listed.write_text("".join(f"{data}/ecg/mitdb/{name}\n" for name in ("207", "102")))
    return read(str(listed), BEATS, steps=BEAT_STEPS)


def test_beats_have_the_class_of_the_reference_and_the_patient_as_group(beats):
    # 207 has 1,543 N, 107 S (all atrial and escape beats), 210 V and 472 flutter waves (its card).
    counts = beats.per_class()
    assert counts["V"] > 190
    assert counts["N"] > 1500
    assert set(beats.groups) == {"207"}
    assert {name: array.shape for name, array in beats.inputs.items()} == {
        entry.name: (len(beats), *entry.shape[1:]) for entry in BEATS.input
    }


def test_what_is_no_case_is_counted_by_reason(beats):
    left_out = beats.left_out
    assert left_out["records without lead MLII"] == 1
    assert left_out["found in ventricular flutter"] > 100
    found = left_out["reference beats that the steps did not find"]
    reference = Counter(beats.per_class()).total() + found
    assert 1850 < reference < 1870  # 1,860 beats are annotated outside of flutter


def test_the_beats_are_those_of_the_steps(data, beats):
    from edge_runtime import config
    from edge_runtime.holter.detect import through
    from edge_runtime.holter.records import play
    from edge_runtime.sources.records.wfdb_record import open_record

    steps = build.steps(config.load(BEAT_STEPS))
    record = open_record(data / "ecg/mitdb/207", ["MLII"])
    two_minutes = islice(play(record, "207", 0.04), 3000)
    own = {
        f"207@{frame.beat.timestamp_ns / 1e9:.3f}s": frame for frame in through(two_minutes, steps)
    }

    assert all(name in own for name in beats.names[:60])
    for row in (0, 59):
        prepared = Intake(BEATS).frame(own[beats.names[row]], "beat")[0]
        for name, array in prepared.items():
            assert np.allclose(array, beats.inputs[name][row], atol=1e-4)


def test_beats_without_the_steps_are_refused_by_what_is_missing(data):
    with pytest.raises(ConfigError, match="'context': name the run file that has the steps"):
        read(str(data / "ecg/mitdb/100"), BEATS)


def test_a_list_that_names_no_record_is_refused(tmp_path):
    (tmp_path / "RECORDS").write_text("100\n")
    with pytest.raises(ConfigError, match="names 100, and there is no"):
        read(str(tmp_path / "RECORDS"), BEATS, steps=BEAT_STEPS)


def test_strips_have_the_class_that_the_reference_gives_their_record(data, tmp_path):
    names = ("A00867", "A01042", "A01884")
    for name in names:
        for suffix in ("hea", "mat"):
            shutil.copy(data / f"ecg/cinc2017/{name}.{suffix}", tmp_path)
    (tmp_path / "labels.txt").write_text("A\nN\nO\n")
    (tmp_path / "REFERENCE.csv").write_text("A00867,N\nA01042,O\n")
    (tmp_path / "run.toml").write_text(
        'name = "s"\n[model]\npath = "."\n[[source]]\nkind = "ecgsyn"\n[[sink]]\nkind = "console"\n'
        '[[step]]\nkind = "window"\nlength_s = 5.0\n'
    )
    entry = InputEntry(
        name="x", kind="signal", shape=(1, 1500, 1), layout="NTC", units="mV", rate_hz=300.0
    )
    strips = replace(
        RESNET8,
        input=(entry,),
        directory=tmp_path,
        postprocess=replace(RESNET8.postprocess, labels="labels.txt"),
    )

    cases = read(str(tmp_path), strips, steps=tmp_path / "run.toml")

    by_record = {
        (name[:6], int(label)) for name, label in zip(cases.names, cases.labels, strict=True)
    }
    assert by_record == {("A00867", 1), ("A01042", 2)}
    assert cases.left_out == {"records without a class in REFERENCE.csv": 1}


# The choice


def samples(labels):
    return [Sample(str(row), lambda: ({}, None), label) for row, label in enumerate(labels)]


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 70), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_a_choice_is_as_large_as_can_be_even_and_in_order(labels, limit, seed):
    chosen, total = choose(samples(labels), limit, seed, balanced=True)

    rows = [int(sample.name) for sample in chosen]
    assert total == len(labels)
    assert len(rows) == min(limit, len(labels))
    assert all(one < other for one, other in pairwise(rows))
    there, taken = Counter(labels), Counter(labels[row] for row in rows)
    short = [count for label, count in taken.items() if count < there[label]]
    # A class that is not used up has as many as any other, within one.
    assert not short or max(taken.values()) - min(short) <= 1


def test_every_sample_has_the_same_chance():
    drawn = Counter(
        sample.name
        for seed in range(2000)
        for sample in choose(samples([0] * 10), 3, seed, balanced=False)[0]
    )
    # 600 of 2,000 each; the standard deviation is 20.
    assert all(abs(count - 600) < 100 for count in drawn.values())
    assert len(drawn) == 10


def test_quotas_give_what_a_rare_class_leaves_to_the_others():
    assert quotas({0: 100, 1: 2, 2: 100}, 30) == {1: 2, 0: 14, 2: 14}


# The intake


def test_constants_and_states_fill_themselves():
    entries = (
        InputEntry(name="x", kind="feature", feature="x", shape=(1, 2)),
        InputEntry(name="rate", kind="constant", value=(16000.0,), shape=(1,)),
        InputEntry(name="h", kind="state", state="h2", shape=(1, 3)),
    )
    intake = Intake(replace(PAIR, input=entries))
    frame = Frame(np.zeros((0, 0)), 0, 0, 0, "s", features={"x": np.array([1.0, 2.0])})

    arrays, _ = intake.frame(frame, "case")

    assert {name: array.tolist() for name, array in arrays.items()} == {
        "x": [1, 2],
        "rate": 16000,
        "h": [0, 0, 0],
    }


def test_an_input_without_a_shape_is_refused():
    entry = InputEntry(name="x", kind="feature", feature="x")
    with pytest.raises(ConfigError, match="input 'x': shape: is missing"):
        Intake(replace(PAIR, input=(entry,)))
