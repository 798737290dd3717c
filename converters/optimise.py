"""Pruning, distillation and quantisation-aware training: `edge-convert prune`, `distil`, `tune`.

A network and labelled data in, a trained network out, which `edge-convert MODEL` converts like any
other. What it gained is measured on the files that are made of it, before and after.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from edge_runtime.errors import ConfigError

from .gains import Gain, gain
from .optimise_bench import Bench
from .optimise_wish import Wish, check
from .process import Progress


def optimise(wanted: Wish, tell: Progress) -> Gain:
    """Train, measure, write. A run that is broken off leaves its checkpoint and nothing else.

    Raises ConfigError, ConversionError, or GateError when more than `max_drop` points are lost.
    """
    check(wanted)
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as folder:
        bench = Bench(wanted, Path(folder), tell)
        facts = bench.train("after", wanted.special)
        before, after = bench.side("before"), bench.side("after")
        found = gain(
            wanted.verb,
            wanted.contract.manifest,
            bench.evaluation,
            (before, after),
            untuned=bench.untuned(),
            max_drop=wanted.max_drop,
            tell=tell,
        )
        found = replace(found, facts={**found.facts, **bench.told(facts)})
        found.hold()
        _publish(bench.trained("after"), wanted.out)
        _publish_text(
            json.dumps(found.facts, indent=1), wanted.out.with_name(f"{wanted.out.name}.json")
        )
        for path in bench.checkpoints:
            path.unlink(missing_ok=True)
    return replace(found, out=wanted.out)


def _publish(made: Path, out: Path) -> None:
    beside = out.with_name(f".{out.name}.part")
    try:
        shutil.copyfile(made, beside)
        beside.replace(out)
    except OSError as exc:
        raise ConfigError(f"{out}: cannot be written: {exc.strerror}") from exc
    finally:
        beside.unlink(missing_ok=True)


def _publish_text(text: str, out: Path) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{out}: cannot be written: {exc.strerror}") from exc
