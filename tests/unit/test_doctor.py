"""The doctor: facts become findings, and nothing that it tries can take it along."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_runtime import backends
from edge_runtime.backends import DELEGATES
from edge_runtime.cli.doctor import command
from edge_runtime.profile import Board
from edge_runtime.workbench import doctor, facts
from edge_runtime.workbench.facts import Facts, Node
from edge_runtime.workbench.trials import (
    OpenCv,
    Sandbox,
    Trial,
    try_delegates,
    try_opencv,
    try_sandbox,
)
from tests.runtimes import need_runtime
from tests.unit import probe_models

HEALTHY = Facts(
    board=Board(machine="aarch64", model="Raspberry Pi 5 Model B", compatible=("brcm,bcm2712",)),
    python="3.11.2",
    packages={"numpy": "2.4.6", "ai-edge-litert": "2.3.0", "onnxruntime": "1.31.1"},
    trials=(
        Trial("tflite", "xnnpack", "ok", "ai-edge-litert 2.3.0"),
        Trial("tflite", "cpu", "ok", "ai-edge-litert 2.3.0"),
        Trial("tflite", "edgetpu", "missing", "", "delegate edgetpu: no file; install it"),
        Trial("onnx", "cpu", "ok", "onnxruntime 1.31.1"),
        Trial("onnx", "cuda", "missing", "onnxruntime 1.31.1", "it has none; pip install gpu"),
    ),
    opencv=OpenCv("5.0.0", "YES", "NO", "YES"),
    accelerators=frozenset(),
    cameras=(Node("/dev/video0", "UVC Camera", usable=True, group="video"),),
    serial_ports=(Node("/dev/ttyUSB0", "", usable=True, group="dialout"),),
    wall_clock_s=1_795_000_000.0,
    clock_synchronised=True,
    governor="ondemand",
    temperature_c=51.0,
    memory_mb=4000,
    memory_free_mb=3000,
    disk_free_mb=9000,
    sandbox=Sandbox(
        {
            "files": "read-only, Landlock version 5",
            "calls": "no sockets, no programs, no other process; nothing is written",
            "network": "no interfaces",
            "limits": "address space 768 MB, 300 s of CPU, no file written",
        }
    ),
)


def finding(name: str, **changed: object) -> doctor.Finding:
    found = {item.name: item for item in doctor.examine(replace(HEALTHY, **changed))}
    return found[name]


def names(**changed: object) -> list[str]:
    return [item.name for item in doctor.examine(replace(HEALTHY, **changed))]


def test_a_healthy_board_has_nothing_to_fix():
    assert {item.state for item in doctor.examine(HEALTHY)} == {"ok"}
    assert not any(item.fix for item in doctor.examine(HEALTHY))
    assert "Raspberry Pi 5" in finding("board").detail


def test_delegates_of_other_boards_are_not_spoken_of():
    assert "onnx/cuda" not in names()
    assert "tflite/edgetpu" not in names()


def test_an_accelerator_that_is_here_and_not_used_is_named_with_the_fix():
    found = finding("onnx/cuda", accelerators=frozenset({"cuda"}))
    assert (found.state, found.detail, found.fix) == ("missing", "it has none", "pip install gpu")


def test_a_delegate_that_the_profile_counts_on_is_a_warning():
    jetson = Board(machine="aarch64", compatible=("nvidia,p3767-0005",))
    assert finding("onnx/cuda", board=jetson).state == "warn"


def test_a_runtime_that_is_not_installed_takes_one_line():
    trials = tuple(Trial("onnx", name, "missing", "", "no module") for name in DELEGATES["onnx"])
    found = finding("onnx", trials=(*HEALTHY.trials[:3], *trials))
    assert found.state == "missing"
    assert found.fix == "pip install 'edge-runtime[onnx]'"
    assert "onnx/cpu" not in names(trials=(*HEALTHY.trials[:3], *trials))


def test_a_crash_is_a_failure_with_its_signal():
    crash = Trial("tflite", "xnnpack", "crash", detail="died of SIGILL")
    found = finding("tflite/xnnpack", trials=(crash, *HEALTHY.trials[1:]))
    assert (found.state, found.detail) == ("fail", "the process died of SIGILL")
    assert "processor" in found.fix


def test_numpy_2_beside_the_old_runtime_is_a_failure_with_the_fix():
    words = (
        "backend tflite needs the [tflite-legacy] extra (tflite-runtime 2.14.0 needs numpy 1,"
        " numpy 2.4.6 is installed): pip install 'edge-runtime[tflite-legacy]'"
    )
    found = finding("tflite/cpu", trials=(Trial("tflite", "cpu", "fail", "", words),))
    assert found.state == "fail"
    assert found.detail.endswith("numpy 2.4.6 is installed)")
    assert found.fix == "pip install 'edge-runtime[tflite-legacy]'"


@pytest.mark.parametrize("state", ["missing", "fail", "crash"])
def test_a_machine_without_a_working_delegate_cannot_run_models(state):
    broken = tuple(replace(trial, state=state) for trial in HEALTHY.trials)
    assert doctor.can_run_models(HEALTHY)
    assert not doctor.can_run_models(replace(HEALTHY, trials=broken))


def test_two_builds_of_one_package_are_a_warning():
    packages = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    assert finding("packages", packages=packages).fix.startswith(
        "pip uninstall onnxruntime onnxruntime-gpu"
    )


@pytest.mark.parametrize(
    ("opencv", "state", "word"),
    [
        (OpenCv(), "missing", "edge-runtime[vision]"),
        (OpenCv(error="died of SIGILL"), "fail", "reinstall"),
        (OpenCv("5.0.0", "NO", "NO", "YES"), "warn", "ffmpeg"),
    ],
)
def test_opencv_is_judged_by_what_it_can_open(opencv, state, word):
    found = finding("opencv", opencv=opencv)
    assert found.state == state
    assert word in found.fix


def test_a_jetson_is_told_that_csi_cameras_need_gstreamer():
    found = finding("opencv", board=Board(machine="aarch64", l4t="R36 (release)"))
    assert "CSI" in found.detail
    assert "--system-site-packages" in found.fix


@pytest.mark.parametrize(
    ("field", "name", "group"),
    [("cameras", "cameras", "video"), ("serial_ports", "serial ports", "dialout")],
)
def test_a_device_without_permission_names_the_group(field, name, group):
    found = finding(name, **{field: (Node("/dev/node9", "", usable=False, group=group),)})
    assert found.state == "warn"
    assert "/dev/node9" in found.detail
    assert f"usermod -aG {group} " in found.fix
    assert finding(name, **{field: ()}).state == "missing"


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"wall_clock_s": 1e9}, "clock"),
        ({"clock_synchronised": False}, "clock"),
        ({"governor": "powersave"}, "cpu governor"),
        ({"temperature_c": 84.0}, "temperature"),
        ({"memory_free_mb": 90}, "memory"),
        ({"disk_free_mb": 90}, "disk"),
    ],
)
def test_what_slows_or_spoils_results_is_a_warning_with_a_fix(changed, name):
    found = finding(name, **changed)
    assert found.state == "warn"
    assert found.fix


def test_what_a_machine_does_not_tell_is_left_out():
    silent = names(governor="", temperature_c=None, memory_free_mb=None)
    assert not {"cpu governor", "temperature", "memory"}.intersection(silent)


@pytest.mark.parametrize(
    ("wall", "told", "fix"),
    [
        ("files", "landlock: not in this kernel", "Linux 5.13"),
        ("calls", "seccomp: libseccomp.so.2 is not installed", "libseccomp2"),
        ("network", "network namespace: refused: Operation not permitted", "user namespaces"),
    ],
)
def test_a_wall_that_the_gate_of_updates_lacks_is_a_warning_with_the_fix(wall, told, fix):
    sandbox = Sandbox({**HEALTHY.sandbox.walls, wall: told})
    found = finding(f"sandbox {wall}", sandbox=sandbox)
    assert (found.state, found.detail) == ("warn", told)
    assert fix in found.fix
    others = [item for item in doctor.examine(replace(HEALTHY, sandbox=sandbox)) if item != found]
    assert {item.state for item in others} == {"ok"}


def test_a_sandbox_that_does_not_start_is_a_failure():
    found = finding("sandbox", sandbox=Sandbox(error="died of SIGSYS"))
    assert (found.state, found.detail) == ("fail", "the process died of SIGSYS")
    assert "sandbox files" not in names(sandbox=Sandbox(error="died of SIGSYS"))


def test_the_walls_of_this_machine_are_put_up_and_told_one_line_each():
    found = {item.name: item for item in doctor.examine(replace(HEALTHY, sandbox=try_sandbox()))}
    for wall, words in WORDS.items():
        item = found[f"sandbox {wall}"]
        assert (item.state == "ok") == item.detail.startswith(words[0])
        assert item.detail.startswith(words)
        assert bool(item.fix) == (item.state != "ok")


WORDS = {
    "files": ("read-only", "landlock: "),
    "calls": ("no sockets, no programs, no other process", "seccomp: "),
    "network": ("no interfaces", "network namespace: "),
    "limits": ("address space 768 MB, 300 s of CPU, no file written",),
}


DYING = """
import json, os, signal, sys, time
for name in sys.argv[2:]:
    if name == {victim!r}: {act}
    print(json.dumps(dict(delegate=name, state="ok", runtime="r", detail="")), flush=True)
"""


@pytest.mark.parametrize(
    ("act", "detail"),
    [
        ("os.kill(os.getpid(), signal.SIGILL)", "died of SIGILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "died of SIGSEGV"),
        ("raise ValueError('no such GPU')", "ended with code 1: ValueError: no such GPU"),
        ("time.sleep(60)", "gave no answer in 3 s"),
        ("sys.exit(0)", "said nothing"),
    ],
)
def test_a_delegate_that_kills_its_process_costs_only_itself(act, detail):
    code = DYING.format(victim="openvino", act=act)
    trials = try_delegates("onnx", (sys.executable, "-c", code), timeout_s=3)
    assert [trial.delegate for trial in trials] == list(DELEGATES["onnx"])
    states = {trial.delegate: trial.state for trial in trials}
    assert states.pop("openvino") == "crash"
    assert set(states.values()) == {"ok"}
    assert detail in trials[1].detail


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_the_installed_runtime_computes_in_a_child(kind):
    need_runtime(kind)
    trials = {trial.delegate: trial for trial in try_delegates(kind)}
    assert trials["cpu"].state == "ok"
    assert trials["cpu"].runtime
    if kind == "tflite":
        assert trials["xnnpack"].state == "ok"
        assert trials["edgetpu"].state == "missing"
        assert "libedgetpu.so.1" in trials["edgetpu"].detail


def test_the_installed_opencv_tells_its_build_flags():
    pytest.importorskip("cv2")
    found = try_opencv()
    assert found.version
    assert found.ffmpeg == "YES"
    assert not found.error


def test_the_machine_is_read_below_its_root(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "try_delegates", lambda kind: (Trial(kind, "cpu", "ok"),))
    monkeypatch.setattr(facts, "try_opencv", OpenCv)
    monkeypatch.setattr(facts, "try_sandbox", Sandbox)
    content = {
        "dev/video0": "",
        "dev/ttyACM0": "",
        "dev/nvidia0": "",
        "sys/class/video4linux/video0/name": "UVC Camera\n",
        "sys/bus/usb/devices/1-1/idVendor": "18d1\n",
        "sys/bus/usb/devices/1-1/idProduct": "9302\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/class/thermal/thermal_zone1/temp": "61000\n",
        "proc/meminfo": "MemTotal:        3884244 kB\nMemAvailable:    2971236 kB\n",
    }
    for name, text in content.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = facts.gather(tmp_path)
    assert [(node.path, node.title) for node in found.cameras] == [("/dev/video0", "UVC Camera")]
    assert [node.path for node in found.serial_ports] == ["/dev/ttyACM0"]
    assert found.accelerators >= {"cuda", "tensorrt", "edgetpu"}
    assert (found.governor, found.temperature_c) == ("powersave", 61.0)
    assert (found.memory_mb, found.memory_free_mb) == (3793, 2901)
    assert found.disk_free_mb > 0


def test_the_shipped_probe_models_are_what_the_recipe_makes():
    folder = Path(backends.__file__).parent
    assert (folder / "probe.onnx").read_bytes() == probe_models.onnx_model()
    pytest.importorskip("ai_edge_litert", reason="the recipe needs LiteRT's schema")
    assert (folder / "probe.tflite").read_bytes() == probe_models.tflite_model()


def test_the_command_looks_at_this_machine():
    need_runtime("onnx")
    done = CliRunner().invoke(command, ["--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["can_run_models"] is True
    states = {item["name"]: item["state"] for item in report["findings"]}
    assert states["onnx/cpu"] == "ok"
    assert states["sandbox limits"] == "ok"
    assert {"sandbox files", "sandbox calls", "sandbox network"} <= set(states)
    assert all(set(item) == {"name", "state", "detail", "fix"} for item in report["findings"])


def test_the_command_says_so_when_no_model_can_run(monkeypatch):
    broken = tuple(replace(trial, state="missing", runtime="") for trial in HEALTHY.trials)
    monkeypatch.setattr(facts, "gather", lambda: replace(HEALTHY, trials=broken))
    done = CliRunner().invoke(command, [])
    assert done.exit_code == 3
    assert "-> pip install 'edge-runtime[tflite]'" in done.output
    assert "No model can run here yet." in done.output
