"""Boards are recognised by what they say of themselves; a profile holds facts only."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime import profile
from edge_runtime.backends import DELEGATES
from edge_runtime.errors import ConfigError
from edge_runtime.profile import Board

BOARDS = ("raspberry-pi-4", "raspberry-pi-5", "jetson-orin-nano")
GENERIC = ("generic-arm64", "generic-x86-64")


def board_root(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode())
    return tmp_path


def test_the_promised_boards_are_there():
    assert set(profile.names()) == {*BOARDS, *GENERIC}


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_is_whole(name):
    loaded = profile.load(name)
    assert loaded.name == name
    assert loaded.title
    assert loaded.threads >= 1
    assert loaded.facts.cpu
    for format_, known in DELEGATES.items():
        assert set(loaded.delegates[format_]) <= set(known)
        assert loaded.delegates[format_][-1] == "cpu", "the last rung must run anywhere"


@pytest.mark.parametrize(
    ("model", "compatible", "expected"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b\0brcm,bcm2711\0", BOARDS[0]),
        ("Raspberry Pi 400 Rev 1.0", "raspberrypi,400\0brcm,bcm2711\0", BOARDS[0]),
        ("Raspberry Pi 5 Model B Rev 1.0", "raspberrypi,5-model-b\0brcm,bcm2712\0", BOARDS[1]),
        (
            "NVIDIA Jetson Orin Nano Developer Kit",
            "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0",
            BOARDS[2],
        ),
        (
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
            BOARDS[2],
        ),
        ("Radxa ROCK 5B", "radxa,rock-5b\0rockchip,rk3588\0", "generic-arm64"),
        (
            "NVIDIA Jetson AGX Orin Developer Kit",
            "nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0",
            "generic-arm64",
        ),
    ],
)
def test_a_board_is_recognised_by_its_device_tree(tmp_path, model, compatible, expected):
    root = board_root(
        tmp_path,
        {
            "proc/device-tree/model": f"{model}\0",
            "proc/device-tree/compatible": compatible,
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n"
            if "nvidia" in compatible
            else "",
        },
    )
    board = profile.read_board(root, machine="aarch64")
    assert board.model == model
    found, why = profile.recognise(board)
    assert found.name == expected
    assert why


def test_a_raspberry_pi_is_recognised_from_inside_a_container(tmp_path):
    """Docker masks /sys/firmware, where /proc/device-tree leads."""
    cpuinfo = "processor\t: 0\n\nRevision\t: c04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n"
    root = board_root(tmp_path, {"proc/cpuinfo": cpuinfo})
    found, why = profile.recognise(profile.read_board(root, machine="aarch64"))
    assert found.name == "raspberry-pi-5"
    assert "Raspberry Pi 5 Model B" in why


def test_a_jetson_is_recognised_from_inside_a_container(tmp_path):
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n# KERNEL: oot\n"
    root = board_root(tmp_path, {"etc/nv_tegra_release": release})
    found, why = profile.recognise(profile.read_board(root, machine="aarch64"))
    assert found.name == "jetson-orin-nano"
    assert "R36 (release), REVISION: 4.3" in why


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", "generic-x86-64"),
        ("aarch64", "generic-arm64"),
        ("armv7l", "generic-arm64"),
        ("riscv64", "generic-x86-64"),
    ],
)
def test_an_unknown_board_gets_the_generic_profile_and_is_told_so(machine, expected):
    found, why = profile.recognise(Board(machine=machine))
    assert found.name == expected
    assert "no known board" in why
    assert machine in why


def test_this_machine_has_a_profile():
    assert profile.detect() == profile.load(profile.recognise(profile.read_board())[0].name)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'raspberry-pi-5'"):
        profile.load("rasberry-pi-5")


WHOLE = """
title = "Test"
threads = 1
[match]
[delegates]
tflite = ["cpu"]
onnx = ["cpu"]
[facts]
cpu = "any"
"""


@pytest.mark.parametrize(
    ("text", "instead", "message"),
    [
        ("threads", "thread", "faulty.toml:3: thread: .*did you mean 'threads'"),
        ('"Test"', "3", "faulty.toml:2: title: must be a text"),
        ('tflite = ["cpu"]', "", "tflite: is missing"),
        ("tflite", "tflight", "did you mean 'tflite'"),
        ("onnx = ", "onnx == ", "faulty.toml:7: not valid TOML"),
    ],
)
def test_a_faulty_file_is_named_with_line_and_key(tmp_path, monkeypatch, text, instead, message):
    (tmp_path / "faulty.toml").write_text(WHOLE.replace(text, instead))
    monkeypatch.setattr(profile, "_folder", lambda: tmp_path)
    with pytest.raises(ConfigError, match=message):
        profile.load("faulty")
