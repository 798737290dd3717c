"""Take a store to a state, and there fail, die or hang: `python -m tests.update.store.killed ...`.

The store has one committed model; the next is under way. See test_store_kills.py.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from edge_runtime.errors import UpdateError
from edge_runtime.update.store import bundle
from edge_runtime.update.store.books import Books
from edge_runtime.update.store.journal import Installed
from edge_runtime.update.store.store import Store


def struck(fault: str) -> None:
    """What happens right after the journal of the state was written."""
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        print("hangs", flush=True)
        time.sleep(600)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def main(words: list[str]) -> None:
    home, factory, made, digest, state, fault = words
    tell, unpack = Books._tell, bundle.unpack

    def told(books, event, journal):
        if journal.state == state:
            struck(fault)
        tell(books, event, journal)

    def unpacked(*words):
        if state == "staged" and fault == "error":
            struck(fault)
        unpack(*words)

    release = Installed(digest, "model", "1.2", 2)
    store = Store(Path(home), Path(factory))
    store.open()
    Books._tell, bundle.unpack = told, unpacked
    with suppress(UpdateError):
        store.fetching(release)
        shutil.copyfile(made, store.part(digest))
        if state == "fetching":
            return
        store.stage(store.part(digest), release)
        if state == "rejected":
            store.reject("slow")
        store.validate("ok")
        store.begin_trial()
        if state == "trial":
            return
        store.roll_back("worse") if state == "rolled_back" else store.commit()


if __name__ == "__main__":
    main(sys.argv[1:])
