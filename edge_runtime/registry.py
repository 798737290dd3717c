"""Names of components -> "module:attribute". A plug-in adds names by an entry point.

Built-in names cost no scan; entry points are looked at only when a name is not built in. Group
names are "edge_runtime.source", ".step", ".backend", ".postprocess", ".monitor" and ".sink".
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

from .errors import ConfigError
from .tables import nearest

Group = Literal["source", "step", "backend", "sink", "postprocess", "monitor"]

BUILT_IN: dict[Group, dict[str, str]] = {
    "source": {
        "camera": "edge_runtime.sources.cameras.camera:Camera",
        "rtsp": "edge_runtime.sources.cameras.rtsp:Rtsp",
        "mjpeg": "edge_runtime.sources.cameras.mjpeg:Mjpeg",
        "gstreamer": "edge_runtime.sources.cameras.gstreamer:GStreamer",
        "picamera": "edge_runtime.sources.cameras.picamera:PiCamera",
        "video": "edge_runtime.sources.cameras.video:Video",
        "images": "edge_runtime.sources.cameras.images:Images",
        "shapes": "edge_runtime.sources.generators.shapes:Shapes",
        "wfdb": "edge_runtime.sources.records.wfdb:Wfdb",
        "edf": "edge_runtime.sources.records.edf:Edf",
        "dicom-ecg": "edge_runtime.sources.records.dicom_ecg:DicomEcg",
        "csv": "edge_runtime.sources.records.csv:Csv",
        "serial": "edge_runtime.sources.streams.serial:Serial",
        "tcp": "edge_runtime.sources.streams.tcp:Tcp",
        "udp": "edge_runtime.sources.streams.udp:Udp",
        "mqtt": "edge_runtime.sources.streams.mqtt:Mqtt",
        "stdin": "edge_runtime.sources.streams.stdin:Stdin",
        "lsl": "edge_runtime.sources.streams.lsl:Lsl",
        "brainflow": "edge_runtime.sources.streams.brainflow:Brainflow",
        "polar": "edge_runtime.sources.streams.polar:Polar",
        "ecgsyn": "edge_runtime.sources.generators.ecgsyn:EcgSyn",
    },
    "step": {
        "leads": "edge_runtime.preprocess.leads:Leads",
        "bandpass": "edge_runtime.preprocess.bandpass:Bandpass",
        "quality": "edge_runtime.preprocess.quality:QualityStep",
        "resample": "edge_runtime.preprocess.resample:Resample",
        "window": "edge_runtime.preprocess.window:Window",
        "beats": "edge_runtime.preprocess.beats:Beats",
        "crop": "edge_runtime.preprocess.crop:Crop",
        "rotate": "edge_runtime.preprocess.rotate:Rotate",
        "limit": "edge_runtime.preprocess.limit:Limit",
        "motion": "edge_runtime.preprocess.motion:Motion",
    },
    "backend": {
        "tflite": "edge_runtime.backends.tflite:TFLite",
        "onnx": "edge_runtime.backends.onnx:Onnx",
    },
    "postprocess": {
        "classification": "edge_runtime.postprocess.classification:Classification",
        "heads": "edge_runtime.postprocess.heads:Heads",
        "detection": "edge_runtime.postprocess.detection:Detection",
        "anchors": "edge_runtime.postprocess.anchors:Anchors",
        "keypoints": "edge_runtime.postprocess.keypoints:Keypoints",
        "beats": "edge_runtime.postprocess.beats:Beats",
        "tensors": "edge_runtime.postprocess.tensors:Tensors",
    },
    "monitor": {
        "recorder": "edge_runtime.recording.recorder:Recorder",
        "rhythm": "edge_runtime.monitors.rhythm:Rhythm",
    },
    "sink": {
        "mqtt": "edge_runtime.sinks.mqtt:Mqtt",
        "jsonl": "edge_runtime.sinks.jsonl:Jsonl",
        "console": "edge_runtime.sinks.console:Console",
        "sparkplug": "edge_runtime.sinks.sparkplug:Sparkplug",
    },
}


def names(group: Group) -> tuple[str, ...]:
    """Every name of a group, built in or installed."""
    return tuple(sorted({*BUILT_IN[group], *_installed(group)}))


def find(group: Group, name: str) -> Any:
    """The class behind a name. Raises ConfigError naming the nearest name."""
    target = BUILT_IN[group].get(name) or _installed(group).get(name)
    if target is None:
        near = nearest(name, names(group))
        hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(names(group))}"
        raise ConfigError(f"no {group} of kind '{name}'; {hint}")
    return load(target)


def load(target: str) -> Any:
    """Import "module:attribute". Raises ConfigError when a plug-in cannot be imported."""
    module_name, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as exc:
        raise ConfigError(f"{target}: cannot be imported: {exc}") from exc


def _installed(group: Group) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=f"edge_runtime.{group}")}
