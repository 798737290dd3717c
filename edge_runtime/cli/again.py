"""Ends a process whose model never returns, and begins it anew: no thread can be ended alone."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.swap.switch import Switch

CHECK_S = 1.0


def again(stop: threading.Event) -> None:
    """Replace this process by a fresh one of the same command line; from any thread.

    Everything that is open is closed, and what other threads do ends. Where a stop was asked for,
    the process ends instead, exit 1.
    """
    sys.stderr.flush()
    if stop.is_set():
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
    process, exit 1. The service manager starts it again, and the desk finds the file.
    """
    file = switch.hung_path.open("wb")

    def wind() -> None:
        while not switch.ended.wait(CHECK_S):
            if switch.trying:
                faulthandler.dump_traceback_later(limit_s, exit=True, file=file)
            else:
                faulthandler.cancel_dump_traceback_later()
        faulthandler.cancel_dump_traceback_later()

    threading.Thread(target=wind, name="held", daemon=True).start()
