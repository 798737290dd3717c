"""The monitor `recorder`: clips and pictures around a trigger, bounded on disk."""

from __future__ import annotations

import json
import os
import time

import cv2
import numpy as np
import pytest

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import BackendInfo, Frame, Latency, ModelInfo, Result, SourceState
from edge_runtime.outcome import Box, Detection, Detections, Label, Labels
from edge_runtime.recording.avi import Avi
from edge_runtime.recording.recorder import Recorder
from edge_runtime.recording.writer import Picture, Writer

START_NS = 1_700_000_000_000_000_000
RATE_HZ = 10


def frame(seq, size=(120, 160)):
    data = np.full((*size, 3), (seq * 7) % 200 + 20, np.uint8)
    return Frame(data, START_NS + seq * 10**9 // RATE_HZ, seq, seq, "gate")


def result(of, outcome):
    return Result(
        f"id-{of.seq}", "gate", of.seq, of.timestamp_ns, of.monotonic_ns,
        ModelInfo("m", "1.0.0", "0"), BackendInfo("tflite", "cpu"), Latency(0, 0, 0, 0), outcome,
    )  # fmt: skip


def person(score=0.9):
    return Detections((Detection(0, "person", score, Box(0, 0, 1, 1)),))


NOTHING = Detections(())


def play(recorder, found, count=200, first=0):
    """`found` says for a frame's number what the model found in it."""
    for seq in range(first, first + count):
        one = frame(seq)
        assert list(recorder.frame(one)) == []
        assert list(recorder.result(result(one, found(seq)))) == []


def clips(folder, kind="avi"):
    return sorted((folder / "gate").glob(f"*.{kind}"))


def pictures(file):
    """The grey levels of a clip's pictures, and its rate."""
    capture = cv2.VideoCapture(str(file))
    levels = []
    while (read := capture.read())[0]:
        levels.append(round(float(read[1].mean())))
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return levels, rate_hz


@pytest.fixture
def make(tmp_path):
    made = []

    def recorder(**options):
        made.append(Recorder(path=str(tmp_path), **options))
        return made[-1]

    yield recorder
    for one in made:
        one.flush()


def test_a_clip_shows_what_was_before_and_after_its_trigger(make, tmp_path):
    recorder = make(before_s=2, after_s=3, rate_hz=10)

    play(recorder, lambda seq: person() if seq == 50 else NOTHING)
    recorder.flush()

    (file,) = clips(tmp_path)
    levels, rate_hz = pictures(file)
    wanted = [(seq * 7) % 200 + 20 for seq in range(30, 81)]
    assert len(levels) == len(wanted)
    assert np.abs(np.subtract(levels, wanted)).max() <= 2
    assert rate_hz == pytest.approx(10, rel=0.01)
    assert file.name == "2023-11-14T22-13-25.000000Z_person.avi"


def test_the_facts_beside_a_clip_name_its_triggers_and_the_time_of_every_picture(make, tmp_path):
    recorder = make(before_s=1, after_s=1, rate_hz=10)
    play(recorder, lambda seq: person(0.5 + seq / 1000) if seq in (50, 55) else NOTHING)
    recorder.flush()

    facts = json.loads(clips(tmp_path, "json")[0].read_text())

    assert [trigger["id"] for trigger in facts["triggers"]] == ["id-50", "id-55"]
    assert facts["triggers"][0]["found"] == [{"label": "person", "score": 0.55}]
    assert facts["source"] == "gate"
    assert facts["timestamps_ns"] == [frame(seq).timestamp_ns for seq in range(40, 66)]


def test_a_trigger_that_lasts_is_one_clip_of_a_minute_and_goes_on_in_the_next(make, tmp_path):
    recorder = make(before_s=0, after_s=1, rate_hz=10)

    play(recorder, lambda _: person(), count=700)
    recorder.flush()

    assert [len(pictures(file)[0]) for file in clips(tmp_path)] == [602, 98]


def test_only_what_is_asked_for_triggers(make, tmp_path):
    recorder = make(labels=("cat",), score_min=0.6)
    cat, unsure = Labels((Label(1, "cat", 0.7),)), Labels((Label(1, "cat", 0.5),))

    play(recorder, lambda _: person(), count=10)
    play(recorder, lambda _: unsure, count=10, first=10)
    assert not clips(tmp_path)
    play(recorder, lambda _: cat, count=10, first=20)
    recorder.flush()

    assert len(clips(tmp_path)) == 1


def test_a_picture_of_the_very_frame_is_kept_when_pictures_are_asked_for(make, tmp_path):
    recorder = make(what="picture", width=80)

    play(recorder, lambda seq: person() if seq == 7 else NOTHING, count=20)
    recorder.flush()

    (file,) = clips(tmp_path, "jpg")
    image = cv2.imread(str(file))
    assert image.shape == (60, 80, 3)
    assert abs(image.mean() - frame(7).data.mean()) < 2
    assert json.loads(clips(tmp_path, "json")[0].read_text())["triggers"][0]["id"] == "id-7"


def test_a_clip_of_a_camera_that_is_lost_ends(make, tmp_path):
    recorder = make(after_s=60, rate_hz=10)
    play(recorder, lambda seq: person() if seq == 5 else NOTHING, count=10)

    recorder.state(SourceState("gate", "lost"))
    play(recorder, lambda _: NOTHING, count=10, first=10)
    recorder.flush()

    assert len(pictures(clips(tmp_path)[0])[0]) == 10


def test_a_camera_that_changes_its_size_does_not_break_the_clip(make, tmp_path):
    recorder = make(rate_hz=10)
    play(recorder, lambda _: person(), count=10)
    recorder.frame(frame(10, size=(60, 80)))
    recorder.flush()

    assert len(pictures(clips(tmp_path)[0])[0]) == 10


def put(folder, name, size, age_days=0.0):
    file = folder / name
    file.write_bytes(b"x" * size)
    then = time.time() - age_days * 86_400
    os.utime(file, (then, then))


def test_the_oldest_go_when_there_are_too_many_bytes_or_they_are_too_old(tmp_path):
    for name, size, age in (("a", 600_000, 3), ("b", 600_000, 2), ("c", 300_000, 1)):
        put(tmp_path, name, size, age)
    put(tmp_path, "ancient", 10, 90)
    writer = Writer(tmp_path, bytes_max=1_000_000, days_max=30)

    writer.still("new", Picture(b"\xff\xd8", START_NS, 1, 1), {})
    writer.close()

    assert {file.name for file in tmp_path.iterdir()} == {"b", "c", "new.jpg", "new.json"}


def test_what_a_killed_run_left_half_written_goes_at_the_next_start(tmp_path):
    put(tmp_path, "half.avi.part", 100)
    writer = Writer(tmp_path, bytes_max=1_000_000, days_max=30)

    writer.still("new", Picture(b"\xff\xd8", START_NS, 1, 1), {})
    writer.close()

    assert not list(tmp_path.glob("*.part"))


def test_a_disk_that_refuses_costs_the_recording_and_a_line_in_the_log(tmp_path, caplog):
    file = tmp_path / "taken"
    file.touch()
    writer = Writer(file, bytes_max=1_000_000, days_max=30)

    writer.still("a", Picture(b"\xff\xd8", START_NS, 1, 1), {})
    writer.close()

    assert "recording: " in caplog.text


def test_a_slow_disk_leaves_out_pictures_and_never_blocks(tmp_path, monkeypatch):
    writer = Writer(tmp_path, bytes_max=1_000_000, days_max=30)
    monkeypatch.setattr(writer, "_run", lambda: None)  # a disk that does nothing at all
    started = time.monotonic()

    for _ in range(1000):
        writer.add(Picture(b"", START_NS, 1, 1))

    assert time.monotonic() - started < 1
    assert writer.lost == 1000 - 256


def test_the_avi_has_what_its_format_wants(tmp_path):
    file = tmp_path / "a.avi"
    with file.open("wb") as stream:
        avi = Avi(stream, 64, 48)
        for _ in range(3):
            avi.add(b"\xff\xd8 odd\xff\xd9")
        avi.close(12.5)
    data = file.read_bytes()

    assert data[:4] == b"RIFF"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    at = data.index(b"LIST", 20 + 192 - 8)
    assert data[at + 8 : at + 12] == b"movi"
    index = data.index(b"idx1")
    assert at + 8 + int.from_bytes(data[at + 4 : at + 8], "little") == index
    for row in range(3):
        entry = data[index + 8 + 16 * row :][:16]
        offset = int.from_bytes(entry[8:12], "little")
        assert data[at + 8 + offset :][:4] == b"00dc"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"path": ""}, "path"),
        ({"path": "x", "rate_hz": 0.0}, "rate_hz"),
        ({"path": "x", "quality": 0}, "quality"),
        ({"path": "x", "bytes_max": 10}, "bytes_max"),
        ({"path": "x", "score_min": 2.0}, "score_min"),
    ],
)
def test_an_impossible_option_is_refused_by_name(options, key):
    with pytest.raises(BadOptionError) as refused:
        Recorder(**options)

    assert refused.value.key == key
