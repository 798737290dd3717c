"""A Keras model or SavedModel to a .tflite file that no TensorFlow is needed for.

Options: precision = float32 | float16 | dynamic | int8 | int16x8, io = float32 | int8 | uint8
(of int8 only), batch = 1 | 0 (open), unroll (recurrent layers become a graph for each step), and
those of `keras_model.load`. The cases calibrate int8 and int16x8.

The way is a frozen graph in a SavedModel; `from_concrete_functions` on a Keras 3 model writes a
file of empty variables and ends well (seen with TF 2.21).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..job import Array, Facts, Job, JobError, read_cases
from ..tflite import file as tflite_file
from .check import check
from .layers import layer_of, unroll
from .model import facts, load
from .predict import cases_of
from .refusal import INTEGER, explain, refuse_loops
from .rewrite import for_integers
from .saved import INPUT, Frozen, aliases, freeze, save
from .source import Source, versions

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
_STEPS = 3
_TRIES = 6

Samples = Iterator[dict[str, Array]]


@dataclass(frozen=True, slots=True)
class Options:
    """What is wanted, checked."""

    precision: str = "float32"
    io: str = "float32"
    batch: int = 1
    unroll: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise JobError(f"precision '{self.precision}': one of {', '.join(PRECISIONS)}")
        if self.io not in ("float32", "int8", "uint8"):
            raise JobError(f"io '{self.io}': one of float32, int8, uint8")
        if self.io != "float32" and self.precision != "int8":
            raise JobError(f"io '{self.io}' needs precision int8, not {self.precision}")
        if self.batch not in (0, 1):
            raise JobError(f"batch {self.batch}: 1 (fixed) or 0 (open)")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Those of a job; the rest are others'."""
        return cls(**{name: given[name] for name in cls.__slots__ if name in given})


def run(job: Job) -> Facts:
    """Convert, put the names and the order of the source in, and compare."""
    options = Options.of(job.options)
    job.progress(0, _STEPS, "load")
    source = load(job)
    cases = cases_of(source, read_cases(job.cases)) if job.cases else None
    if options.precision in INTEGER and cases is None:
        raise JobError(f"precision {options.precision} needs cases to calibrate with")
    unrolled = unroll(source) if options.unroll else []
    frozen = freeze(source, options.batch)
    refuse_loops(source, frozen, options.precision, options.batch)
    # TensorFlow's quantiser leaves one SPLIT of an unrolled layer float in about every second run;
    # the runs that do not give the same file, byte for byte (seen with TF 2.21).
    for _ in range(_TRIES if unrolled and options.precision in INTEGER else 1):
        model = tflite_file.parse(_convert(job, source, frozen, options, cases or ()))
        if not tflite_file.float_ops(model):
            break
    tflite_file.arrange(model, *aliases(source))
    job.progress(2, _STEPS, "compare")
    beside = job.out.with_name(f".{job.out.name}.new")
    try:
        tflite_file.write(model, beside)
        compared = check(source, beside, cases, exact=options.precision in ("float32", "float16"))
        os.replace(beside, job.out)  # noqa: PTH105
    finally:
        beside.unlink(missing_ok=True)
    job.progress(_STEPS, _STEPS, "done")
    return {**facts(source), **_found(source, model, options), **compared, "unrolled": unrolled}


def _found(source: Source, model: Any, options: Options) -> Facts:
    floats = tflite_file.float_ops(model) if options.precision in INTEGER else []
    stays = {f"layer '{layer_of(source, tensor)}' stays float: {name}" for name, tensor in floats}
    return {
        "inputs": tflite_file.inputs(model),
        "outputs": tflite_file.outputs(model),
        "ops": tflite_file.ops(model),
        "float_tensors": tflite_file.float_tensors(model),
        "constant_bytes": tflite_file.constant_bytes(model),
        "versions": versions("tensorflow-cpu", "tensorflow", "keras", "ai-edge-litert"),
        "notes": [*source.notes, *sorted(stays)],
    }


def _convert(
    job: Job, source: Source, frozen: Frozen, options: Options, cases: Sequence[Array]
) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    if options.precision in INTEGER:
        frozen = for_integers(frozen)
    job.progress(1, _STEPS, "convert")
    with tempfile.TemporaryDirectory() as folder:
        save(frozen, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _set(converter, options, lambda: _samples(job, cases))
        try:
            return bytes(converter.convert())
        except (ConverterError, RuntimeError, ValueError) as exc:
            raise JobError(explain(source, frozen, exc)) from exc


def _set(converter: Any, options: Options, samples: Callable[[], Samples]) -> None:
    import tensorflow as tf

    sets = tf.lite.OpsSet
    if options.precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if options.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif options.precision in INTEGER:
        converter.representative_dataset = samples
        wholly = {
            "int8": [sets.TFLITE_BUILTINS_INT8],
            "int16x8": [
                sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
                sets.TFLITE_BUILTINS,  # else one operation without a kernel ends it all
            ],
        }
        converter.target_spec.supported_ops = wholly[options.precision]
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(options.io)


def _samples(job: Job, cases: Sequence[Array]) -> Samples:
    total = len(cases[0])
    for number, case in enumerate(zip(*cases, strict=True), start=1):
        yield {INPUT.format(at): value[None] for at, value in enumerate(case)}
        job.progress(number, total, "calibrate")
