"""The outputs of a PyTorch network for the cases: the reference for what is made from it.

Options: those of torch_model. `out` becomes an .npz of one array for each output, (cases, ...),
under the names of `outputs`, or the network's own, or "0", "1" ...
"""

from __future__ import annotations

import numpy as np

from .. import tensors_file
from ..job import Facts, Job, JobError
from . import model as torch_model
from . import run as torch_run


def run(job: Job) -> Facts:
    """Run all cases, in batches where the network takes any number."""
    if job.cases is None:
        raise JobError("there are no cases to predict")
    network = torch_model.load(job)
    outputs = torch_run.predict(network, torch_run.samples(network, job), job)
    tensors_file.write(job.out, {name: array[:, np.newaxis] for name, array in outputs.items()})
    return {
        **torch_model.facts(network),
        "outputs": [
            {"name": name, "shape": [-1, *array.shape[1:]], "dtype": array.dtype.name}
            for name, array in outputs.items()
        ],
        "cases": len(next(iter(outputs.values()))),
    }
