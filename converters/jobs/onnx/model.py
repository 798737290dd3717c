"""An ONNX model read, checked, cleaned and given its batch axis, opset and metadata.

Options: `batch` (1 fixed, 0 dynamic, left out: as it is), `slim` (default true: fold constants,
drop dead nodes), `opset`, `metadata` (a table of texts for metadata_props).
"""

from __future__ import annotations

from typing import Any

from ..difference import require_same
from ..job import Facts, Job, JobError
from . import batch as onnx_batch
from . import file as onnx_file
from . import session as onnx_session


def run(job: Job) -> Facts:
    """Write the model as it should be; compare it with what it was."""
    source = onnx_file.read(job.source)
    model = type(source)()
    model.CopyFrom(source)
    notes: list[str] = []
    opset = job.options.get("opset")
    if opset:
        model = to_opset(model, int(opset))
    batch = job.options.get("batch")
    if batch == 1:
        onnx_batch.fix(model)
    elif batch == 0:
        onnx_batch.unfix(model)
    if job.options.get("slim", True):
        model = slim(model, notes)
    _describe(model, job.options.get("metadata", {}))
    compared = _compare(source, model, job)
    onnx_file.write(model, job.out)
    facts = onnx_file.facts(model)
    before, after = (len(list(onnx_file.nodes(item.graph))) for item in (source, model))
    facts["nodes_before"], facts["nodes_after"] = before, after
    return {**facts, "compared": compared, "notes": notes}


def to_opset(model: Any, opset: int) -> Any:
    """The model in another version of ONNX's operations. Raises JobError when it cannot be."""
    import onnx

    if onnx_file.opset(model) == opset:
        return model
    try:
        converted = onnx.version_converter.convert_version(model, opset)
        onnx.checker.check_model(converted)
    except (onnx.version_converter.ConvertError, onnx.checker.ValidationError, RuntimeError) as exc:
        raise JobError(
            f"cannot be brought from opset {onnx_file.opset(model)} to {opset}: "
            f"{onnx_file.first_line(exc)}; export it with opset {opset}"
        ) from exc
    return converted


def slim(model: Any, notes: list[str]) -> Any:
    """The model with constants folded and dead nodes dropped, as onnxslim does it."""
    import onnx
    import onnxslim

    names = _names(model)
    slimmed = onnxslim.slim(model)
    notes.append(f"cleaned by onnxslim {onnxslim.__version__}")
    if slimmed is None or _names(slimmed) != names:
        notes[-1] = f"onnxslim {onnxslim.__version__} changed inputs or outputs: left out"
        return model
    try:
        onnx.checker.check_model(slimmed)
    except onnx.checker.ValidationError as exc:
        notes[-1] = f"onnxslim made an invalid model, left out: {onnx_file.first_line(exc)}"
        return model
    return slimmed


def _names(model: Any) -> list[list[str]]:
    return [[value.name for value in side] for side in (model.graph.input, model.graph.output)]


def _describe(model: Any, metadata: dict[str, str]) -> None:
    import onnx

    texts = {item.key: item.value for item in model.metadata_props}
    texts.update({key: str(value) for key, value in metadata.items()})
    onnx.helper.set_model_props(model, texts)


def _compare(source: Any, model: Any, job: Job) -> Facts:
    """The outputs of both on the cases, or on random values."""
    before, after = onnx_session.session(source), onnx_session.session(model)
    cases = onnx_session.feeds(before, job.cases)
    if job.options.get("batch") == 0:
        onnx_batch.check_open(after, cases)
    expected = onnx_session.predict(before, cases)
    found = onnx_session.predict(after, cases)
    if job.options.get("batch") == 1:
        onnx_batch.settle(model, [array[0] for array in found.values()])
    return require_same(expected, found, job.source.name)
