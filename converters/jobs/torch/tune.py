"""Quantisation-aware training of a PyTorch network (module:callable or .pt2).

Options: those of torch_model and training, and `form` of the file. What is written is the float
network with the weights that stand INT8 better; the normal chain quantises it. Statistics of batch
normalisation stay as they are, and nothing is dropped out: the graph is the one that is exported.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from .. import training
from ..job import Facts, Job
from . import fake as torch_fake
from . import learner as torch_learner
from . import model as torch_model
from . import output as torch_output
from .model import Network
from .program import capture


def run(job: Job) -> Facts:
    """Tune and write."""
    how, right = training.settings(job), training.answers(job)
    torch_learner.settle(how)
    network = torch_model.load(job)
    inputs = torch_learner.arrays(network, job, "train")
    probabilities = torch_learner.gives_probabilities(network, inputs, right)
    program = capture(network, inputs, 0)
    graph = program.module()
    weights = torch_fake.insert(graph)
    learner = torch_learner.TorchLearner(
        replace(network, kind="program", module=graph),
        how,
        probabilities=probabilities,
        modes=False,
        around=partial(torch_fake.rounded, graph, weights),
    )
    losses = training.fit(job, learner, inputs, right, how)
    tuned = _taken_over(network, program, graph)
    written = torch_output.write(tuned, job)
    return {
        **torch_model.facts(network),
        "parameters": torch_learner.parameters(tuned.module),
        "tuned": weights,
        "training": training.facts(how, losses),
        "notes": [*network.notes, *written["notes"]],
    }


def _taken_over(network: Network, program: Any, graph: Any) -> Network:
    """The network with the parameters of the tuned graph."""
    import torch

    with torch.no_grad():
        trained = dict(graph.named_parameters())
        if network.program is None:
            for name, parameter in network.module.named_parameters():
                parameter.copy_(trained[name])
            return network
        for name, tensor in program.state_dict.items():
            if name in trained:
                tensor.copy_(trained[name])
    return replace(network, module=program.module())
