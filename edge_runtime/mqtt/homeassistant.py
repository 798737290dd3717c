"""Home Assistant finds a pipeline by itself: MQTT discovery, one retained payload for all of it.

Written against Home Assistant 2024.11 and newer, which knows the device payload
(https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edge_runtime import __version__
from edge_runtime.errors import BadOptionError
from edge_runtime.frame import FLOWING
from edge_runtime.wire import check_level

from .message import Message, Post

if TYPE_CHECKING:
    from edge_runtime.frame import Identity, Info
    from edge_runtime.wire import Topics

LABELS_MAX = 12  # sensors of their own for detections, unless the run file names the labels
OPTIONS_MAX = 100  # Home Assistant keeps all options with every state: more are plain text

Component = dict[str, Any]

# What Home Assistant shows as unknown, first or last in a list that may be empty.
_NONE = "[{'label':none,'score':none,'rate_bpm':none}]"
_BEST = f"(value_json.result.labels|default([])+{_NONE})[0]"
_BEAT = f"({_NONE}+value_json.result.beats|default([]))[-1]"
_FLOWING = str(list(FLOWING)).replace(" ", "")
_ENOUGH = str([*FLOWING, "ended"]).replace(" ", "")
# A result that comes late says nothing of now. An empty text leaves a number or a switch as it
# is; a text has to be said again.
_KEPT = "this.state if this.state not in ['unknown','unavailable'] else none"


@dataclass(frozen=True, slots=True)
class HomeAssistantOptions:
    """What a run file may say of Home Assistant.

    Args:
        prefix: the discovery prefix that Home Assistant is set to.
        name: of the device there; "" is "<device> <pipeline>".
        labels: detected things that get a sensor of their own; empty is the model's first twelve.
        enabled: false takes the device out of Home Assistant again.

    Raises:
        BadOptionError: a prefix that is no topic, or a label twice.
    """

    prefix: str = "homeassistant"
    name: str = ""
    labels: tuple[str, ...] = ()
    enabled: bool = True

    def __post_init__(self) -> None:
        for level in self.prefix.split("/"):
            check_level("prefix", level)
        if len(set(self.labels)) < len(self.labels):
            raise BadOptionError("labels", "names one twice")


class HomeAssistant:
    """A Companion: announces the pipeline as a device, and again when Home Assistant starts."""

    def __init__(self, options: HomeAssistantOptions, identity: Identity, topics: Topics) -> None:
        self.filters: tuple[str, ...] = (f"{options.prefix}/status",) if options.enabled else ()
        place = f"{_plain(identity.device)}/{_plain(identity.pipeline)}"
        self.topic = f"{options.prefix}/device/{place}/config"
        self._options = options
        self._identity = identity
        self._topics = topics
        self._posts: tuple[Post, ...] = ()

    def greet(self, info: Info) -> tuple[Post, ...]:
        """The device as it is now; or its removal, once."""
        if self._options.enabled:
            payload = json.dumps(self.payload(info), ensure_ascii=False, separators=(",", ":"))
            self._posts = (Post(self.topic, payload.encode("utf-8", "replace"), retain=True),)
            return self._posts
        if self._posts:  # removed before: Home Assistant warns of a second time
            return ()
        self._posts = (Post(self.topic, b"", retain=True),)
        return self._posts

    def hear(self, message: Message) -> tuple[Post, ...]:
        """Home Assistant has started. Its retained word, at a new connection, comes too late."""
        started = message.topic in self.filters and message.payload == b"online"
        return self._posts if started and not message.retained else ()

    def payload(self, info: Info) -> dict[str, Any]:
        """The discovery payload, with Home Assistant's own abbreviations."""
        who = f"edge-run/{self._identity.device}/{self._identity.pipeline}"
        components = dict(self._components(info))
        for key, component in components.items():
            component["uniq_id"] = f"{who}/{key}"
        return {
            "dev": {
                "ids": [who],
                "name": self._options.name or f"{self._identity.device} {self._identity.pipeline}",
                "mf": "edge-run",
                "mdl": info.model.name,
                "sw": info.model.version,
            },
            "o": {"name": "edge-run", "sw": __version__},
            "avty": [self._online()],
            "cmps": components,
        }

    def _components(self, info: Info) -> Iterator[tuple[str, Component]]:
        several = len(info.sources) > 1
        for source in info.sources:
            shown = f"{source.name} " if several else ""
            topic = self._topics.result(source.name)
            alive = [self._online(), self._live(source.name)]
            for key, component in self._results(info):
                name = f"{shown}{component['name']}"
                # Home Assistant takes no space in a key.
                yield (
                    f"{source.name}/{quote(key, safe='')}",
                    component | {"name": name, "stat_t": topic, "avty": alive, "avty_mode": "all"},
                )
            yield f"{source.name}/source", self._source(source.name, f"{shown}source")
        yield from self._diagnostics()

    def _results(self, info: Info) -> Iterator[tuple[str, Component]]:
        """What one source's results become."""
        if info.heads:
            for head in info.heads:
                yield f"head/{head}", _text(head, _said(head), ())
                yield f"head/{head}/score", _percent(f"{head} score", f"{_best_of(head)}.score")
        elif info.task == "classification":
            yield "label", _text("label", f"{_BEST}.label", info.labels)
            yield "score", _percent("score", f"{_BEST}.score")
        elif info.task == "beats":
            rate = _number("heart rate", f"{{{{ {_BEAT}.rate_bpm }}}}", "bpm")
            yield "rate", rate | {"ic": "mdi:heart-pulse"}
            yield "beat", _text("beat", f"{_BEAT}.label", info.labels)
            yield "score", _percent("beat score", f"{_BEAT}.score")
        elif info.task == "detection":
            yield "count", _number("count", "{{ value_json.result.detections|count }}", "")
            for label in self._options.labels or info.labels[:LABELS_MAX]:
                yield f"label/{label}", _seen(label)
        elif info.task == "keypoints":
            scores = "value_json.result.keypoints|map(attribute='score')|select('number')|list"
            mean = "{{ (s|sum/s|count*100)|round(1) if s else none }}"
            yield "score", _number("score", f"{{% set s={scores} %}}{mean}", "%")
        latency = _number("latency", "{{ value_json.latency_ms.capture_to_result }}", "ms", 1)
        # A new value with every result is much to keep: whoever wants it switches it on.
        yield "latency", latency | {"dev_cla": "duration", "ent_cat": "diagnostic", "en": False}

    def _diagnostics(self) -> Iterator[tuple[str, Component]]:
        """What the pipeline as a whole says of itself, in `info`."""
        info = {"stat_t": self._topics.info, "json_attr_t": self._topics.info}
        common: Component = {**info, "ent_cat": "diagnostic"}
        model, backend = "{{ value_json.model|tojson }}", "{{ value_json.backend|tojson }}"
        named = "{{ value_json.model.name }} {{ value_json.model.version }}"
        yield "model", _sensor("model", named, json_attr_tpl=model) | common
        delegate = "{{ value_json.backend.kind }} {{ value_json.backend.delegate }}"
        yield "delegate", _sensor("delegate", delegate, json_attr_tpl=backend) | common
        degraded = "{{ 'ON' if value_json.backend.degraded is defined else 'OFF' }}"
        more = {"dev_cla": "problem", "json_attr_tpl": backend}
        yield "degraded", _switch("degraded", degraded, **more) | common

    def _source(self, source: str, name: str) -> Component:
        named = _named(source)
        live = f"{{{{ 'ON' if {named}|selectattr('state','in',{_FLOWING})|list else 'OFF' }}}}"
        return _switch(
            name,
            live,
            dev_cla="connectivity",
            ent_cat="diagnostic",
            stat_t=self._topics.info,
            json_attr_t=self._topics.info,
            json_attr_tpl=f"{{{{ {named}|first|default({{}})|tojson }}}}",
        )

    def _online(self) -> Component:
        """Any status but online, `stopped` among them, is no availability."""
        said = "{{ 'online' if value=='online' else 'offline' }}"
        return {"t": self._topics.status, "val_tpl": said}

    def _live(self, source: str) -> Component:
        """The last result of a lost source is not shown as if it were of now."""
        live = f"{_named(source)}|selectattr('state','in',{_ENOUGH})|list"
        said = f"{{{{ 'online' if {live} else 'offline' }}}}"
        return {"t": self._topics.info, "val_tpl": said}


def _sensor(name: str, template: str, **more: object) -> Component:
    return {"p": "sensor", "name": name, "val_tpl": template, **more}


def _switch(name: str, template: str, **more: object) -> Component:
    """On or off, to look at only."""
    return {"p": "binary_sensor", "name": name, "val_tpl": template, **more}


def _number(name: str, template: str, unit: str, decimals: int = 0) -> Component:
    made = _sensor(name, _now(template), stat_cla="measurement", sug_dsp_prc=decimals)
    return made | {"unit_of_meas": unit} if unit else made


def _percent(name: str, score: str) -> Component:
    """A score of 0..1, which may be null."""
    said = f"{{{{ ({score}*100)|round(1) if {score} is number else none }}}}"
    return _number(name, said, "%")


def _text(name: str, value: str, labels: tuple[str, ...]) -> Component:
    made = _sensor(name, f"{{{{ ({_KEPT}) if value_json.historical else {value} }}}}")
    if 0 < len(labels) <= OPTIONS_MAX:
        made |= {"dev_cla": "enum", "ops": list(labels)}
    return made


def _of(head: str) -> str:
    return f"value_json.result.labels|selectattr('head','eq',{_literal(head)})"


def _said(head: str) -> str:
    """Every label that a head reports, as far as a state has room; 'none' where it reports none."""
    labels = f"{_of(head)}|map(attribute='label')|join(', ')"
    return f"(({labels})[:255] or 'none') if value_json.result.labels is defined else none"


def _best_of(head: str) -> str:
    return f"(({_of(head)}|list if value_json.result.labels is defined else [])+{_NONE})[0]"


def _seen(label: str) -> Component:
    found = f"value_json.result.detections|selectattr('label','eq',{_literal(label)})|list"
    return _switch(label, _now(f"{{{{ 'ON' if {found} else 'OFF' }}}}"), dev_cla="occupancy")


def _now(template: str) -> str:
    return f"{{% if not value_json.historical %}}{template}{{% endif %}}"


def _named(source: str) -> str:
    return f"value_json.sources|selectattr('name','eq',{_literal(source)})"


def _literal(text: str) -> str:
    """A text for a template: Jinja reads the escapes of JSON, but not its surrogate pairs."""
    return json.dumps(text, ensure_ascii=False)


def _plain(level: str) -> str:
    """A name in the few signs that discovery topics allow; two names never become one."""
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", level)
    return plain if plain == level else f"{plain}-{hashlib.sha256(level.encode()).hexdigest()[:8]}"
