"""Many lives of a store on several cores, until enough different states were checked.

    python -m tests.update.crash.campaign --states 1000000 --report update-states.jsonl
    python -m tests.update.crash.campaign --of metadata --states 20000 --report metadata.jsonl

Exit 1 when any state broke a promise. Can be interrupted: a report of the same code is continued.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

from ...crash import campaign


class Campaign(campaign.Campaign):
    """See tests/crash/campaign.py; other lives, and other code that a report belongs to."""

    explorer = "tests.update.crash.explore"

    @staticmethod
    def fingerprint() -> str:
        root = campaign.ROOT
        tests = ("crash", "update/crash", "update/store", "update/remote")
        folders = ("edge_runtime/update", *(f"tests/{folder}" for folder in tests))
        files = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
        files += [root / "edge_runtime" / "state.py", root / "tests" / "crash" / "recorder.c"]
        content = b"".join(path.read_bytes() for path in files)
        return hashlib.sha256(content).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--of", default="store", choices=("store", "metadata"))
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--report", type=Path, default=Path("update-states.jsonl"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    found = Campaign(options.states, ("--of", options.of, "--twice", "0.05"), options.report)
    found.run(options.jobs)
    print(f"\n{found.summary()}; {found.total('doubles'):,} of the states after a second cut")
    print("\n".join(found.violations[:20]))
    return 1 if found.violations else 0


if __name__ == "__main__":
    sys.exit(main())
