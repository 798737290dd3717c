"""What this machine is: read, not judged. `edge_runtime.workbench.doctor` judges.

A thing that is not there is empty, None or ().
"""

from __future__ import annotations

import ctypes
import grp
import importlib.metadata
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import profile

from .trials import OpenCv, Sandbox, Trial, try_delegates, try_opencv, try_sandbox

_PACKAGES = (
    "ai-edge-litert",
    "tflite-runtime",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "numpy",
)
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256  # more than struct timex has on any Linux

# Which nodes or USB devices show that an accelerator is here.
_TRACES: Mapping[str, tuple[str, ...]] = {
    "cuda": ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu/igpu0", "dev/nvmap"),
    "edgetpu": ("dev/apex_0",),
}
_CORAL_USB = ("1a6e:089a", "18d1:9302")  # before and after its firmware is loaded


@dataclass(frozen=True, slots=True)
class Node:
    """A device file, and whether this user may read and write it."""

    path: str
    title: str
    usable: bool
    group: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the doctor looks at."""

    board: profile.Board
    python: str
    packages: Mapping[str, str]  # installed ones, with their versions
    trials: tuple[Trial, ...]
    opencv: OpenCv
    accelerators: frozenset[str]  # delegates whose hardware is here
    cameras: tuple[Node, ...]
    serial_ports: tuple[Node, ...]
    wall_clock_s: float
    clock_synchronised: bool | None
    governor: str
    temperature_c: float | None
    memory_mb: int | None
    memory_free_mb: int | None
    disk_free_mb: int
    sandbox: Sandbox


def gather(root: Path = Path("/")) -> Facts:
    """Read this machine; takes some seconds, for every runtime is started."""
    board, memory = profile.read_board(root), _memory_mb(root)
    return Facts(
        board=board,
        python=sys.version.split()[0],
        packages=_packages(),
        trials=(*try_delegates("tflite"), *try_delegates("onnx")),
        opencv=try_opencv(),
        accelerators=_accelerators(root, board.machine),
        cameras=_nodes(root, ("dev/video*",)),
        serial_ports=_nodes(root, ("dev/ttyUSB*", "dev/ttyACM*", "dev/ttyAMA*", "dev/ttyTHS*")),
        wall_clock_s=time.time(),
        clock_synchronised=_clock_synchronised(),
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        temperature_c=_temperature_c(root),
        memory_mb=memory.get("MemTotal"),
        memory_free_mb=memory.get("MemAvailable"),
        disk_free_mb=shutil.disk_usage(root).free // 2**20,
        sandbox=try_sandbox(),
    )


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _accelerators(root: Path, machine: str) -> frozenset[str]:
    found = {
        delegate
        for delegate, traces in _TRACES.items()
        if any((root / trace).exists() for trace in traces)
    }
    usb = (root / "sys/bus/usb/devices").glob("*/idVendor")
    ids = {f"{_text(path)}:{_text(path.with_name('idProduct'))}" for path in usb}
    if ids.intersection(_CORAL_USB):
        found.add("edgetpu")
    if "cuda" in found:
        found.add("tensorrt")
    if machine == "x86_64":
        found.add("openvino")
    return frozenset(found)


def _nodes(root: Path, patterns: Iterable[str]) -> tuple[Node, ...]:
    paths = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    return tuple(
        Node(
            path=f"/{path.relative_to(root)}",
            title=_text(root / "sys/class/video4linux" / path.name / "name"),
            usable=os.access(path, os.R_OK | os.W_OK),
            group=_group(path),
        )
        for path in paths
    )


def _group(path: Path) -> str:
    number = path.stat().st_gid
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _clock_synchronised() -> bool | None:
    """The kernel's own word, which every time daemon keeps; None when it has none."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


def _temperature_c(root: Path) -> float | None:
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    found = [int(text) / 1000 for text in map(_text, zones) if text.lstrip("-").isdigit()]
    return max(found, default=None)


def _memory_mb(root: Path) -> dict[str, int]:
    lines = (line.split() for line in _text(root / "proc/meminfo").splitlines())
    return {words[0].rstrip(":"): int(words[1]) // 1024 for words in lines if len(words) > 1}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
