"""The walls around a child that judges a model. What the kernel lacks is said, never silent.

A model is a program for its runtime, and runtimes have faults: whoever signs it is known by then,
but what it does here is not. The child reads its slot and what Python and the runtimes need, and
writes nothing but its report. Accelerators need their device nodes; those are opened by name.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import json
import os
import platform
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from . import landlock, seccomp
from .budget import Budget

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_CAPABILITIES_VERSION_3 = 0x20080522
_IDLE = 3 << 13  # I/O class
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "armv7l": 314, "armv6l": 314}

_SYSTEM = """
    /usr /lib /lib64 /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/alternatives
    /etc/localtime /proc/self /proc/cpuinfo /proc/meminfo /proc/stat
    /proc/device-tree /sys/devices/system /sys/firmware/devicetree
    /dev/null /dev/zero /dev/random /dev/urandom
"""

_MESA = ("/dev/dri", "/sys/class/drm", "/sys/devices", "/sys/dev/char", "/etc/OpenCL", "/opt")
_NVIDIA = ("/dev/nvidia*", "/dev/nvhost-*", "/dev/nvmap", "/dev/nvgpu", "/dev/nvsciipc", *_MESA)
_NVIDIA_FACTS = ("/proc/driver/nvidia*", "/proc/devices", "/etc/nv_tegra_release")
# What a delegate needs besides: device nodes, and what its driver reads to find them.
DEVICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "edgetpu": ("/dev/apex_*", "/dev/bus/usb", "/sys/bus/usb", "/sys/class/apex", "/run/udev"),
        "gpu": ("/dev/mali*", "/dev/kgsl-3d0", *_MESA),
        "armnn": ("/dev/mali*", *_MESA),
        "openvino": ("/dev/accel", *_MESA),
        "qnn": ("/dev/fastrpc-*", "/dev/adsprpc-smd*", "/dev/dma_heap"),
        "cuda": (*_NVIDIA, *_NVIDIA_FACTS),
        "tensorrt": (*_NVIDIA, *_NVIDIA_FACTS),
    }
)
_RESERVES = frozenset({"cuda", "tensorrt"})  # address space far beyond any board's memory
_LISTENS = frozenset({"edgetpu"})  # libusb, on netlink


@dataclass(frozen=True, slots=True)
class Walls:
    """How a child is shut in. `delegates` are those whose devices it may need."""

    read: tuple[str, ...]  # files and folders, besides Python's and the system's libraries
    address_bytes: int
    cpu_s: int
    delegates: tuple[str, ...] = ()
    files: int = 256
    processes: int = 1024  # of this user, threads count; making one is refused by the filter too


def enter(walls: Walls) -> dict[str, str]:
    """Shut this process in, for ever, and tell of each wall. It must have one thread only."""
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    told = {"priority": _step_back(), "network": _leave_network()}
    told["limits"] = _limit(walls)
    error = _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    told["no_new_privs"] = "on" if not error else f"refused: {os.strerror(error)}"
    needed = [path for name in walls.delegates for path in DEVICES.get(name, ())]
    devices = [found for path in needed for found in glob.glob(path)]  # noqa: PTH207 - strings
    told["files"] = landlock.restrict([*walls.read, *_SYSTEM.split(), *_python()], devices)
    told["capabilities"] = _drop_capabilities()
    told["calls"] = seccomp.restrict(
        devices=bool(needed), netlink=not _LISTENS.isdisjoint(walls.delegates)
    )
    if needed:
        told["devices"] = ", ".join(devices) or "none of them is here"
    return told


def stands(told: str) -> bool:
    """Whether this wall does: one that does not is told as "what: why not"."""
    return ": " not in told


def main() -> None:
    """Shut this process in as a small model's, and print what was told, a JSON object."""
    budget = Budget()
    sys.stdout.write(json.dumps(enter(Walls((), budget.address_bytes(0), budget.cpu_s))))


def _python() -> Iterable[str]:
    """Where modules come from."""
    package = Path(__file__).resolve().parents[2]
    return (sys.prefix, sys.base_prefix, *sys.path, str(package), str(package.parent / "devices"))


def _step_back() -> str:
    """Last in every queue; and first to go when memory is out, before the live pipeline."""
    os.nice(19)
    number = _IOPRIO_SET.get(platform.machine()) if sys.maxsize > 2**32 else 314
    idle = number is not None and not _call("syscall", number, 1, 0, _IDLE)
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError as exc:
        return f"nice 19; the kernel may kill others first: {exc.strerror}"
    return f"nice 19, {'idle I/O' if idle else 'I/O not idle'}, first to go when memory is out"


def _leave_network() -> str:
    """A network of its own, without any interface; in a user namespace, rights end with it."""
    error = _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    if error in (errno.EPERM, errno.ENOSPC, errno.EINVAL, errno.EACCES, errno.ENOSYS):
        error = _call("unshare", _CLONE_NEWNET)
    return "no interfaces" if not error else f"network namespace: refused: {os.strerror(error)}"


def _limit(walls: Walls) -> str:
    limits = {
        resource.RLIMIT_DATA: walls.address_bytes,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: walls.files,
        resource.RLIMIT_NPROC: walls.processes,
        resource.RLIMIT_MEMLOCK: 1 << 26,
    }
    bounded = _RESERVES.isdisjoint(walls.delegates)
    if bounded:
        limits[resource.RLIMIT_AS] = walls.address_bytes
    for what, most in limits.items():
        resource.setrlimit(what, (_allowed(what, most),) * 2)
    cpu_s = _allowed(resource.RLIMIT_CPU, walls.cpu_s + 1)  # SIGKILL, a second after SIGXCPU
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s - 1, cpu_s))
    kind = "address space" if bounded else "data (this delegate reserves address space)"
    megabytes = _allowed(resource.RLIMIT_DATA, walls.address_bytes) >> 20
    return f"{kind} {megabytes} MB, {cpu_s - 1} s of CPU, no file written"


def _allowed(what: int, most: int) -> int:
    """No limit can be raised over the one that this process was started with."""
    highest = resource.getrlimit(what)[1]
    return most if highest == resource.RLIM_INFINITY else min(most, highest)


def _drop_capabilities() -> str:
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION_3, 0)
    error = _call("capset", header, (ctypes.c_uint32 * 6)())
    return "none" if not error else f"kept: {os.strerror(error)}"


def _call(name: str, *arguments: object) -> int:
    """Zero, or the error of a function of the C library."""
    library = ctypes.CDLL(None, use_errno=True)
    function: Callable[..., int] = getattr(library, name)
    longs = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return 0 if function(*longs) >= 0 else ctypes.get_errno()


if __name__ == "__main__":
    main()
