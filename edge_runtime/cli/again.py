"""Ends a process whose model never returns, and begins it anew: no thread can be ended alone."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.swap.switch import Switch

log = logging.getLogger(__name__)

CHECK_S = 1.0


def hear_signals() -> int:
    """A descriptor from which the numbers of all signals that come can be read.

    Also of those that Python's own handlers never see, as the main thread is in native code.
    """
    heard, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    return heard


def again(heard: int) -> None:
    """Replace this process by a fresh one of the same command line; from any thread.

    Everything that is open is closed, and what other threads do ends. Where a stop was asked for,
    by a signal that was `heard`, the process ends instead, exit 1.
    """
    sys.stderr.flush()
    with contextlib.suppress(BlockingIOError):  # none came
        if {signal.SIGTERM, signal.SIGINT}.intersection(os.read(heard, 65_536)):
            os._exit(1)
    for path in Path("/proc/self/fd").iterdir():
        if int(path.name) > 2:
            with contextlib.suppress(OSError):  # the one that lists them is gone
                os.set_inheritable(int(path.name), False)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own


def end_if_held(switch: Switch, limit_s: float) -> None:
    """For native code that never returns and holds the interpreter, so that nothing of ours runs.

    While a candidate is tried, a watchdog of the C library is wound up every second; when nobody
    does so for `limit_s` it writes where the threads stood to a file of the desk's and ends the
    process, exit 1. The service manager starts it again, and the desk finds the file. Where none
    can be written it is standard error, and the next start knows of a crash only.
    """
    file: IO[Any] = sys.stderr
    try:
        file = switch.hung_path.open("wb")
    except OSError as exc:
        log.warning("update: %s: %s: a hang will count as a crash", switch.hung_path, exc.strerror)

    def wind() -> None:
        while not switch.ended.wait(CHECK_S):
            if switch.trying:
                faulthandler.dump_traceback_later(limit_s, exit=True, file=file)
            else:
                faulthandler.cancel_dump_traceback_later()
        faulthandler.cancel_dump_traceback_later()

    threading.Thread(target=wind, name="held", daemon=True).start()
