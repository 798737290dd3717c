"""What the facts of a machine mean for running models on it, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from edge_runtime.backends import Format
from edge_runtime.profile import DeviceProfile, recognise
from edge_runtime.update.gate import sandbox

from .facts import Facts, Node
from .trials import Trial

State = Literal["ok", "warn", "missing", "fail"]

_OLDEST_S = 1_735_689_600  # 2025-01-01: a clock before that was never set
_HOT_C = 80.0  # a Raspberry Pi slows down from here on (its documentation, "Frequency management")
_MEMORY_MB = 256  # a runtime, OpenCV and a mobile-sized model take 120 to 170 MB
_DISK_MB = 512  # an outbox and two releases of a model
_BUILT_IN = ("xnnpack", "cpu")
_WALLS: Mapping[str, str] = MappingProxyType(  # around an update that is judged, and its fix
    {
        "files": "Linux 5.13 or newer, booted with landlock in lsm=",
        "calls": "sudo apt install libseccomp2, and a kernel with seccomp filters",
        "network": "allow user namespaces (sysctl user.max_user_namespaces)",
        "limits": "",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `missing`: it is not here, and not everyone needs it."""

    name: str
    state: State
    detail: str
    fix: str = ""  # what to do; "" when nothing is


def can_run_models(facts: Facts) -> bool:
    """True when at least one delegate of one runtime gave the right answer."""
    return any(trial.state == "ok" for trial in facts.trials)


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Every finding, the runtimes first."""
    profile, why = recognise(facts.board)
    return (
        Finding("board", "ok", f"{profile.title}, profile {profile.name}: {why}"),
        Finding("python", "ok", f"{facts.python}, numpy {facts.packages.get('numpy', '-')}"),
        *_runtime("tflite", facts, profile),
        *_runtime("onnx", facts, profile),
        *_clash(facts),
        _opencv(facts),
        _nodes("cameras", facts.cameras, "plug one in; files and network cameras need none"),
        _nodes("serial ports", facts.serial_ports, "plug the device in; other sources need none"),
        _clock(facts),
        *_processor(facts),
        *_space(facts),
        *_sandbox(facts),
    )


def _runtime(kind: Format, facts: Facts, profile: DeviceProfile) -> Iterator[Finding]:
    """A line per delegate that matters here: built in, in the profile, at work, or plugged in."""
    trials = [trial for trial in facts.trials if trial.kind == kind]
    if all(trial.state == "missing" and not trial.runtime for trial in trials):
        fix = f"pip install 'edge-runtime[{kind}]'"
        yield Finding(kind, "missing", "no runtime for this format is installed", fix)
        return
    wanted = {*_BUILT_IN, *profile.delegates[kind], *facts.accelerators}
    for trial in trials:
        if trial.state in ("ok", "crash") or trial.delegate in wanted:
            yield _delegate(trial, profile)


def _delegate(trial: Trial, profile: DeviceProfile) -> Finding:
    name = f"{trial.kind}/{trial.delegate}"
    if trial.state == "ok":
        return Finding(name, "ok", f"{trial.runtime} loads and computes")
    if trial.state == "crash":
        fix = "this wheel is not for this processor, or a driver is broken: install another one"
        return Finding(name, "fail", f"the process {trial.detail}", fix)
    detail, _, fix = trial.detail.rpartition("; ")
    if not detail:  # MissingExtraError: "... (cause): pip install ..."
        detail, _, fix = trial.detail.rpartition("): ")
        detail = f"{detail})" if detail else trial.detail
    if trial.state == "fail":
        return Finding(name, "fail", detail, fix)
    needed = trial.delegate in profile.delegates[trial.kind]
    return Finding(name, "warn" if needed else "missing", detail, fix)


def _clash(facts: Facts) -> Iterator[Finding]:
    rivals = [name for name in facts.packages if name.startswith("onnxruntime")]
    if len(rivals) > 1:
        fix = f"pip uninstall {' '.join(rivals)}; then install the one that is wanted"
        yield Finding("packages", "warn", f"{' and '.join(rivals)} overwrite each other", fix)


def _opencv(facts: Facts) -> Finding:
    found = facts.opencv
    if found.error:
        fix = "pip install --force-reinstall opencv-python-headless"
        return Finding("opencv", "fail", f"the process {found.error}", fix)
    if not found.version:
        fix = "pip install 'edge-runtime[vision]', for cameras, video and pictures"
        return Finding("opencv", "missing", "not installed", fix)
    detail = (
        f"{found.version}, FFMPEG {found.ffmpeg or 'NO'}, V4L2 {found.v4l2 or 'NO'},"
        f" GStreamer {found.gstreamer or 'NO'}"
    )
    if found.ffmpeg in ("", "NO"):
        fix = "pip install opencv-python-headless, or the distribution's ffmpeg build"
        return Finding("opencv", "warn", f"{detail}: reads no video file and no RTSP", fix)
    if facts.board.l4t and found.gstreamer in ("", "NO"):
        fix = "use JetPack's OpenCV: a virtual environment made with --system-site-packages"
        return Finding("opencv", "warn", f"{detail}: opens no CSI camera", fix)
    return Finding("opencv", "ok", detail)


def _nodes(name: str, nodes: tuple[Node, ...], fix: str) -> Finding:
    if not nodes:
        return Finding(name, "missing", "none is here", fix)
    closed = [node for node in nodes if not node.usable]
    if closed:
        groups = ",".join(sorted({node.group for node in closed}))
        paths = ", ".join(node.path for node in closed)
        grant = f"sudo usermod -aG {groups} $USER, then log in again"
        return Finding(name, "warn", f"no permission for {paths}", grant)
    titles = [f"{node.path} ({node.title})" if node.title else node.path for node in nodes]
    return Finding(name, "ok", ", ".join(titles))


def _clock(facts: Facts) -> Finding:
    if facts.wall_clock_s < _OLDEST_S:
        fix = "connect to a network with a time server, or fit a clock battery"
        return Finding("clock", "warn", "was never set: results would carry wrong times", fix)
    if facts.clock_synchronised is False:
        fix = "sudo timedatectl set-ntp true"
        return Finding("clock", "warn", "set, but kept by no time server", fix)
    kept = "kept by a time server" if facts.clock_synchronised else "nobody says who keeps it"
    return Finding("clock", "ok", f"set, {kept}")


def _processor(facts: Facts) -> Iterator[Finding]:
    if facts.governor == "powersave":
        fix = "echo schedutil | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        yield Finding("cpu governor", "warn", "powersave: inference is slow and uneven", fix)
    elif facts.governor:
        yield Finding("cpu governor", "ok", facts.governor)
    if facts.temperature_c is not None:
        hot = facts.temperature_c >= _HOT_C
        fix = "improve cooling: the processor slows itself down" if hot else ""
        detail = f"{facts.temperature_c:.0f} C"
        yield Finding("temperature", "warn" if hot else "ok", detail, fix)


def _space(facts: Facts) -> Iterator[Finding]:
    if facts.memory_free_mb is not None:
        short = facts.memory_free_mb < _MEMORY_MB
        detail = f"{facts.memory_free_mb} MB of {facts.memory_mb} MB are free"
        fix = "stop other programs, or take a smaller model" if short else ""
        yield Finding("memory", "warn" if short else "ok", detail, fix)
    short = facts.disk_free_mb < _DISK_MB
    fix = "make room: the outbox and updates need it" if short else ""
    yield Finding("disk", "warn" if short else "ok", f"{facts.disk_free_mb} MB are free", fix)


def _sandbox(facts: Facts) -> Iterator[Finding]:
    """A line for each wall around an update that is judged; where one lacks, the others stand."""
    if facts.sandbox.error:
        fix = "mend the installation: no update of a model can be judged here"
        yield Finding("sandbox", "fail", f"the process {facts.sandbox.error}", fix)
        return
    for wall, fix in _WALLS.items():
        told = facts.sandbox.walls[wall]
        stands = sandbox.stands(told)
        yield Finding(f"sandbox {wall}", "ok" if stands else "warn", told, "" if stands else fix)
