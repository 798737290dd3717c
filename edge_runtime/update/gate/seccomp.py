"""A filter of system calls: no sockets, no programs, no other process, nothing written by name.

libseccomp makes it: it knows every architecture's numbers. It comes with systemd and apt; where
it is missing, that is said. What is refused gets an error, so that a runtime that only asks can
go on; a call of another architecture's interface ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator

_ALLOW = 0x7FFF0000
_ERROR = 0x00050000  # | errno
_NOT_EQUAL, _MASKED = 1, 7  # of scmp_compare
_TO_ALL_THREADS = 4  # SCMP_FLTATR_CTL_TSYNC
_CLONE_THREAD = 0x10000
_PR_SET_PDEATHSIG = 1
_AF_NETLINK = 16

_REFUSED = """
    execve execveat fork vfork ptrace process_vm_readv process_vm_writev kcmp process_madvise
    pidfd_open pidfd_getfd pidfd_send_signal tkill rt_sigqueueinfo rt_tgsigqueueinfo
    socketpair bind listen accept accept4 connect socketcall
    mount umount umount2 pivot_root chroot unshare setns fsopen fsconfig fsmount fspick move_mount
    open_tree mount_setattr swapon swapoff
    init_module finit_module delete_module kexec_load kexec_file_load reboot
    bpf perf_event_open userfaultfd keyctl add_key request_key quotactl acct
    open_by_handle_at name_to_handle_at fanotify_init fanotify_mark
    settimeofday clock_settime clock_settime64 stime adjtimex clock_adjtime clock_adjtime64
    sethostname setdomainname syslog vhangup iopl ioperm
    setpriority ioprio_set sched_setscheduler sched_setparam sched_setattr migrate_pages move_pages
    chmod fchmod fchmodat chown fchown fchownat lchown chown32 fchown32 lchown32
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
    utime utimes utimensat utimensat_time64 futimesat
    creat truncate truncate64 unlink unlinkat rename renameat renameat2 link linkat symlink
    symlinkat mkdir mkdirat rmdir mknod mknodat
    shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semtimedop semctl ipc
    mq_open mq_unlink
"""
_NUMBERED = (452, 463, 466)  # fchmodat2, setxattrat, removexattrat: newer than some libraries
_UNKNOWN = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "openat2")
_FLAGS_OF_OPEN = {"open": 1, "openat": 2}  # which argument
_ACCESS = 3
_WRITING = ((_ACCESS, os.O_WRONLY), (_ACCESS, os.O_RDWR), (os.O_CREAT,) * 2, (os.O_TRUNC,) * 2)


class _Compare(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("one", ctypes.c_uint64),
        ("two", ctypes.c_uint64),
    )


Rule = tuple[str | int, int, tuple[_Compare, ...]]


def restrict(*, devices: bool, netlink: bool) -> str:
    """Filter this process and all its threads, for ever; gives what there is of it.

    Args:
        devices: an accelerator's nodes must be opened for writing: files are Landlock's alone.
        netlink: libusb listens there for devices.
    """
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError:
        return "seccomp: libseccomp.so.2 is not installed"
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    if not context:
        return "seccomp: not in this kernel"
    library.seccomp_attr_set(context, ctypes.c_int(_TO_ALL_THREADS), ctypes.c_uint32(1))
    failed_for = [
        str(name)
        for name, error, compares in _rules(devices, netlink)
        if not _add(library, context, name, error, compares)
    ]
    failed: int = library.seccomp_load(context)
    library.seccomp_release(context)
    if failed:
        return f"seccomp: refused: {os.strerror(-failed)}"
    if failed_for:
        return f"seccomp: it does not filter {', '.join(failed_for)}"
    written = "opening for writing is Landlock's alone" if devices else "nothing is written"
    sockets = "no sockets but netlink" if netlink else "no sockets"
    return f"{sockets}, no programs, no other process; {written}"


def _rules(devices: bool, netlink: bool) -> Iterator[Rule]:
    refused: tuple[str | int, ...] = (*_REFUSED.split(), *_NUMBERED)
    for call in refused:
        yield call, errno.EPERM, ()
    for name in _UNKNOWN:  # the C library, or the asker, then takes the older way
        yield name, errno.ENOSYS, ()
    yield "clone", errno.EPERM, (_Compare(0, _MASKED, _CLONE_THREAD, 0),)
    own = os.getpid()
    for name in ("kill", "tgkill"):  # abort() signals itself
        yield name, errno.EPERM, (_Compare(0, _NOT_EQUAL, own, 0),)
    for name in ("prlimit64", "sched_setaffinity"):  # only of the caller
        yield name, errno.EPERM, (_Compare(0, _NOT_EQUAL, 0, 0),)
    option = _Compare(0, _MASKED, 0xFFFFFFFF, _PR_SET_PDEATHSIG)  # the kernel looks at 32 bits
    yield "prctl", errno.EPERM, (option,)
    socket = (_Compare(0, _NOT_EQUAL, _AF_NETLINK, 0),) if netlink else ()
    yield "socket", errno.EACCES, socket
    if not devices:
        for name, argument in _FLAGS_OF_OPEN.items():
            for mask, value in _WRITING:
                yield name, errno.EACCES, (_Compare(argument, _MASKED, mask, value),)


def _add(
    library: ctypes.CDLL,
    context: ctypes.c_void_p,
    name: str | int,
    error: int,
    compares: tuple[_Compare, ...],
) -> bool:
    """Whether it holds. A call that this architecture or this library does not know has none."""
    number = name
    if isinstance(name, str):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return True
    array = (_Compare * len(compares))(*compares)
    failed: int = library.seccomp_rule_add_array(
        context,
        ctypes.c_uint32(_ERROR | error),
        ctypes.c_int(int(number)),
        ctypes.c_uint(len(compares)),
        array,
    )
    return not failed
