"""Checks of the two ends of a pipeline: can each source be opened, each sink be reached?"""

from __future__ import annotations

import inspect
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from edge_runtime import build, registry
from edge_runtime.config import Component
from edge_runtime.errors import BadOptionError, ConfigError, EdgeRunError, EndOfStream, FrameError
from edge_runtime.frame import Frame, Identity
from edge_runtime.interfaces import Source, Step, notes_of
from edge_runtime.model import Model
from edge_runtime.mqtt.client import LinkDownError
from edge_runtime.mqtt.link import Choice, Link
from edge_runtime.mqtt.login import Login, parse_url
from edge_runtime.mqtt.terms import Terms

from .findings import Finding, fail, note, ok
from .predict import stepped

Stream = Literal["image", "signal", ""]

IMAGE_SOURCES = frozenset(
    {"camera", "rtsp", "mjpeg", "gstreamer", "picamera", "video", "images", "shapes"}
)
SIGNAL_SOURCES = frozenset(
    {"wfdb", "edf", "dicom-ecg", "csv", "ecgsyn"}
    | {"serial", "tcp", "udp", "mqtt", "stdin", "lsl", "brainflow", "polar"}
)
SIGNAL_STEPS = frozenset({"leads", "quality", "bandpass", "resample", "window", "beats"})
TRIAL_S = 3.0  # how long a recorded source may take to give its first result
READ_TIMEOUT_S = 0.25
BAD_FRAMES_MAX = 10

_LOGIN_KEYS = (
    "username",
    "password",
    "password_file",
    "ca_file",
    "crl_file",
    "cert_file",
    "key_file",
    "server_name",
)


def stream_of(kind: str) -> Stream:
    """What a source of this kind gives; empty for a plug-in's."""
    if kind in IMAGE_SOURCES:
        return "image"
    return "signal" if kind in SIGNAL_SOURCES else ""


def source(name: str, component: Component, steps: Sequence[Step], model: Model | None) -> Finding:
    """Open a source and close it; try a recorded one's first frames on `steps` and `model`."""
    part = f"source {name}"
    if component.options.values.get("path") == "-" or component.kind == "stdin":
        return note(part, "reads standard input, which is left alone here")
    try:
        found = build.source(name, component)
    except ConfigError as exc:
        return fail(part, exc)
    try:
        found.open()
        return (
            ok(part, f"{component.kind} opens")
            if found.live
            else _Trial(found, steps, model).finding()
        )
    except EdgeRunError as exc:
        fix = "correct its path" if not found.live else "start keeps trying to open it"
        return fail(part, exc, fix if exc.exit_code == 1 or not found.live else "")
    finally:
        found.close()


class _Trial:
    """A recorded source's first frames, up to a result or to too many that cannot be used."""

    def __init__(self, found: Source, steps: Sequence[Step], model: Model | None) -> None:
        self._source, self._steps, self._model = found, steps, model
        self._part = f"source {found.name}"
        self._gives = ""
        self._bad: list[FrameError] = []

    def finding(self) -> Finding:
        """Raises what reading raises."""
        until = time.monotonic() + TRIAL_S
        try:
            while time.monotonic() < until:
                if self._one():
                    return self._good()
                if len(self._bad) >= BAD_FRAMES_MAX:
                    return self._useless(f"{BAD_FRAMES_MAX} unusable frames")
        except EndOfStream:
            return self._useless("no result by its end")
        except ConfigError as exc:
            return fail(self._part, f"{self._gives or 'its signal'} does not fit: {exc}")
        return note(self._part, f"{self._gives or 'no frame'} within {TRIAL_S:g} s; no result yet")

    def _one(self) -> bool:
        """Read once; whether that is enough."""
        try:
            frame = self._source.read(READ_TIMEOUT_S)
            if frame is None:
                return False
            self._gives = self._gives or _say(frame)
            if self._model is None:
                return True
            for ready in stepped([frame], self._steps):
                self._model(ready)
                return True
        except FrameError as exc:
            self._bad.append(exc)
        return False

    def _good(self) -> Finding:
        result = "; the model gives a result" if self._model is not None else ""
        if notes := notes_of(self._steps):
            return note(self._part, f"{self._gives}{result}", "; ".join(notes))
        if not self._bad:
            return ok(self._part, f"{self._gives}{result}")
        text = f"{self._gives}{result}, but {len(self._bad)} unusable before: {self._bad[0]}"
        return note(self._part, text, "such frames are skipped and counted")

    def _useless(self, what: str) -> Finding:
        if not self._bad:
            return note(self._part, f"{self._gives or 'no frame'}; {what}")
        return fail(self._part, f"{what}; the last: {self._bad[-1]}", exit_code=1)


def _say(frame: Frame) -> str:
    if frame.rate_hz is None:
        height, width = frame.data.shape[:2]
        return f"gives images of {width} x {height} pixels"
    leads = ", ".join(frame.leads) or f"{frame.data.shape[1]} leads"
    return f"gives a signal, {leads}, at {frame.rate_hz:g} Hz"


def sink(component: Component, identity: Identity) -> Finding:
    """Can results be delivered? A broker is logged into; a file's folder is looked at."""
    part = f"sink {component.kind}"
    try:
        cls = registry.find("sink", component.kind)
        component.options.make(cls, identity=identity)
        if component.kind in ("mqtt", "sparkplug"):
            return _broker(part, cls, component)
        if component.kind == "jsonl":
            return _file(part, component)
    except ConfigError as exc:
        return fail(part, exc)
    return ok(part, "is ready")


def _broker(part: str, cls: Any, component: Component) -> Finding:
    """Connect and leave. Raises ConfigError for a certificate or password file."""
    values = component.options.values
    defaults = inspect.signature(cls).parameters
    address = parse_url(str(values.get("url", defaults["url"].default)))
    try:
        access: dict[str, Any] = {key: str(values[key]) for key in _LOGIN_KEYS if key in values}
        access["alpn"] = tuple(map(str, values.get("alpn", ())))
        access["others"] = tuple(parse_url(str(url)) for url in values.get("fallback_urls", ()))
        login = Login(address, **access, allow_insecure=bool(values.get("allow_insecure", False)))
    except BadOptionError as exc:
        raise component.options.error(exc.key, exc.message) from exc
    terms = Terms(client_id=f"edge-run-check-{uuid.uuid4().hex[:8]}")
    known: Choice = values.get("protocol", "auto") if component.kind == "mqtt" else "3.1.1"
    link = Link(login, terms, known)
    try:
        session = link.connect()
        link.hang_up()
        return ok(part, f"{link.address} lets this device in, MQTT {session.version}")
    except LinkDownError as exc:
        fix = (
            "correct username and password (or EDGE_RUN_MQTT_PASSWORD), or the broker's rules"
            if exc.hopeless or exc.alarm
            else "start the broker or correct url; start keeps trying"
        )
        return fail(part, f"{link.address}: {exc}", fix)
    finally:
        link.close()


def _file(part: str, component: Component) -> Finding:
    path = Path(str(component.options.values.get("path", "")))
    if str(path) in ("", ".", "-"):
        return ok(part, "writes to standard output")
    folder = path.parent
    if path.is_dir():
        return fail(part, f"{path} is a directory", "name a file in it", exit_code=2)
    if not folder.is_dir():
        return fail(part, f"{folder} is no directory", f"mkdir -p {folder}", exit_code=2)
    target = path if path.exists() else folder
    if not os.access(target, os.W_OK):
        return fail(part, f"{target} may not be written", "give this user the right", exit_code=2)
    return ok(part, f"{path} can be written")
