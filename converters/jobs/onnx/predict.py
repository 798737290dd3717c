"""The outputs of an ONNX model for the cases: the reference for what is made from it.

`out` becomes an .npz of one array for each output, under its name: (cases, ...) without a batch
axis.
"""

from __future__ import annotations

from .. import tensors_file
from ..difference import stack
from ..job import Facts, Job, JobError
from . import file as onnx_file
from . import session as onnx_session


def run(job: Job) -> Facts:
    """Run each case by itself."""
    if job.cases is None:
        raise JobError("there are no cases to predict")
    model = onnx_file.read(job.source)
    opened = onnx_session.session(model)
    cases = onnx_session.feeds(opened, job.cases)
    outputs = []
    for done, feed in enumerate(cases, 1):
        outputs.append(onnx_session.run(opened, feed))
        job.progress(done, len(cases), "predict")
    tensors_file.write(job.out, stack([output.name for output in opened.get_outputs()], outputs))
    return {**onnx_file.facts(model), "cases": len(cases)}
