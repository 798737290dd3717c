"""Trains a PyTorch network on labels, and on a teacher's word where one is given.

Options: those of torch_model and training, and `form` of the file. `untrained` says that the
network starts from the weights that its factory gives, drawn with the seed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .. import training
from ..job import Facts, Job
from . import learner as torch_learner
from . import model as torch_model
from . import output as torch_output
from .model import Network


def run(job: Job) -> Facts:
    """Train and write."""
    torch_output.module_of(job, "training")
    how, right = training.settings(job), training.answers(job)
    torch_learner.settle(how)
    network = _network(job)
    inputs = torch_learner.arrays(network, job, "train")
    probabilities = torch_learner.gives_probabilities(network, inputs, right)
    learner = torch_learner.TorchLearner(network, how, probabilities=probabilities)
    losses = training.fit(job, learner, inputs, right, how)
    written = torch_output.write(network, job)
    return {
        **torch_model.facts(network),
        "parameters": torch_learner.parameters(network.module),
        "training": training.facts(how, losses),
        "notes": [*network.notes, *written["notes"]],
    }


def _network(job: Job) -> Network:
    """From its file of weights, or as it is built."""
    if not job.options.get("untrained"):
        return torch_model.load(job)
    start = replace(job, options={**job.options, "weights": str(_first_weights(job))})
    return torch_model.load(start)


def _first_weights(job: Job) -> Path:
    """The weights that the factory gives, as a file beside the one to write."""
    import io

    import torch

    from ..checkpoint import write_whole
    from .weights import build

    torch_model.import_path(job)
    held = io.BytesIO()
    torch.save(build(str(job.options["factory"])).state_dict(), held)
    path = job.out.with_name("untrained.pt")
    write_whole(path, held.getvalue())
    return path
