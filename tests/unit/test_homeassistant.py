from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import pytest
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edge_runtime import build
from edge_runtime.config import from_table
from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Identity, Info, SourceState
from edge_runtime.manifest import PostprocessEntry
from edge_runtime.mqtt.homeassistant import HomeAssistant, HomeAssistantOptions
from edge_runtime.mqtt.message import Message
from edge_runtime.outcome import (
    Box,
    Detection,
    Detections,
    Keypoint,
    Keypoints,
    Label,
    Labels,
    Outcome,
)
from edge_runtime.tables import parse_toml
from edge_runtime.wire import Encoder, Topics, as_historical

from ..messages import BACKEND, IDENTITY, MODEL, OUTCOMES, result
from ..needs import ROOT
from ..scripted import Collected, Doubler, ScriptedSource, frame
from . import test_pipeline

TOPICS = Topics(IDENTITY)
TASKS = {
    "labels": "classification",
    "no labels": "classification",
    "detections": "detection",
    "pose in a detection": "detection",
    "nothing found": "detection",
    "keypoints": "keypoints",
    "beats": "beats",
}


def info(task: str, *labels: str, sources: tuple[str, ...] = ("port",), state="live") -> Info:
    states = tuple(SourceState(source, state) for source in sources)
    return Info(MODEL, BACKEND, states, task, labels)


def companion(identity: Identity = IDENTITY, **options: Any) -> HomeAssistant:
    return HomeAssistant(HomeAssistantOptions(**options), identity, Topics(identity))


def components(found: Info, **options: Any) -> dict[str, dict[str, Any]]:
    return companion(**options).payload(found)["cmps"]


def rendered(template: str, payload: bytes, this: str = "unknown") -> str:
    """As Home Assistant renders, but an undefined name is an error."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    names: dict[str, Any] = {"value": payload.decode(), "this": {"state": this}}
    if payload.startswith(b"{"):
        names["value_json"] = json.loads(payload)
    return environment.from_string(template).render(names).strip()


def shown(
    component: dict[str, Any], outcome: Outcome, *, late: bool = False, this: str = "unknown"
) -> str:
    payload = Encoder(IDENTITY).result(result(outcome=outcome))
    return rendered(component["val_tpl"], as_historical(payload) if late else payload, this)


def announced(found: Info) -> bytes:
    return Encoder(IDENTITY).info(found, 0, "5")


def test_a_classification_becomes_a_label_and_a_score():
    made = components(info("classification", "person", "nobody"))

    label, score = made["port/label"], made["port/score"]
    assert (label["p"], label["dev_cla"], label["ops"]) == ("sensor", "enum", ["person", "nobody"])
    assert label["stat_t"] == TOPICS.result("port")
    assert shown(label, OUTCOMES["labels"]) == "person"
    assert (score["unit_of_meas"], score["stat_cla"]) == ("%", "measurement")
    assert float(shown(score, OUTCOMES["labels"])) == 75.0


def test_each_head_becomes_its_labels_and_the_score_of_the_first():
    heads = {"rhythm": ("sinus", "af"), "find/ings": ("MI",), "noise": ("noise",)}
    made = components(info("classification")._replace(heads=heads))
    both = Labels((*OUTCOMES["heads"].labels, Label(1, "HYP", 0.5, "find/ings")))

    assert "port/label" not in made
    assert made["port/head%2Frhythm"]["name"] == "rhythm"
    assert shown(made["port/head%2Frhythm"], OUTCOMES["heads"]) == "af"
    assert shown(made["port/head%2Ffind%2Fings"], both) == "MI, HYP"
    assert shown(made["port/head%2Frhythm%2Fscore"], both) == "90.0"
    assert shown(made["port/head%2Fnoise"], both) == "none"
    assert shown(made["port/head%2Fnoise%2Fscore"], both) == "None"
    assert shown(made["port/head%2Frhythm"], both, late=True, this="sinus") == "sinus"
    assert shown(made["port/head%2Frhythm"], OUTCOMES["cannot say"]) == "None"
    assert shown(made["port/head%2Frhythm%2Fscore"], OUTCOMES["cannot say"]) == "None"


def test_too_many_labels_to_keep_with_every_state_become_plain_text():
    label = components(info("classification", *map(str, range(101))))["port/label"]
    assert "ops" not in label
    assert "dev_cla" not in label


def test_detections_become_a_count_and_one_sensor_for_each_label():
    made = components(info("detection", "Käfer", "cat"))

    assert made["port/label%2FK%C3%A4fer"]["dev_cla"] == "occupancy"
    assert shown(made["port/label%2FK%C3%A4fer"], OUTCOMES["detections"]) == "ON"
    assert shown(made["port/label%2Fcat"], OUTCOMES["detections"]) == "OFF"
    assert shown(made["port/count"], OUTCOMES["detections"]) == "1"
    assert shown(made["port/count"], OUTCOMES["nothing found"]) == "0"


@pytest.mark.parametrize("label", ['say "hi"', "a}}b", "{% x %}", "{{ 1 }}", "back\\slash", "😀'"])
def test_a_label_may_hold_what_templates_are_made_of(label: str):
    (key,) = (key for key in components(info("detection", label)) if "label" in key)
    component = components(info("detection", label))[key]
    found = Detections((Detection(0, label, 0.5, Box(0, 0, 1, 1)),))

    assert shown(component, found) == "ON"
    assert shown(component, OUTCOMES["nothing found"]) == "OFF"
    assert " " not in key


def test_the_first_twelve_labels_or_those_that_are_named_get_a_sensor():
    many = info("detection", *(f"l{n}" for n in range(90)))
    named = [c["name"] for c in components(many).values() if c.get("dev_cla") == "occupancy"]
    assert named == [f"l{n}" for n in range(12)]

    chosen = components(many, labels=("l80", "l3"))
    named = [c["name"] for c in chosen.values() if c.get("dev_cla") == "occupancy"]
    assert named == ["l80", "l3"]


def test_beats_become_a_heart_rate_and_the_last_beat():
    made = components(info("beats", "N", "V", "unsure"))
    first = OUTCOMES["beats"]._replace(beats=OUTCOMES["beats"].beats[:1])

    assert made["port/rate"]["unit_of_meas"] == "bpm"
    assert shown(made["port/rate"], first) == "75"
    assert shown(made["port/beat"], first) == "N"
    assert shown(made["port/beat"], OUTCOMES["beats"]) == "V"
    assert shown(made["port/rate"], OUTCOMES["beats"]) == "None"  # a beat after a gap has none
    assert made["port/beat"]["ops"] == ["N", "V", "unsure"]


def test_a_pose_becomes_the_mean_of_its_scores():
    score = components(info("keypoints"))["port/score"]
    unknown = Keypoints((Keypoint("a", math.nan, 0, 0), Keypoint("b", 0.5, 0, 0)))

    assert shown(score, OUTCOMES["keypoints"]) == "37.5"
    assert shown(score, unknown) == "50.0"
    assert shown(score, Keypoints(())) == "None"


def test_what_is_not_there_is_unknown():
    made = components(info("classification", "person"))
    nan = Labels((Label(0, "person", math.nan),))

    assert shown(made["port/label"], Labels(())) == "None"
    assert shown(made["port/score"], Labels(())) == "None"
    assert shown(made["port/score"], nan) == "None"


@pytest.mark.parametrize("name", TASKS)
def test_a_late_result_changes_nothing(name: str):
    for key, made in components(info(TASKS[name], "person", "Käfer", "N")).items():
        if made["stat_t"].endswith("/result"):
            kept = "N" if "ops" in made else ""  # an empty text leaves all but a text as it is
            assert shown(made, OUTCOMES[name], late=True, this="N") == kept, key
            assert shown(made, OUTCOMES[name], late=False, this="kept") not in ("kept", ""), key


def test_a_late_result_does_not_make_unavailable_a_label():
    label = components(info("classification", "person"))["port/label"]
    assert shown(label, OUTCOMES["labels"], late=True, this="unavailable") == "None"


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_template_renders_every_result(name: str):
    task = TASKS.get(name, "tensors")
    found = info(task, "person", "Käfer")
    payload = Encoder(IDENTITY).result(result(outcome=OUTCOMES[name]))
    made = components(found)

    assert "port/latency" in made
    for key, component in made.items():
        source = payload if component["stat_t"].endswith("/result") else announced(found)
        assert rendered(component["val_tpl"], source), key
        if "json_attr_t" in component:
            assert isinstance(json.loads(rendered(component["json_attr_tpl"], source)), dict)


def test_the_pipeline_tells_its_model_delegate_and_degradation():
    good = info("tensors")
    bad = good._replace(backend=BACKEND._replace(degraded="no npu"))
    made = components(good)

    assert rendered(made["model"]["val_tpl"], announced(good)) == "beats 1.2.0"
    assert rendered(made["delegate"]["val_tpl"], announced(good)) == "tflite xnnpack"
    assert rendered(made["degraded"]["val_tpl"], announced(good)) == "OFF"
    assert rendered(made["degraded"]["val_tpl"], announced(bad)) == "ON"
    assert "no npu" in rendered(made["degraded"]["json_attr_tpl"], announced(bad))
    assert {made[key]["ent_cat"] for key in ("model", "delegate", "degraded")} == {"diagnostic"}
    assert made["port/latency"]["en"] is False


@pytest.mark.parametrize(
    ("state", "link", "available"),
    [
        ("live", "ON", "online"),
        ("ended", "OFF", "online"),
        ("lost", "OFF", "offline"),
        ("lead-off", "OFF", "offline"),
        ("opening", "OFF", "offline"),
    ],
)
def test_results_of_a_source_that_is_not_live_are_not_available(state, link, available):
    found = info("classification", "person", sources=("a", "port"))
    lost = found._replace(sources=(SourceState("a", "live"), SourceState("port", state, "why")))
    made = components(found)

    ours = {entry["t"]: entry["val_tpl"] for entry in made["port/label"]["avty"]}
    assert made["port/label"]["avty_mode"] == "all"
    assert rendered(ours[TOPICS.info], announced(lost)) == available
    assert rendered(made["port/source"]["val_tpl"], announced(lost)) == link
    assert '"why"' in rendered(made["port/source"]["json_attr_tpl"], announced(lost))
    other = {entry["t"]: entry["val_tpl"] for entry in made["a/label"]["avty"]}
    assert rendered(other[TOPICS.info], announced(lost)) == "online"


def test_everything_is_unavailable_unless_the_status_is_online():
    (everything,) = companion().payload(info("tensors"))["avty"]
    assert everything["t"] == TOPICS.status
    said = {word: rendered(everything["val_tpl"], word.encode()) for word in
            ("online", "offline", "stopped")}  # fmt: skip
    assert said == {"online": "online", "offline": "offline", "stopped": "offline"}


def test_every_component_has_an_identity_of_its_own_across_devices():
    found = info("detection", "a b", "a_b", "a/b", sources=("x", "x.y"))
    pairs = [Identity("a_b", "c"), Identity("a", "b_c"), Identity("a", "b"), Identity("ä", "b")]
    payloads = [companion(identity).payload(found) for identity in pairs]
    ids = [c["uniq_id"] for payload in payloads for c in payload["cmps"].values()]

    names = [c["name"] for c in payloads[0]["cmps"].values()]

    assert len(names) == len(set(names))
    assert {"x a b", "x.y a b", "model"} < set(names)
    assert len(ids) == len(set(ids)) == 4 * len(payloads[0]["cmps"])
    assert len({companion(identity).topic for identity in pairs}) == 4
    assert all(" " not in key for key in payloads[0]["cmps"])


@pytest.mark.parametrize("name", ["plain-1_A", "bed 7", "Käfer", "a.b", "日本"])
def test_a_discovery_topic_holds_only_what_home_assistant_takes(name: str):
    topic = companion(Identity(name, name), prefix="home/ha").topic
    assert re.fullmatch(r"home/ha/device/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config", topic)


def test_the_device_is_announced_whole_retained_and_again_when_home_assistant_starts():
    ours = companion(name="Bed seven")
    (post,) = ours.greet(info("beats", "N"))
    payload = json.loads(post.payload)

    assert (post.topic, post.retain) == ("homeassistant/device/bed-7/ward/config", True)
    assert payload["dev"]["name"] == "Bed seven"
    assert payload["dev"]["sw"] == "1.2.0"
    assert payload["dev"]["ids"]
    assert payload["o"]["name"] == "edge-run"
    assert all(made["p"] and made["uniq_id"] for made in payload["cmps"].values())
    assert ours.filters == ("homeassistant/status",)
    assert tuple(ours.hear(Message("homeassistant/status", b"online"))) == (post,)


@pytest.mark.parametrize(
    "message",
    [
        Message("homeassistant/status", b"offline"),
        Message("homeassistant/status", b"online", retained=True),
        Message("edge/bed-7/ward/command/x", b"online"),
    ],
)
def test_other_messages_are_not_answered(message: Message):
    ours = companion()
    ours.greet(info("tensors"))
    assert not ours.hear(message)


def test_a_device_that_is_switched_off_is_removed_once():
    ours = companion(enabled=False)
    assert [(p.topic, p.payload, p.retain) for p in ours.greet(info("tensors"))] == [
        ("homeassistant/device/bed-7/ward/config", b"", True)
    ]
    assert not ours.greet(info("tensors"))
    assert not ours.filters
    assert not ours.hear(Message("homeassistant/status", b"online"))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("prefix", ""), ("prefix", "a//b"), ("prefix", "a/#"), ("labels", ("a", "a"))],
)
def test_impossible_options_are_refused(key: str, wrong: Any):
    with pytest.raises(BadOptionError) as caught:
        HomeAssistantOptions(**{key: wrong})
    assert caught.value.key == key


def test_a_pipeline_announces_its_task_and_the_labels_that_it_may_report(tmp_path):
    (tmp_path / "labels.txt").write_text("background\nN\n\nV\nN\n")
    rules = PostprocessEntry("beats", labels="labels.txt", unsure="unsure", background=True)
    model = test_pipeline.model(tmp_path, Doubler())
    model.manifest = dataclasses.replace(
        model.manifest, task="beats", postprocess=rules, directory=tmp_path
    )
    sink = Collected()

    test_pipeline.pipeline(ScriptedSource([frame(0)]), model, sink).run()

    assert {found.task for found in sink.infos} == {"beats"}
    assert {found.labels for found in sink.infos} == {("N", "V", "unsure")}


def test_the_run_file_of_the_page_is_one():
    page = (ROOT / "docs/homeassistant.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    config = from_table(parse_toml(text, "page.toml"), {"EDGE_RUN_MQTT_PASSWORD": "x"})

    assert len(build.sinks(config)) == len(build.sources(config)) == 1
    for option in dataclasses.fields(HomeAssistantOptions):
        assert f"| `{option.name}` | `" in page
