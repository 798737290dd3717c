from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from edge_runtime.errors import ConfigError, FrameError, SourceLostError
from edge_runtime.replay import formats
from edge_runtime.replay.clock import Pace
from edge_runtime.replay.faults import parse
from edge_runtime.replay.recording import Recording, Wanted
from edge_runtime.replay.replay import Order, Replay
from edge_runtime.replay.transport import transport, until_heard
from edge_runtime.replay.truth import Truth
from edge_runtime.sources.streams.serial import Serial

from ..brokers import wait_until

RATE_HZ = 360.0


@pytest.fixture
def play(tmp_path):
    """Starts a replay in a thread of its own; gives what a reader needs."""
    stop = threading.Event()
    running = []

    def start(record: str, to: str, form: str = "timed-lines", speed: float = np.inf, **options):
        faults = tuple(parse(text) for text in options.pop("faults", ()))
        seed = options.get("seed", 0)
        recording = Recording(Wanted(record, **options))
        recording.open()
        front = formats.plain(form, recording.leads, recording.rate_hz)
        truth = Truth(tmp_path / "truth.jsonl")
        replay = Replay(Order(recording, front, faults, seed), truth)
        way = transport(to, stop)
        way.open()

        def run() -> None:
            with contextlib.closing(truth), contextlib.closing(way):
                if until_heard(way, stop):
                    replay.run(way, Pace(speed, stop))

        thread = threading.Thread(target=run)
        thread.start()
        running.append(thread)
        return way, replay, thread

    start.stop = stop
    yield start
    stop.set()
    for thread in running:
        thread.join(10)
        assert not thread.is_alive()


def lines_of(way) -> list[list[int]]:
    """Everything that comes over TCP, as numbers."""
    return [[int(cell) for cell in line.split(",")] for line in bytes_of(way).decode().split()]


def bytes_of(way) -> bytes:
    host, port = way.where.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        pieces = []
        while piece := client.recv(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


def told(tmp_path, what: str) -> list[dict]:
    lines = (tmp_path / "truth.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["what"] == what]


# --- samples and times


def test_a_record_arrives_whole_at_its_own_times(data, play):
    record = str(data / "ecg" / "cinc2017" / "A00001")
    way, replay, _ = play(record, "tcp://127.0.0.1:0")
    lines = np.array(lines_of(way))
    recording = Recording(Wanted(record))
    recording.open()
    mv = np.concatenate([block.data for block in recording.blocks()])
    assert len(lines) == len(mv) == 9000
    assert np.abs(lines[:, 1:] / 1000 - mv).max() < 0.00051
    assert np.abs(lines[:, 0] - np.arange(9000) / 300 * 1e6).max() <= 0.5
    assert replay.sent.lost_bytes == 0


def test_the_beats_of_a_record_are_those_of_its_annotations(data):
    recording = Recording(Wanted(str(data / "ecg" / "mitdb" / "100"), rate_hz=720.0))
    recording.open()
    beats = recording.beats()
    assert len(beats) == 2273  # the record's own count of beats
    assert beats[0] == (154.0, "N")  # sample 77 at 360 Hz
    assert sum(label == "A" for _, label in beats) == 33


def test_another_rate_is_resampled_and_the_beats_with_it(play, tmp_path):
    way, _, thread = play("ecgsyn:60", "tcp://127.0.0.1:0", rate_hz=125.0)
    lines = np.array(lines_of(way))
    thread.join(10)
    assert len(lines) == pytest.approx(60 * 125, abs=2)
    beats = told(tmp_path, "beat")
    assert len(beats) > 50
    for beat in beats:
        around = lines[max(0, beat["sample"] - 3) : beat["sample"] + 4, 1]
        assert around.max() > 500  # uV: an R peak stands at every one of them
        assert beat["time_s"] == pytest.approx(beat["sample"] / 125, abs=1e-6)


def test_a_loop_goes_on_in_number_and_time(play, tmp_path):
    way, _, thread = play("ecgsyn:4", "tcp://127.0.0.1:0", speed=40.0, loop=True)
    host, port = way.where.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        raw = b""
        while raw.count(b"\n") < 3600:
            raw += client.recv(1 << 16)
    times = [int(line.split(b",")[0]) for line in raw.split(b"\r\n")[:3600]]
    assert {after - before for before, after in pairwise(times)} == {2777, 2778}
    play.stop.set()
    thread.join(10)
    beats = [beat["sample"] for beat in told(tmp_path, "beat")]
    assert len(beats) > 6
    assert [at + 1440 for at in beats if at < 1440] == [at for at in beats if 1440 <= at < 2880]


def test_a_fast_clock_shortens_the_time_between_samples(play):
    way, _, _ = play("ecgsyn:20", "tcp://127.0.0.1:0", faults=["rate=+1%"])
    lines = lines_of(way)
    assert len(lines) == 7200
    assert lines[-1][0] == pytest.approx(7199 / 360 / 1.01 * 1e6, abs=1)


def test_a_replay_at_real_speed_keeps_its_time(play):
    way, replay, thread = play("ecgsyn:2", "tcp://127.0.0.1:0", speed=1.0)
    began = time.monotonic()
    assert bytes_of(way).count(b"\n") == 720
    assert 1.9 < time.monotonic() - began < 4.0
    thread.join(10)
    assert replay.sent.late_s < 0.5


# --- S09: gaps, duplicates, order


def test_s09_a_gap_is_silence_in_which_time_goes_on(play, tmp_path):
    way, _, thread = play("ecgsyn:10", "tcp://127.0.0.1:0", faults=["gap@3+2"])
    times = [line[0] for line in lines_of(way)]
    missing = [(a, b) for a, b in pairwise(times) if b - a > 2778]
    assert missing == [(2_997_222, 5_000_000)]
    thread.join(10)
    assert [(t["phase"], t["sample"], t["time_s"]) for t in told(tmp_path, "fault")] == [
        ("begin", 1080, 3.0),
        ("end", 1800, 5.0),
    ]


def test_s09_faults_come_again_as_often_as_ordered(play, tmp_path):
    way, _, thread = play("ecgsyn:30", "tcp://127.0.0.1:0", faults=["gap@3+1/10", "lead-off@5+2"])
    lines = bytes_of(way).split(b"\r\n")[:-1]
    off = [line for line in lines if line.endswith(b"!")]
    assert len(off) == 720
    assert len(lines) == 30 * 360 - 3 * 360
    thread.join(10)
    begun = [f["time_s"] for f in told(tmp_path, "fault") if f["phase"] == "begin"]
    assert begun == [3.0, 5.0, 13.0, 23.0]


def test_s09_duplicates_and_packets_out_of_order(play):
    way, _, _ = play("ecgsyn:6", "tcp://127.0.0.1:0", faults=["duplicate@1+1", "out-of-order@3+1"])
    times = [line[0] for line in lines_of(way)]
    steps = [after - before for before, after in pairwise(times)]
    assert steps.count(0) == 360
    assert sum(step < 0 for step in steps) == 180
    assert sorted(set(times)) == [round(n / 360 * 1e6) for n in range(2160)]


def test_s09_a_stall_loses_nothing_and_comes_in_one_burst(play):
    way, _, _ = play("ecgsyn:3", "tcp://127.0.0.1:0", speed=2.0, faults=["stall@1+1"])
    host, port = way.where.removeprefix("tcp://").split(":")
    arrivals = []
    with socket.create_connection((host, int(port)), timeout=10) as client:
        while piece := client.recv(1 << 16):
            arrivals += [time.monotonic()] * piece.count(b"\n")
    assert len(arrivals) == 1080
    pauses = [b - a for a, b in pairwise(arrivals)]
    longest = int(np.argmax(pauses))
    assert 0.45 < pauses[longest] < 1.5  # a second at twice the speed
    assert arrivals[longest + 360] - arrivals[longest + 1] < 0.3
    assert longest == 359


def test_the_same_seed_gives_the_same_bytes(play):
    order = ["noise=white:6dB", "bit-errors=1e-3", "truncate=0.01", "drift=0.5%"]
    told_ = [
        bytes_of(play("ecgsyn:20", "tcp://127.0.0.1:0", faults=order, seed=seed)[0])
        for seed in (1, 1, 2)
    ]
    assert told_[0] == told_[1]
    assert told_[0] != told_[2]


# --- S11: the line itself


def serial(way, **options) -> Serial:
    options = {"rate_hz": RATE_HZ, "mv_per_count": 0.001, "t_us_column": 0, **options}
    source = Serial(name="ecg", port=way.where, leads=("MLII",), **options)
    source.open()
    return source


def test_s11_a_pty_is_a_serial_port_to_a_source_and_nothing_is_lost(play, tmp_path):
    way, replay, thread = play("ecgsyn:20", f"pty:{tmp_path / 'board'}", speed=40.0)
    source = serial(way)
    frames = []
    with contextlib.closing(source), contextlib.suppress(SourceLostError):
        while True:
            frame = source.read(1.0)
            frames += [frame] if frame else []
    thread.join(10)
    assert not (tmp_path / "board").is_symlink()
    assert replay.sent.samples == 7200
    assert [frame.seq for frame in frames] == list(range(len(frames)))  # no gap
    # Every line but the first, which may be half of one, and what filled no frame at the end.
    assert sum(len(frame.data) for frame in frames) == 7199 // 14 * 14


def test_s11_an_unplugged_board_is_gone_and_comes_back_at_its_link(play, tmp_path):
    link = tmp_path / "board"
    way, _, _ = play("ecgsyn:12", f"pty:{link}", speed=4.0, faults=["unplug@2+4"])
    source = serial(way)
    with contextlib.closing(source):
        with pytest.raises(SourceLostError):
            while True:
                source.read(1.0)
        wait_until(lambda: not link.is_symlink())
        wait_until(link.is_symlink)
        source.open()
        assert source.read(5.0) is not None


def test_s11_torn_and_spoilt_lines_are_counted_and_the_others_come(play, tmp_path):
    way, _, _ = play(
        "ecgsyn:20",
        f"pty:{tmp_path / 'board'}",
        speed=40.0,
        faults=["bit-errors=1e-3", "truncate=0.01"],
    )
    source = serial(way)
    samples = errors = 0
    with contextlib.closing(source), contextlib.suppress(SourceLostError):
        while True:
            try:
                frame = source.read(1.0)
            except FrameError:
                errors += 1
                continue
            samples += len(frame.data) if frame else 0
    assert errors > 20
    assert 0.7 * 7200 < samples < 7200


def test_what_nobody_reads_is_lost_at_real_speed_and_counted(play, tmp_path):
    way, replay, thread = play("ecgsyn:1", f"pty:{tmp_path / 'board'}", speed=1.0)
    fd = os.open(way.where, os.O_RDONLY | os.O_NOCTTY)
    os.read(fd, 1)
    os.close(fd)
    thread.join(10)
    assert replay.sent.samples == 360
    assert replay.sent.lost_bytes > 0


def test_datagrams_hold_whole_lines(play):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        port = receiver.getsockname()[1]
        play("ecgsyn:2", f"udp://127.0.0.1:{port}", speed=5.0)
        datagrams = []
        while sum(d.count(b"\n") for d in datagrams) < 720:
            datagrams.append(receiver.recv(1 << 16))
    assert all(datagram.endswith(b"\r\n") and len(datagram) <= 1200 for datagram in datagrams)


# --- what cannot be


@pytest.mark.parametrize(
    "to", ["", "pipe", "tcp://127.0.0.1", "tcp://:9", "udp://127.0.0.1:99999", "tcp://1.2.3.4:1/x"]
)
def test_a_way_out_that_does_not_exist_says_how_to_write_it(to):
    with pytest.raises(ConfigError, match="write "):
        transport(to, threading.Event())


def test_a_file_in_the_place_of_the_link_is_left_alone(tmp_path):
    (tmp_path / "board").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        transport(f"pty:{tmp_path / 'board'}", threading.Event()).open()
    assert (tmp_path / "board").read_text() == "mine"


def test_a_record_that_cannot_be_played_says_why(tmp_path, data):
    for record, why in (
        (str(tmp_path / "none"), "none"),
        ("ecgsyn:soon", "write ecgsyn"),
        (str(data / "images" / "cat.bmp"), "cat.bmp"),
    ):
        with pytest.raises(ConfigError, match=why):
            Recording(Wanted(record)).open()
    with pytest.raises(ConfigError, match="has no lead aVF; it has MLII"):
        Recording(Wanted("ecgsyn", leads=("aVF",))).open()
