"""What is parsed is what was encoded, and what nobody encoded is refused."""

from __future__ import annotations

import json
import math

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.encoding import encode
from edge_runtime.events import Alert, Announcement, Gap, ReceivedResult, Status
from edge_runtime.frame import BackendInfo, Identity, Info, Latency, ModelInfo, Quality, SourceState
from edge_runtime.notices import Notices
from edge_runtime.outcome import (
    Beat,
    Beats,
    Box,
    CannotSay,
    Detection,
    Detections,
    Event,
    Events,
    Keypoint,
    Keypoints,
    Label,
    Labels,
    Tensor,
    Tensors,
)
from edge_runtime.parse import event_of, root_of
from edge_runtime.times import rfc3339
from edge_runtime.wire import Encoder, Topics, as_historical
from tests.devices import GAP
from tests.messages import BACKEND, IDENTITY, INFO, MODEL, OUTCOMES, TIME_NS, result
from tests.needs import ROOT

TOPICS = Topics(IDENTITY)
ENCODER = Encoder(IDENTITY)
NOTICES = Notices(IDENTITY)
SOURCE = TOPICS.result("port")


def schema(name: str) -> jsonschema.Draft202012Validator:
    document = json.loads((ROOT / "edge_runtime" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def same(one, other) -> bool:
    """Equal, where NaN is NaN and arrays are compared with shape and type."""
    if isinstance(one, np.ndarray):
        return (one.dtype.kind, one.shape) == (other.dtype.kind, other.shape) and np.array_equal(
            one, other, equal_nan=one.dtype.kind == "f"
        )
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return one == other


def received(made, *, historical: bool = False) -> ReceivedResult:
    """What should come of a result that was made."""
    return ReceivedResult(
        *IDENTITY, made.source, made.id, made.seq, made.timestamp_ns, made.model, made.backend,
        made.latency_ms, made.outcome, historical, made.state, made.quality,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["json", "cbor", "msgpack"])
@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_outcome_comes_back_as_it_was_made(kind, encoding):
    made = result(5, OUTCOMES[kind])

    event = event_of(SOURCE, encode(ENCODER.result(made), encoding))

    assert same(event, received(made))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int64", "uint64", "float16", "float32", "float64"]
)
def test_a_tensor_keeps_its_type_and_every_bit(dtype):
    values = np.random.default_rng(2).uniform(0, 200, (2, 3, 2)).astype(dtype)

    event = event_of(SOURCE, ENCODER.result(result(0, Tensors((Tensor("y", values),)))))

    assert event.outcome.tensors[0].data.dtype == np.dtype(dtype)
    assert np.array_equal(event.outcome.tensors[0].data, values)


# As many digits as the wire keeps; what is not finite is null there and NaN here.
number = st.one_of(
    st.floats(-1e30, 1e30).map(lambda value: float(f"{value:.7g}")), st.just(math.nan)
)
some = st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda value: float(f"{value:.7g}")))
words = st.text(max_size=12).map(lambda text: text.encode("utf-8", "replace").decode())
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=9
).map(lambda text: "".join("x" if sign in "+#/" else sign for sign in text))
moments = st.integers(0, 253_402_300_799 * 10**9)
keypoint = st.builds(Keypoint, words, number, number, number)
box = st.builds(Box, number, number, number, number)
whole = st.integers(0, 2**63 - 1)
qualities = st.builds(Quality, words, some, st.lists(words, max_size=2).map(tuple))
figures = st.dictionaries(words, number, max_size=2)
later = st.one_of(st.none(), moments)
event = st.builds(
    Event, words, words, words, words, moments, later, number, figures, figures,
    st.one_of(st.none(), qualities), words, st.none(), st.booleans(),
)  # fmt: skip
outcomes = st.one_of(
    st.builds(CannotSay, words, words),
    st.builds(Events, st.lists(event, max_size=2).map(tuple)),
    st.builds(Labels, st.lists(st.builds(Label, whole, words, number), max_size=3).map(tuple)),
    st.builds(
        Detections,
        st.lists(
            st.builds(
                Detection, whole, words, number, box, st.lists(keypoint, max_size=2).map(tuple)
            ),
            max_size=3,
        ).map(tuple),
    ),
    st.builds(Keypoints, st.lists(keypoint, max_size=3).map(tuple)),
    st.builds(
        Beats,
        st.lists(st.builds(Beat, whole, words, number, moments, some, some), max_size=3).map(tuple),
    ),
)
backends = st.builds(BackendInfo, words, words, words)
models = st.builds(ModelInfo, words, words, words)
millis = st.one_of(st.integers(0, 9_999_999).map(lambda value: value / 1000), st.just(math.nan))


@given(
    outcomes, names, names, names, whole, moments, models, backends,
    st.builds(Latency, millis, millis, millis, millis), st.booleans(),
    st.sampled_from(["json", "cbor", "msgpack"]), words, st.one_of(st.none(), qualities),
)  # fmt: skip
def test_any_result_comes_back_whatever_it_says(  # noqa: PLR0917 - given by position
    outcome, device, pipeline, source, seq, moment, model, backend, latency, historical, encoding,
    state, quality,
):  # fmt: skip
    made = result(0, outcome, source)._replace(
        seq=seq, timestamp_ns=moment, model=model, backend=backend, latency_ms=latency, state=state,
        quality=quality,
    )  # fmt: skip
    identity = Identity(device, pipeline)
    payload = Encoder(identity).result(made)
    payload = as_historical(payload) if historical else payload

    event = event_of(Topics(identity).result(source), encode(payload, encoding))

    assert same(
        event, received(made, historical=historical)._replace(device=device, pipeline=pipeline)
    )


@given(moments, models, backends, st.lists(st.builds(SourceState, words, words, words), max_size=3))
def test_any_announcement_comes_back(moment, model, backend, sources):
    info = Info(model, backend, tuple(sources))

    event = event_of(TOPICS.info, ENCODER.info(info, moment, "5"))

    assert event == Announcement(*IDENTITY, moment, info, "5")


@pytest.mark.parametrize("state", ["online", "stopped", "offline"])
def test_a_status_is_who_and_what(state):
    assert event_of(TOPICS.status, state.encode()) == Status("bed-7", "ward", state)


def test_a_gap_says_what_will_not_come():
    payload = NOTICES.gap(GAP)
    schema("gap").validate(json.loads(payload))

    event = event_of(TOPICS.gap("port"), payload)

    assert event == Gap(
        "bed-7", "ward", "port", "gap-7", "boot-port", 3, 12, 9, TIME_NS, TIME_NS + 10**9, "full"
    )


@pytest.mark.parametrize("cleared", [True, False])
def test_an_alert_says_what_a_person_should_know(cleared):
    payload = NOTICES.alert("a-1", TIME_NS, "outbox-full", "no room", cleared=cleared)
    schema("alert").validate(json.loads(payload))

    event = event_of(TOPICS.alert, payload)

    assert event == Alert("bed-7", "ward", "a-1", TIME_NS, "outbox-full", "no room", cleared)


@pytest.mark.parametrize("name", ["gap", "alert"])
def test_the_schemas_let_no_key_be_left_out_or_added(name):
    payloads = {
        "gap": NOTICES.gap(GAP),
        "alert": NOTICES.alert("a-1", TIME_NS, "outbox-full", "", cleared=False),
    }
    document = json.loads(payloads[name])

    assert not schema(name).is_valid({**document, "extra": 1})
    for key in document:
        assert not schema(name).is_valid({one: document[one] for one in document if one != key})


def document(kind: str = "labels") -> dict:
    return json.loads(ENCODER.result(result(0, OUTCOMES[kind])))


def refused(changed: object, topic: str = SOURCE) -> str:
    with pytest.raises(ValueError) as caught:
        event_of(topic, json.dumps(changed).encode())
    return str(caught.value)


def test_a_key_of_a_newer_device_is_passed_over():
    newer = {**document(), "more": {"a": [1]}}

    assert event_of(SOURCE, json.dumps(newer).encode()) == received(result())


def test_a_newer_schema_is_refused_by_its_number():
    assert refused({**document(), "schema": 2}) == "schema 2 is not known"


@pytest.mark.parametrize("key", document())
def test_a_result_without_one_of_its_keys_is_refused(key):
    assert key in refused({name: value for name, value in document().items() if name != key})


@pytest.mark.parametrize("wrong", [None, 1, -1, 1.5, "x", True, [], {}, [1], {"a": 1}])
def test_values_of_the_wrong_type_are_refused(wrong):
    for kind in OUTCOMES:
        whole_one = document(kind)
        for path in paths(whole_one):
            changed = json.loads(json.dumps(whole_one))
            holder = changed
            for step in path[:-1]:
                holder = holder[step]
            if type(holder[path[-1]]) is type(wrong) or ok(path, wrong):
                continue
            holder[path[-1]] = wrong
            refused(changed)


def paths(value, before=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*before, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*before, key))


REALS = ("score", "x", "y", "x_min", "y_min", "x_max", "y_max", "capture_to_result", "preprocess",
         "inference", "postprocess", "rr_s", "rate_bpm", "delay_s", "rate_hz")  # fmt: skip


def ok(path, wrong) -> bool:
    """Whether a value of this type may stand there: any number for a number, null for some."""
    if path[-2:-1] == ("data",):
        return wrong is None or type(wrong) in (int, float, bool)
    if path[-1] == "end" and wrong is None:
        return True
    measured = path[-2:-1] in (("values",), ("limits",)) or path[-3:-2] == ("microvolts",)
    return (measured or path[-1] in REALS) and (wrong is None or type(wrong) in (int, float))


@pytest.mark.parametrize("key", ["device", "pipeline", "source"])
def test_a_result_in_the_name_of_another_is_refused(key):
    assert "not as in the topic" in refused({**document(), key: "other"})


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "float32", "shape": [2], "data": [1.0]},
        {"dtype": "float32", "shape": [-1], "data": [1.0]},
        {"dtype": "float32", "shape": [2**40, 2**40], "data": []},
        {"dtype": "float32", "shape": [1], "data": ["1.5"]},
        {"dtype": "float32", "shape": [1, 1], "data": [[1.0]]},
        {"dtype": "uint8", "shape": [1], "data": [None]},
        {"dtype": "int64", "shape": [1], "data": [2**80]},
        {"dtype": "object", "shape": [1], "data": [1]},
        {"dtype": "U1000000000", "shape": [1], "data": [1]},
        {"dtype": "V9", "shape": [0], "data": [{}]},
    ],
)
def test_a_tensor_that_cannot_be_is_refused(tensor):
    changed = document("float tensors")
    changed["result"]["tensors"] = [{"name": "y", **tensor}]

    refused(changed)


def test_a_number_too_large_for_its_tensor_is_infinite_without_a_warning():
    changed = document("float tensors")
    changed["result"]["tensors"] = [{"name": "y", "dtype": "float16", "shape": [1], "data": [1e9]}]

    event = event_of(SOURCE, json.dumps(changed).encode())

    assert np.isinf(event.outcome.tensors[0].data).all()


@pytest.mark.parametrize(
    "time", ["", "2026-11-21T09:30:00Z", "2026-13-01T00:00:00.000000000Z", 7, None]
)
def test_a_time_that_is_none_is_refused(time):
    refused({**document(), "timestamp": time})


@given(moments)
def test_any_time_comes_back_to_the_nanosecond(moment):
    event = event_of(SOURCE, ENCODER.result(result()._replace(timestamp_ns=moment)))

    assert event.timestamp_ns == moment
    assert rfc3339(event.timestamp_ns) == rfc3339(moment)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "result",
        "port/result",
        "d/p/s/result",
        "edge/d/p/s/other",
        "edge/d/p/command/x",
        "edge/d/p/ack",
    ],
)
def test_topics_of_others_are_refused(topic):
    refused(document(), topic)


@pytest.mark.parametrize("payload", [b"", b"on", b"ONLINE", b"\xff", b"online\n"])
def test_a_status_that_is_none_is_refused(payload):
    with pytest.raises(ValueError):
        event_of(TOPICS.status, payload)


@pytest.mark.parametrize("make", ["status", "info", "alert"])
def test_the_root_is_what_a_pipeline_publishes_under(make):
    topics = Topics(IDENTITY, "plant/hall 1")

    assert root_of(getattr(topics, make)) == "plant/hall 1/bed-7/ward"
    assert root_of(topics.result("s")) == root_of(topics.gap("s")) == "plant/hall 1/bed-7/ward"


def test_the_model_and_the_backend_are_those_of_the_frame_module():
    event = event_of(SOURCE, ENCODER.result(result()))

    assert (event.model, event.backend) == (MODEL, BACKEND)
    assert event_of(TOPICS.info, ENCODER.info(INFO, TIME_NS, "5")).info == INFO
