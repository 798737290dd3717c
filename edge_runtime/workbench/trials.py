"""Runtimes, delegates, OpenCV and the sandbox of updates tried in child processes.

A wheel for another processor takes its process along at the first kernel (SIGILL, SIGSEGV), and a
driver may never answer. Here that is a finding.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.backends import DELEGATES, Format

_TIMEOUT_S = 120.0  # TensorRT takes tens of seconds to build even a small engine
_NEED_A_LIBRARY = ("gpu", "external")  # whose name only the user knows

_OPENCV = """
import importlib.util, sys
importlib.util.find_spec("cv2") or sys.exit()
import cv2
print("version:", cv2.__version__)
print(cv2.getBuildInformation())
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """How a delegate did: `ok`, `missing`, `fail`, or `crash` (its process died, or hung)."""

    kind: Format
    delegate: str
    state: str
    runtime: str = ""  # "ai-edge-litert 2.3.0"; "" when it was not reached
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OpenCv:
    """The installed OpenCV; `version` is "" when there is none, `error` says why it does not run.

    The flags are as its build information words them: "YES", "NO".
    """

    version: str = ""
    ffmpeg: str = ""
    gstreamer: str = ""
    v4l2: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a child that judges an update is told of its walls; `error`: there is no such child."""

    walls: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def try_delegates(
    kind: Format, program: tuple[str, ...] = (), timeout_s: float = _TIMEOUT_S
) -> tuple[Trial, ...]:
    """Try every delegate of a format that needs no library named.

    A child that dies is started again for the delegates after the one that killed it.

    Args:
        kind: the format.
        program: what tries them; `edge_runtime.backends.probe` when empty.
        timeout_s: how long a child may take.
    """
    program = program or (sys.executable, "-m", "edge_runtime.backends.probe")
    left = [name for name in DELEGATES[kind] if name not in _NEED_A_LIBRARY]
    trials: list[Trial] = []
    while left:
        output, death = _run((*program, kind, *left), timeout_s)
        reported = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        trials.extend(Trial(kind=kind, **line) for line in reported)
        left = left[len(reported) :]
        if left:
            trials.append(Trial(kind, left.pop(0), "crash", detail=death or "said nothing"))
    return tuple(trials)


def try_opencv() -> OpenCv:
    """Import OpenCV and read its build information."""
    output, death = _run((sys.executable, "-c", _OPENCV))
    if death:
        return OpenCv(error=death)
    flags: dict[str, str] = {}
    for line in output.splitlines():
        key, _, value = line.strip().partition(":")
        flags.setdefault(key, value.partition("(")[0].strip())
    return OpenCv(
        version=flags.get("version", ""),
        ffmpeg=flags.get("FFMPEG", ""),
        gstreamer=flags.get("GStreamer", ""),
        v4l2=flags.get("v4l/v4l2", ""),
    )


def try_sandbox() -> Sandbox:
    """Shut a child in as the gate of updates does."""
    output, death = _run((sys.executable, "-B", "-m", "edge_runtime.update.gate.sandbox"))
    return Sandbox(error=death) if death else Sandbox(json.loads(output))


def _run(command: tuple[str, ...], timeout_s: float = _TIMEOUT_S) -> tuple[str, str]:
    """What a child printed, and what it died of; "" when it lived."""
    here = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        output = exc.stdout.decode() if isinstance(exc.stdout, bytes) else exc.stdout or ""
        return output, f"gave no answer in {exc.timeout:g} s"
    if done.returncode < 0:
        return done.stdout, f"died of {signal.Signals(-done.returncode).name}"
    if done.returncode > 0:
        last = done.stderr.strip().rpartition("\n")[2]
        return done.stdout, f"ended with code {done.returncode}: {last}"
    return done.stdout, ""
