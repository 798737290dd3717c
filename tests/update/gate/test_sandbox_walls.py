"""F18: each wall by itself, in a process that puts up only this one; and what a kernel may lack."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest


def alone(code: str, *words: object) -> str:
    prelude = (
        "import ctypes, errno, os, socket, sys\n"
        "from edge_runtime.update.gate import landlock, sandbox, seccomp\n"
        "def says(act):\n"
        "    try: act()\n"
        "    except OSError as exc: return errno.errorcode[exc.errno]\n"
        "    return 'done'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", prelude + code, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_f18_landlock_alone_leaves_only_what_was_named(tmp_path):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir()
        (folder / "file").write_text("text")
    told, *rest = alone(
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        "there = socket.create_server(('127.0.0.1', 0))\n"
        "print(landlock.restrict([sys.argv[1]], []))\n"
        "for act in (lambda: open(sys.argv[1] + '/file').read(),\n"
        "            lambda: os.listdir(sys.argv[1]),\n"
        "            lambda: open(sys.argv[1] + '/file', 'w'),\n"
        "            lambda: open(sys.argv[1] + '/new', 'w'),\n"
        "            lambda: os.unlink(sys.argv[1] + '/file'),\n"
        "            lambda: open(sys.argv[2] + '/file').read(),\n"
        "            lambda: os.listdir(sys.argv[2]),\n"
        "            lambda: socket.create_connection(there.getsockname()),\n"
        "            lambda: os.kill(os.getppid(), 0)): print(says(act))\n",
        allowed,
        other,
    ).split("\n")
    if told.startswith("landlock: "):
        pytest.skip(told)
    version = int(told.rpartition(" ")[2])
    assert rest[:2] == ["done", "done"]
    assert rest[2:7] == ["EACCES"] * 5
    assert rest[7] == ("EACCES" if version >= 4 else "done")
    assert rest[8] == ("EPERM" if version >= 6 else "done")


def test_f18_the_filter_alone_lets_nothing_be_written_by_name(tmp_path):
    (tmp_path / "file").write_text("text")
    told, *rest = alone(
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        "print(seccomp.restrict(devices=False, netlink=False))\n"
        "for act in (lambda: open(sys.argv[1]).read(),\n"
        "            lambda: open(sys.argv[1], 'r+'),\n"
        "            lambda: open(sys.argv[1], 'a'),\n"
        "            lambda: open(sys.argv[1] + '2', 'x'),\n"
        "            lambda: os.unlink(sys.argv[1]),\n"
        "            lambda: os.chmod(sys.argv[1], 0),\n"
        "            lambda: socket.socket(),\n"
        "            lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)):\n"
        "    print(says(act))\n",
        tmp_path / "file",
    ).split("\n")
    assert told == "no sockets, no programs, no other process; nothing is written"
    assert rest == ["done", "EACCES", "EACCES", "EACCES", "EPERM", "EPERM", "EACCES", "EACCES"]
    assert (tmp_path / "file").read_text() == "text"


def test_an_accelerator_may_open_its_nodes_and_libusb_may_listen():
    told, *rest = alone(
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        "print(seccomp.restrict(devices=True, netlink=True))\n"
        "for act in (lambda: os.open('/dev/null', os.O_RDWR),\n"
        "            lambda: socket.socket(),\n"
        "            lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)):\n"
        "    print(says(act))\n"
    ).split("\n")
    assert told.endswith("opening for writing is Landlock's alone")
    assert rest == ["done", "EACCES", "done"]


def test_a_kernel_without_landlock_is_told():
    """The filter makes it answer as a kernel from before 5.13 does."""
    told = alone(
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        "seccomp._REFUSED, seccomp._UNKNOWN, seccomp._NUMBERED = '', (444,), ()\n"
        "seccomp.restrict(devices=True, netlink=True)\n"
        "print(landlock.restrict([], []))\n"
    )
    assert told == "landlock: not in this kernel"


def test_a_machine_without_libseccomp_is_told():
    told = alone(
        "ctypes.CDLL = lambda *words, **more: (_ for _ in ()).throw(OSError('no such file'))\n"
        "print(seccomp.restrict(devices=False, netlink=False))\n"
    )
    assert told == "seccomp: libseccomp.so.2 is not installed"


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_ends_with_its_parent(ended_by):
    """Whatever ends the parent reaches the child, even while a runtime hangs."""
    code = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        f"os.kill(os.getpid(), {ended_by:d})\n"
    )
    hang = (
        "import time\n"
        "from edge_runtime.update.gate.sandbox import Walls, enter\n"
        "enter(Walls((), 1 << 30, 60))\n"
        "print('in', flush=True)\n"
        "time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, hang]
    # The child holds the pipes: they are at their end when it is gone.
    done = subprocess.run(words, capture_output=True, text=True, timeout=40)
    assert done.returncode == -ended_by
    assert done.stdout.strip().isdigit()


def test_a_network_of_ones_own_has_no_way_out():
    with socket.create_server(("127.0.0.1", 0)) as there:
        told = alone(
            "print(sandbox._leave_network())\n"
            "print(says(lambda: socket.create_connection(('127.0.0.1', int(sys.argv[1])))))\n",
            there.getsockname()[1],
        )
    told, said = told.split("\n")
    assert (told, said) == ("no interfaces", "ENETUNREACH") or told.startswith(
        "network namespace: "
    )
