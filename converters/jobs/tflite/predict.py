"""The outputs of a .tflite file for the cases: the reference for what is made from it.

`out` becomes an .npz of one array for each output, under its name: (cases, ...) real values
without a batch axis. Nothing is kept from one case to the next.
"""

from __future__ import annotations

from .. import tensors_file
from ..difference import stack
from ..job import Facts, Job, JobError
from . import file as tflite_file
from .facts import facts, has_variables
from .session import Session


def run(job: Job) -> Facts:
    """Run each case by itself."""
    if job.cases is None:
        raise JobError("there are no cases to predict")
    model = tflite_file.read(job.source)
    session = Session(job.source, anew=has_variables(model))
    cases = session.feeds(job.cases)
    outputs = []
    for done, feed in enumerate(cases, 1):
        outputs.append(session.run(feed))
        job.progress(done, len(cases), "predict")
    names = [detail["name"] for detail in session.outputs]
    tensors_file.write(job.out, stack(names, outputs))
    return {**facts(model), "cases": len(cases)}
