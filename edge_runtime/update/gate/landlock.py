"""Landlock: after it, this process reaches only the files that it was told of.

https://docs.kernel.org/userspace-api/landlock.html. No library: three system calls, whose numbers
are the same on every architecture. What it does not rule (chmod, owners, times) `seccomp` does.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE | 1  # 1: execute
_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # rights over files, by the version that brought them
_NETWORK = 0b11  # bind and connect, TCP; from version 4
_SCOPES = 0b11  # abstract sockets, signals; from version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict(read: Iterable[str], devices: Iterable[str]) -> str:
    """Shut this process in, for ever; gives what there is of it. Needs no_new_privs.

    Args:
        read: files and folders that may be read, with all beneath; what is not there is left out.
        devices: such that may also be written and told (ioctl).
    """
    version = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    if version < 1:
        return _why_not(-version)
    handled = (1 << max(bits for since, bits in _RIGHTS.items() if since <= version)) - 1
    rules = _Ruleset(handled, _NETWORK if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        return _why_not(-ruleset)
    try:
        for path in read:
            _allow(ruleset, path, (_READ_FILE | _READ_DIR) & handled)
        for path in devices:
            _allow(ruleset, path, (_READ_FILE | _READ_DIR | _WRITE_FILE | _IOCTL_DEVICE) & handled)
        failed = _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    unruled = "" if version >= 3 else " but for truncation"
    return _why_not(-failed) if failed else f"read-only{unruled}, Landlock version {version}"


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - a string all the way
            rights &= _OF_FILES
        rule = _Beneath(rights, place)
        _call(
            _ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(_PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    """A system call's result, or the negative of its error."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    return result if result >= 0 else -ctypes.get_errno()


def _why_not(error: int) -> str:
    if error == errno.ENOSYS:
        return "landlock: not in this kernel"
    if error == errno.EOPNOTSUPP:
        return "landlock: this kernel has it switched off (boot with lsm=landlock,...)"
    return f"landlock: refused: {os.strerror(error)}"
