"""The JSON on the wire is what the schemas say, whatever the model said."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import wire
from edge_runtime.errors import BadOptionError
from edge_runtime.frame import BackendInfo, Identity, Info, Latency, Quality, SourceState
from edge_runtime.outcome import (
    Beat,
    Beats,
    Box,
    Detection,
    Detections,
    Keypoint,
    Keypoints,
    Label,
    Labels,
    Tensor,
    Tensors,
)
from tests.messages import BACKEND, IDENTITY, INFO, MODEL, OUTCOMES, TIME_NS, result
from tests.needs import ROOT

NAN, INFINITY = math.nan, math.inf


def schema(name: str) -> jsonschema.Draft202012Validator:
    document = json.loads((ROOT / "edge_runtime" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


RESULT, INFO_SCHEMA = schema("result"), schema("info")


def strict(payload: bytes) -> dict:
    """Parse as a strict reader does: Python's own NaN and Infinity are no JSON."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(payload, parse_constant=refuse)


def encode(**changes) -> dict:
    return strict(wire.Encoder(IDENTITY).result(result()._replace(**changes)))


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_outcome_fits_the_schema(kind: str):
    document = encode(outcome=OUTCOMES[kind])

    RESULT.validate(document)


@pytest.mark.parametrize("kind", OUTCOMES)
def test_the_schema_lets_no_key_be_left_out_or_added(kind: str):
    document = encode(outcome=OUTCOMES[kind])

    assert not RESULT.is_valid({**document, "extra": 1})
    for key in document:
        assert not RESULT.is_valid({name: document[name] for name in document if name != key})
    assert not RESULT.is_valid({**document, "result": {**document["result"], "extra": 1}})


def test_a_label_has_a_head_only_where_its_model_has_several():
    one, two = encode(outcome=OUTCOMES["heads"])["result"]["labels"]

    assert one == {"index": 1, "label": "af", "score": 0.9, "head": "rhythm"}
    assert two["head"] == "find/ings"
    assert b'{"index":1,"label":"person","score":0.75}' in wire.Encoder(IDENTITY).result(result())


def test_a_result_says_everything_that_the_design_lists():
    document = encode()

    assert document == {
        "schema": 1,
        "id": "boot-port-0",
        "device": "bed-7",
        "pipeline": "ward",
        "source": "port",
        "seq": 0,
        "timestamp": "2026-11-21T09:30:00.123456789Z",
        "model": {"name": "beats", "version": "1.2.0", "sha256": "ab" * 32},
        "backend": {"kind": "tflite", "delegate": "xnnpack"},
        "latency_ms": {
            "capture_to_result": 4.5,
            "preprocess": 0.5,
            "inference": 3.0,
            "postprocess": 0.25,
        },
        "result": {
            "kind": "labels",
            "labels": [
                {"index": 1, "label": "person", "score": 0.75},
                {"index": 0, "label": 'no "one"\n', "score": 0.25},
            ],
        },
        "historical": False,
    }


def test_beats_carry_their_own_time_and_null_where_there_is_no_interval():
    first, second = encode(outcome=OUTCOMES["beats"])["result"]["beats"]

    assert first["timestamp"] == "2026-11-21T09:30:00.123456789Z"
    assert (first["rr_s"], first["rate_bpm"]) == (0.8, 75.0)
    assert (second["rr_s"], second["rate_bpm"]) == (None, None)


def test_a_degraded_backend_says_why_and_a_good_one_says_nothing():
    degraded = encode(backend=BackendInfo("onnx", "cpu", 'cuda: "no device"'))
    RESULT.validate(degraded)

    assert degraded["backend"]["degraded"] == 'cuda: "no device"'
    assert "degraded" not in encode()["backend"]


def test_the_encoder_follows_a_change_of_model_backend_and_source():
    encoder = wire.Encoder(IDENTITY)
    encoder.result(result())

    other = result(source="cam")._replace(
        model=MODEL._replace(version="2.0.0"),
        backend=BackendInfo("onnx", "cpu"),
    )
    document = strict(encoder.result(other))
    again = strict(encoder.result(result()))

    assert document["source"] == "cam"
    assert document["model"]["version"] == "2.0.0"
    assert document["backend"]["kind"] == "onnx"
    assert (again["source"], again["model"]["version"]) == ("port", "1.2.0")


def test_evidence_is_in_whole_microvolts_lead_by_lead():
    event = encode(outcome=OUTCOMES["events"])["result"]["events"][1]

    assert event["evidence"]["leads"] == ["II", "V1"]
    assert event["evidence"]["microvolts"] == [[1500, None], [-250, 0]]
    assert event["values"] == {"pause_s": 4.5, "lost": None}


def test_a_result_tells_the_signal_s_quality_and_a_source_that_is_not_live():
    told = encode(state="gap", quality=Quality("bad", None, ("noise",)))

    RESULT.validate(told)
    assert told["quality"] == {"state": "bad", "score": None, "reasons": ["noise"]}
    assert told["source_state"] == "gap"
    assert told["historical"] is False
    assert not {"quality", "source_state"} & set(encode())


@pytest.mark.parametrize("bad", [NAN, INFINITY, -INFINITY, np.float32(NAN)])
def test_what_json_cannot_say_is_null(bad: float):
    keypoint = Keypoint("k", bad, bad, bad)
    outcomes = [
        Labels((Label(0, "inf", bad),)),
        Detections((Detection(0, "nan", bad, Box(bad, bad, bad, bad), (keypoint,)),)),
        Beats((Beat(0, "N", bad, TIME_NS, bad, bad),)),
        Keypoints((keypoint,)),
        Tensors((Tensor("t", np.array([bad, 1.5], np.float32)),)),
        Tensors((Tensor("t", np.array([bad, 1.5])),)),
    ]
    for outcome in outcomes:
        document = encode(outcome=outcome, latency_ms=Latency(bad, 1.0, bad, 0.5))

        RESULT.validate(document)
        assert document["latency_ms"]["capture_to_result"] is None
        assert document["latency_ms"]["preprocess"] == 1.0
    assert document["result"]["tensors"][0]["data"] == [None, 1.5]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_tensor_values_read_back_exactly(dtype: type):
    values = np.random.default_rng(1).standard_normal((3, 4)).astype(dtype)

    tensor = encode(outcome=Tensors((Tensor("y", values),)))["result"]["tensors"][0]

    assert (tensor["shape"], tensor["dtype"]) == ([3, 4], np.dtype(dtype).name)
    assert np.array_equal(np.array(tensor["data"], dtype).reshape(tensor["shape"]), values)


def test_whole_tensor_values_stay_whole():
    tensors = encode(outcome=OUTCOMES["whole tensors"])["result"]["tensors"]

    assert tensors[0]["data"] == [-(2**63)]
    assert tensors[1]["data"] == [1]


def test_numpy_scalars_are_numbers_like_others():
    label = Label(int(np.int64(1)), "x", np.float32(0.1))

    assert encode(outcome=Labels((label,)))["result"]["labels"][0]["score"] == 0.1


@given(
    name=st.text(),
    score=st.floats(),
    took=st.floats(),
    seq=st.integers(0, 2**63),
    time_ns=st.integers(0, 2**62),
)
def test_any_text_and_any_number_gives_valid_json(name, score, took, seq, time_ns):
    document = encode(
        seq=seq,
        timestamp_ns=time_ns,
        latency_ms=Latency(took, took, took, took),
        outcome=Labels((Label(0, name, score),)),
    )

    RESULT.validate(document)
    label = document["result"]["labels"][0]
    assert label["label"] == name.encode("utf-8", "replace").decode()
    if math.isfinite(score):
        assert label["score"] == pytest.approx(score, rel=1e-6)


@given(st.integers(0, 253_402_300_799))
def test_times_are_rfc_3339_with_nine_decimals(second: int):
    text = wire.rfc3339(second * 10**9 + 7)

    assert text.endswith(".000000007Z")
    moment = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    assert int(moment.timestamp()) == second


def test_a_replayed_result_differs_in_one_word():
    live = wire.Encoder(IDENTITY).result(result())

    replayed = wire.as_historical(live)

    assert strict(replayed) == {**strict(live), "historical": True}
    assert wire.as_historical(replayed) == replayed


@pytest.mark.parametrize("protocol", ["5", "3.1.1", ""])
def test_an_announcement_fits_its_schema(protocol: str):
    document = strict(wire.Encoder(IDENTITY).info(INFO, TIME_NS, protocol))

    INFO_SCHEMA.validate(document)
    assert document["protocol"] == protocol
    assert document["sources"][1] == {"name": "file", "state": "lost", "detail": "gone"}


def test_an_announcement_tells_of_a_degraded_backend():
    info = Info(MODEL, BACKEND._replace(degraded="no npu"), (SourceState("a", "opening"),))

    document = strict(wire.Encoder(IDENTITY).info(info, TIME_NS, "5"))

    INFO_SCHEMA.validate(document)
    assert document["backend"]["degraded"] == "no npu"


def test_topics_are_those_of_the_design():
    topics = wire.Topics(IDENTITY)

    assert topics.result("cam0") == "edge/bed-7/ward/cam0/result"
    assert topics.status == "edge/bed-7/ward/status"
    assert topics.info == "edge/bed-7/ward/info"
    assert wire.Topics(IDENTITY, "plant/hall 1").info == "plant/hall 1/bed-7/ward/info"


@pytest.mark.parametrize("bad", ["", "a+b", "#", "a/b", "nul\0", "bell\x07", "\ud800", "x" * 129])
def test_a_name_that_is_no_topic_level_is_refused_by_its_key(bad: str):
    with pytest.raises(BadOptionError) as caught:
        wire.check_level("source", bad)
    assert caught.value.key == "source"
    with pytest.raises(BadOptionError) as caught:
        wire.Topics(Identity(bad, "p"))
    assert caught.value.key == "device"
    with pytest.raises(BadOptionError) as caught:
        wire.Topics(Identity("d", bad))
    assert caught.value.key == "pipeline"


@pytest.mark.parametrize("bad", ["", "$SYS", "a//b", "a/#", "/a"])
def test_a_prefix_that_no_client_may_publish_under_is_refused(bad: str):
    with pytest.raises(BadOptionError) as caught:
        wire.Topics(IDENTITY, bad)
    assert caught.value.key == "prefix"


def test_encoding_is_cheaper_than_json_dumps_of_the_same():
    """The hot path's bound, as a ratio inside one run so that a busy machine changes nothing."""
    import time

    encoder, sample = wire.Encoder(IDENTITY), result()
    document = strict(encoder.result(sample))

    def cost(encode) -> float:
        best = math.inf
        for _ in range(20):
            began = time.thread_time_ns()
            for _ in range(200):
                encode()
            best = min(best, time.thread_time_ns() - began)
        return best

    assert cost(lambda: encoder.result(sample)) < cost(lambda: json.dumps(document).encode())
