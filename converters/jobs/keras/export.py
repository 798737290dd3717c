"""A Keras model or SavedModel as a SavedModel for those who keep a TensorFlow server.

`job.out` becomes a folder with one signature, `serving_default`, the source's names in it and
constant weights. Options: batch = 0 (open, the default) | 1, metadata (texts by key, written to
assets.extra/metadata.json, where TensorFlow Serving leaves it alone), and those of
`keras_model.load`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

from ..job import Facts, Job, JobError, read_cases
from .check import compare, first_cases
from .model import facts, load
from .predict import cases_of, predict
from .saved import freeze, save

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what a signature takes as it is


def run(job: Job) -> Facts:
    """Write the folder, load it again, and compare."""
    import tensorflow as tf

    if job.out.exists():
        raise JobError(f"{job.out}: is there already; remove it or write elsewhere")
    source = load(job)
    frozen = freeze(source, int(job.options.get("batch", 0)), may_be_open=True)
    outputs = [tensor.name for tensor in source.outputs]
    for name in (*outputs, *(tensor.name for tensor in source.inputs)):
        if not _NAME.fullmatch(name):
            raise JobError(f"'{name}': a signature has names of letters, digits and _; rename it")
    specs = [
        tf.TensorSpec(spec.shape, spec.dtype, name=tensor.name)
        for spec, tensor in zip(frozen.specs, source.inputs, strict=True)
    ]
    beside = job.out.with_name(f".{job.out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        save(replace(frozen, specs=tuple(specs)), beside, outputs)
        (beside / "assets.extra").mkdir()
        metadata = json.dumps(dict(job.options.get("metadata", {})), indent=1)
        (beside / "assets.extra" / "metadata.json").write_text(metadata, encoding="utf-8")
        compared = _compare(job, beside)
        os.replace(beside, job.out)  # noqa: PTH105
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return {**facts(source), **compared}


def _compare(job: Job, folder: Path) -> Facts:
    source = load(job)
    inputs = first_cases(source, cases_of(source, read_cases(job.cases)) if job.cases else None)
    written = load(replace(job, source=folder, options={}))
    by_name = {tensor.name: array for tensor, array in zip(source.inputs, inputs, strict=True)}
    ordered = [by_name[tensor.name] for tensor in written.inputs]
    answers = predict(written, ordered, job.progress)
    given = dict(zip((tensor.name for tensor in written.outputs), answers, strict=True))
    return compare(source, inputs, [given[tensor.name] for tensor in source.outputs], exact=True)
