"""`edge-run bench`: figures for each way to run a model, and reasons where there are none."""

from __future__ import annotations

import json

import pytest

from .commands import edge_run

KEYS = ("p50_ms", "p99_ms", "min_ms", "cpu_ms", "load_ms", "rss_load_mb", "rss_run_mb")

SILERO = """\
name = "silero-vad"
version = "1.0.0"
task = "tensors"
[[file]]
path = "silero_vad_16k_op15.onnx"
format = "onnx"
precision = "float32"
[[input]]
name = "input"
kind = "signal"
shape = [1, 576]
layout = "NT"
units = "raw"
rate_hz = 16000.0
context = 64
[[input]]
name = "1"
kind = "state"
shape = [2, 1, 128]
state = "stateN"
[[input]]
name = "sr"
kind = "constant"
value = [16000.0]
[[output]]
name = "output"
meaning = "scores"
[postprocess]
kind = "tensors"
"""


def figures(*words: object) -> list[dict[str, object]]:
    found = edge_run("bench", *words, "--json")
    assert found.code == 0, found.err
    return json.loads(found.out)["runs"]


def test_each_delegate_and_number_of_threads_has_its_figures(vww):
    runs = figures(vww, "--delegates", "xnnpack,cpu", "--threads", "1,2", "--seconds", "0.2")

    ways = [(run["delegate"], run["threads"]) for run in runs]
    assert ways == [("xnnpack", 1), ("xnnpack", 2), ("cpu", 1), ("cpu", 2)]
    for run in runs:
        assert all(run[key] > 0 for key in KEYS)
        assert run["min_ms"] <= run["p50_ms"] <= run["p99_ms"]
        assert run["calls"] > 0
        assert 10 < run["rss_run_mb"] < 500


def test_the_table_is_aligned_and_says_where_its_figures_are_from(vww):
    found = edge_run("bench", vww, "--delegates", "xnnpack", "--seconds", "0.2")

    head, first, second, *rest = found.out.splitlines()
    assert len(head) == len(first) == len(second)
    assert "the golden vectors" in rest[0]
    assert "this machine" in rest[1]


def test_what_is_not_here_is_named_with_its_reason(vww):
    found = edge_run("bench", vww, "--threads", "1", "--seconds", "0.1")

    assert found.code == 0
    assert "not available: vww_96_int8.tflite on edgetpu: " in found.out


def test_a_bare_file_gets_random_inputs_and_that_is_said(data):
    found = edge_run(
        *("bench", data / "models/mobilenet-v1-025-imagenet/mobilenet_v1_0.25_224_float.tflite"),
        *("--delegates", "cpu", "--threads", "1", "--seconds", "0.2"),
    )

    assert found.code == 0
    assert "random numbers" in found.out


def test_an_onnx_file_is_measured_too(data):
    (run,) = [
        run
        for run in figures(
            data / "ecg/models_thirdparty/uno_q_beat5/model_int8.onnx",
            *("--threads", "1", "--seconds", "0.2"),
        )
        if run["calls"]
    ]

    assert run["delegate"] == "cpu"
    assert "onnxruntime" in run["runtime"]


def test_states_and_constants_are_given_as_the_manifest_says(data, tmp_path):
    (tmp_path / "model.toml").write_text(SILERO, encoding="utf-8")

    (run,) = figures(
        *(data / "models/silero-vad/silero_vad_16k_op15.onnx", "--delegates", "cpu"),
        *("--manifest", tmp_path / "model.toml", "--threads", "1", "--seconds", "0.2"),
    )

    assert run["calls"] > 0


def test_a_pace_is_kept(vww):
    (run,) = figures(
        *(vww, "--delegates", "xnnpack", "--threads", "1", "--seconds", "1", "--rate", "20")
    )

    assert 15 <= run["calls"] <= 25


def test_open_dimensions_are_asked_for(data):
    found = edge_run("bench", data / "models/silero-vad/silero_vad_16k_op15.onnx")

    assert (found.code, len(found.errors)) == (3, 1)
    assert "shape" in found.errors[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--delegates", "xnpack"), "xnnpack"),
        (("--threads", "0"), "threads"),
        (("--threads", "a"), "threads"),
        (("--seconds", "-1"), "seconds"),
    ],
)
def test_a_wrong_option_is_code_2(vww, words, told):
    found = edge_run("bench", vww, *words)

    assert found.code == 2
    assert told in found.err


def test_a_model_that_is_not_there_is_one_line_and_code_2(tmp_path):
    found = edge_run("bench", "nowhere", cwd=tmp_path)

    assert (found.code, len(found.errors)) == (2, 1)


def test_a_model_that_loads_nowhere_is_one_line_and_code_3(data):
    found = edge_run("bench", data / "models/broken/person_detect_int8.tflite")

    assert (found.code, len(found.errors)) == (3, 1)
