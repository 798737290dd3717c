"""A run file to begin with: every option of its components, as a comment where it has a default.

What is written is read off the components themselves: their constructors give the options and
the defaults, their docstrings the words.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_runtime import registry
from edge_runtime.config import Component
from edge_runtime.registry import Group
from edge_runtime.tables import SECRET_KEYS

NOT_WRITTEN = frozenset({"name", "identity"})
COMMENT_COLUMN = 32
COMMENT_CHARS = 64

# What stands where an option must be given and init was not told; these are for a person to set.
EXAMPLES: Mapping[tuple[str, str], object] = {
    ("brainflow", "board"): "CYTON_BOARD",
    ("brainflow", "leads"): ["I"],
    ("camera", "device"): "/dev/video0",
    ("csv", "path"): "ecg.csv",
    ("csv", "rate_hz"): 360.0,
    ("dicom-ecg", "path"): "ecg.dcm",
    ("edf", "path"): "ecg.edf",
    ("gstreamer", "pipeline"): "videotestsrc ! video/x-raw,format=I420",
    ("images", "path"): "images",
    ("lsl", "stream"): "ecg",
    ("mjpeg", "url"): "http://192.168.1.20:81/stream",
    ("mqtt", "frontend"): "ad8232-timed",
    ("mqtt", "topic"): "ward/bed-7/ecg",
    ("rtsp", "url"): "rtsp://192.168.1.20/stream1",
    ("serial", "port"): "/dev/ttyUSB0",
    ("serial", "rate_hz"): 250.0,
    ("serial", "mv_per_count"): 0.001,
    ("stdin", "frontend"): "ad8232-timed",
    ("tcp", "frontend"): "ad8232-timed",
    ("tcp", "port"): 5555,
    ("udp", "frontend"): "ad8232-timed",
    ("udp", "port"): 5555,
    ("video", "path"): "video.mp4",
    ("wfdb", "path"): "100",
}
# The option of a source that says where it is.
PLACES: Mapping[str, str] = {
    "camera": "device",
    "csv": "path",
    "dicom-ecg": "path",
    "edf": "path",
    "images": "path",
    "mjpeg": "url",
    "rtsp": "url",
    "serial": "port",
    "video": "path",
    "wfdb": "path",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written. Paths are as they shall stand in the file."""

    name: str
    source: str  # kind
    model: str
    place: str = ""  # path, device or port of the source; empty is an example
    manifest: str = ""  # for a bare model file
    broker: str = ""
    board: str = ""
    delegates: tuple[str, ...] = ()
    steps: Sequence[Component] = field(default_factory=tuple)


def render(draft: Draft) -> str:
    """The run file. Raises ConfigError for a source of an unknown kind."""
    parts = (_head(draft), _model(draft), _source(draft), _steps(draft), _sinks(draft))
    return "\n".join("\n".join(part) + "\n" for part in parts)


def _head(draft: Draft) -> Iterator[str]:
    yield "# A run file of edge-run: one pipeline. Paths are relative to this file."
    yield "# Try it with `edge-run check`, run it with `edge-run start`."
    yield _line("name", draft.name, "names the pipeline in topics and results")
    yield _unset("device", "bedside-1", "names this device; default: its host name")
    yield _unset("board", draft.board, "was detected here; set it to fix it")


def _model(draft: Draft) -> Iterator[str]:
    yield "[model]"
    yield _line("path", draft.model, "a model directory, a shipped model, or a bare file")
    if draft.manifest:
        yield _line("manifest", draft.manifest, "the contract of the bare file")
    yield _unset("delegates", draft.delegates, "in order of preference; default: the board's")
    yield _unset("required", True, "never fall back to a later delegate")
    yield _unset("threads", 1, "default: the board's")


def _source(draft: Draft) -> Iterator[str]:
    given: dict[str, object] = {
        key: value for (kind, key), value in EXAMPLES.items() if kind == draft.source
    }
    if draft.place and draft.source in PLACES:
        given[PLACES[draft.source]] = draft.place
    yield "[[source]]"
    yield _line("kind", draft.source)
    yield _unset("name", draft.source, "names the source in topics and results")
    yield from _options("source", draft.source, given)


def _steps(draft: Draft) -> Iterator[str]:
    if not draft.steps:
        yield "# [[step]] kind = ... stands here when the model takes something else than frames."
    for position, step in enumerate(draft.steps):
        if position:
            yield ""
        yield "[[step]]"
        yield _line("kind", step.kind)
        yield from _options("step", step.kind, step.options.values)


def _sinks(draft: Draft) -> Iterator[str]:
    yield "[[sink]]"
    yield _line("kind", "console", "a line for each result, on standard output")
    yield ""
    given = {"url": draft.broker or "mqtt://localhost:1883"}
    lines = ["[[sink]]", _line("kind", "mqtt"), *_options("sink", "mqtt", given)]
    if draft.broker:
        yield from lines
    else:
        yield "# Take the marks away to publish over MQTT."
        yield from (line if line.startswith("#") else f"# {line}" for line in lines)


def _options(group: Group, kind: str, given: Mapping[str, object]) -> Iterator[str]:
    """Every option of a component: set when it is given or has to be, else as a comment."""
    cls = registry.find(group, kind)
    words = _words(cls)
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in NOT_WRITTEN:
            continue
        text = words.get(name, "")
        if name in SECRET_KEYS:
            variable = f"EDGE_RUN_{kind}_{name}".upper()
            yield f"# {name} comes from the environment: {variable}"
        elif name in given:
            yield _line(name, given[name], text)
        elif parameter.default is inspect.Parameter.empty:
            yield _line(name, "FILL", text)
        else:
            yield _unset(name, parameter.default, text)


def _words(cls: Any) -> dict[str, str]:
    """The first words on each argument, from the Args section of a class's docstring."""
    _, _, section = (inspect.getdoc(cls) or "").partition("Args:\n")
    section = re.split(r"\n\n|\n(?=\S)", section)[0]
    words: dict[str, str] = {}
    for entry in re.split(r"\n(?= {4}\w)", "\n" + section):
        names, _, text = entry.strip().partition(":")
        for name in names.split(","):
            words[name.strip()] = _short(" ".join(text.split()))
    return words


def _short(text: str) -> str:
    """The first sentence, or as much of it as fits."""
    text = re.split(r"(?<=\w)[.;](?:\s|$)", text)[0]
    if len(text) <= COMMENT_CHARS:
        return text
    return text[:COMMENT_CHARS].rsplit(" ", 1)[0].rstrip(",;(") + " ..."


def _line(key: str, value: object, words: str = "") -> str:
    text = f"{key} = {_toml(value)}"
    return f"{text:<{COMMENT_COLUMN}}  # {words}" if words else text


def _unset(key: str, value: object, words: str) -> str:
    text = f"# {key} = {_toml('?' if value is None else value)}"
    return f"{text:<{COMMENT_COLUMN}}  # {words}" if words else text


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
