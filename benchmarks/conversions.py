"""Convert from every source to every target with edge-convert, and table what became of it.

    python benchmarks/conversions.py DATA [--work FOLDER] [--only TEXT] [--docs docs/converters.md]

DATA holds `models`, `images` and `video`. Every family of `edge-convert setup` must be there. What
was converted is kept in FOLDER/results.json: a second call goes on where the first ended. With
--docs, the tables take the place of those between the marks of that page. A cell of what could
not be made gives edge-convert's own reason.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import conversions_data
import conversions_real
from conversions_data import HERE, Task

Row = dict[str, Any]
MARKS = "<!-- {} of benchmarks/conversions.py -->"
HEADS = {
    "cnn": ("Source", "Target", "Made in", "Size", "Points lost (95 %)", "Same answer", "Time"),
    "sequence": ("Source", "Target", "Made in", "Size", "Mean error", "Same answer", "Time"),
    "real": (
        "Model",
        "Target",
        "Made in",
        "Size",
        "Answers kept",
        "Mean error",
        "Left float",
        "Time",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, help="keep sources and results here")
    parser.add_argument("--only", default="", help="sources whose title matches this pattern")
    parser.add_argument("--docs", type=Path, help="page to put the tables into")
    options = parser.parse_args()
    work = (options.work or Path(tempfile.mkdtemp(prefix="conversions-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    data = options.data.resolve()
    tasks = [*conversions_data.networks(data, work), *conversions_real.real(data, work)]
    kept = work / "results.json"
    found: dict[str, Row] = json.loads(kept.read_text()) if kept.exists() else {}
    for task in tasks:
        if not re.search(options.only, task.title):
            continue
        for targets in _groups(task):
            if missing := [one for one in targets if f"{task.title}|{one}" not in found]:
                found |= {f"{task.title}|{one}": row for one, row in _converted(task, missing)}
                kept.write_text(json.dumps(found, indent=1))
    tables = {name: _table(name, tasks, found) for name in HEADS}
    print("\n\n".join(tables.values()))
    print(_versions(found))
    if options.docs:
        _put(options.docs, tables, found)


def _groups(task: Task) -> list[list[str]]:
    """Targets of a format together: they share the float32 file."""
    both = ([one for one in task.targets if one.startswith(name)] for name in ("tflite", "onnx"))
    return [group for group in both if group]


def _converted(task: Task, targets: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """All in one go; where that fails, each by itself."""
    start = time.monotonic()
    done = _edge_convert(task, targets)
    print(f"{task.title}: {' '.join(targets)}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    if not done.returncode:
        facts = json.loads(done.stdout)
        for target, one in zip(targets, facts["files"], strict=True):
            yield target, one
    elif len(targets) > 1:
        for target in targets:
            yield from _converted(task, [target])
    else:
        reason = done.stderr.strip().splitlines()[-1].removeprefix("edge-convert: ")
        yield targets[0], {"reason": reason, "status": done.returncode}


def _edge_convert(task: Task, targets: Sequence[str]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="conversions-") as folder:
        words = [task.model, "-o", f"{folder}/out", "--contract", task.contract, *task.words]
        words += [word for one in targets for word in ("--to", one)]
        words += ["--calibrate", task.calibrate, "--evaluate", task.evaluate]
        words += ["--max-drop", task.max_drop, "--json"]
        command = [sys.executable, "-m", "edge_runtime.converters.cli", *map(str, words)]
        env = {**os.environ, "PYTHONPATH": str(HERE)}
        return subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=HERE, env=env
        )


def _table(name: str, tasks: Sequence[Task], found: dict[str, Row]) -> str:
    head = HEADS[name]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for task in (one for one in tasks if one.table == name):
        rows = [(one, found[f"{task.title}|{one}"]) for one in task.targets
                if f"{task.title}|{one}" in found]  # fmt: skip
        for target, row in _merged(rows):
            refused = "reason" in row
            cells = _refused(row, len(head) - 2) if refused else _cells(name, row, task)
            lines.append("| " + " | ".join((task.title, target, *cells)) + " |")
    return "\n".join(lines)


def _merged(rows: Sequence[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
    """Targets of one format that fail for one reason take one line."""
    told: set[str] = set()
    for target, row in rows:
        why = row.get("reason")
        same = [one for one, other in rows if why and other.get("reason") == why]
        if why not in told:
            yield ", ".join(same) or target, row
        told |= {why} if why else set()


def _refused(row: Row, columns: int) -> list[str]:
    reason = re.sub(r"\S*/(?=[^/\s]+)", "", row["reason"])  # a path by its last part
    reason = reason.replace("|", "\\|").replace("<", "&lt;")
    return [f"not made, exit {row['status']}: {reason}", *[""] * (columns - 1)]


def _cells(name: str, row: Row, task: Task) -> list[str]:
    agreement, made, ratio = row["agreement"], f"{row['made_in_s']:.0f} s", row["latency_ratio"]
    took = f"{row['latency_ms']['median_ms']:.2f} ms" + (f", {ratio:.2f} x" if ratio else "")
    same = f"{100 * agreement['share']:.1f} %"
    spans = [one["mean"] / one["span"] for one in agreement["outputs"] if one["span"]]
    error = f"{100 * max(spans, default=0.0):.2g} %"
    if name == "real":
        size = row["size_bytes"] / Path(task.model).stat().st_size
        kept = f"{round(agreement['share'] * agreement['cases'])} of {agreement['cases']}"
        return [made, f"{size:.2f}", kept, error, str(len(row["kept_for_the_gate"])), took]
    judged = _lost(row) if name == "cnn" else error
    return [made, f"{row['size_ratio']:.2f}", judged, same, took]


def _lost(row: Row) -> str:
    (drop,) = row["drops"]
    low, high = (100 * drop["loss"][key] for key in ("low", "high"))
    return f"{drop['points']:+.2f} ({low:+.2f} to {high:+.2f})"


def _versions(found: dict[str, Row]) -> str:
    known: dict[str, set[str]] = {}
    for row in found.values():
        for name, version in row.get("versions", {}).items():
            known.setdefault(name, set()).add(version)
        runtime = row.get("runtime", "").rpartition(" ")
        if runtime[0]:
            known.setdefault(runtime[0], set()).add(runtime[2])
    return ", ".join(f"{name} {' and '.join(sorted(ones))}" for name, ones in sorted(known.items()))


def _put(page: Path, tables: dict[str, str], found: dict[str, Row]) -> None:
    """Between `begin` and `end` of each table's name, and of the versions."""
    text = page.read_text(encoding="utf-8")
    for name, content in {**tables, "versions": f"Versions: {_versions(found)}."}.items():
        begin, end = MARKS.format(f"begin {name}"), MARKS.format(f"end {name}")
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        if not rest:
            sys.exit(f"{page}: has no line '{begin}'")
        text = f"{head}{begin}\n\n{content}\n\n{end}{tail}"
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
