"""Takes weights or whole channels out of a PyTorch network, and trains on what is left.

Options: those of torch_model and training; `structured`, `share`, `form` of the file; `evaluate`
(.npz of cases) and `untuned` (.npz to write): what the network gives for them before it is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import training
from ..job import Array, Facts, Job, JobError
from . import learner as torch_learner
from . import model as torch_model
from . import output as torch_output
from . import run as torch_run
from .model import Network
from .weights import RAISED, first_line

_ROUND = 4  # channels that stay are a multiple of it: what kernels work on at once


def run(job: Job) -> Facts:
    """Prune, tune, write."""
    torch_output.module_of(job, "pruning")
    how, right = training.settings(job), training.answers(job)
    torch_learner.settle(how)
    network = torch_model.load(job)
    inputs = torch_learner.arrays(network, job, "train")
    probabilities = torch_learner.gives_probabilities(network, inputs, right)
    before = torch_learner.parameters(network.module)
    share, structured = float(job.options["share"]), bool(job.options.get("structured"))
    prune = _channels if structured else _weights
    layers = prune(network, inputs, share)
    evaluated = torch_learner.arrays(network, job, "evaluate")
    torch_output.predictions(network, evaluated, job, "untuned")
    learner = torch_learner.TorchLearner(network, how, probabilities=probabilities)
    losses = training.fit(job, learner, inputs, right, how)
    if not structured:
        _for_good(network)
    written = torch_output.write(network, job)
    return {
        **torch_model.facts(network),
        "parameters": {"before": before, "after": torch_learner.parameters(network.module)},
        "zeros": _zeros(network),
        "layers": layers,
        "training": training.facts(how, losses),
        "notes": [*network.notes, *written["notes"]],
        "versions": _versions(structured=structured),
    }


def _prunable(network: Network) -> Iterator[tuple[str, Any]]:
    """Convolutions and dense layers."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    for name, module in network.module.named_modules():
        if isinstance(module, (_ConvNd, nn.Linear)):
            yield name, module


def _weights(network: Network, inputs: list[Array], share: float) -> list[Facts]:  # noqa: ARG001
    """Mask the smallest weights of all layers together (Han et al., arXiv:1506.02626)."""
    from torch.nn.utils import prune

    layers = list(_prunable(network))
    if not layers:
        raise JobError(f"{network.path}: has no convolution and no dense layer to prune")
    prune.global_unstructured(
        [(module, "weight") for _, module in layers],
        pruning_method=prune.L1Unstructured,
        amount=share,
    )
    return [
        {
            "layer": name,
            "before": module.weight.numel(),
            "after": int(module.weight_mask.sum()),
        }
        for name, module in layers
    ]


def _for_good(network: Network) -> None:
    """Write the masks into the weights."""
    from torch.nn.utils import prune

    for _, module in _prunable(network):
        prune.remove(module, "weight")


def _channels(network: Network, inputs: list[Array], share: float) -> list[Facts]:
    """Take the channels of least magnitude out of each group of layers (DepGraph, 2301.12900).

    Layers that give the outputs keep theirs. Raises JobError where the groups cannot be found, or
    nothing is left to take.
    """
    import torch_pruning

    example = torch_run.tensors(inputs, 2)
    sizes = _sizes(network, example)
    before = {name: _shape(module) for name, module in _prunable(network)}
    last = _last_layers(network, example)
    try:
        pruner = torch_pruning.pruner.BasePruner(
            network.module,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=share,
            pruning_ratio_dict={each: _ratio(each, share) for _, each in _prunable(network)},
            ignored_layers=last,
        )
        pruner.step()
        after_sizes = _sizes(network, example)
    except (*RAISED, JobError) as exc:
        raise JobError(
            f"{network.path}: its channels cannot be taken out: {first_line(exc)}; prune single"
            " weights instead (without --structured)"
        ) from exc
    if after_sizes != sizes:
        raise JobError(
            f"{network.path}: without those channels its outputs are {after_sizes}, not {sizes};"
            " prune single weights instead (without --structured)"
        )
    after = {name: _shape(module) for name, module in _prunable(network)}
    if after == before:
        raise JobError(
            f"{network.path}: no layer has a channel to spare at --share {share:g}: its hidden"
            f" layers must have more than {_ROUND} channels"
        )
    return [{"layer": n, "before": before[n], "after": after[n]} for n in before]


def _ratio(module: Any, share: float) -> float:
    """The share with which a multiple of `_ROUND` channels stays, and no more go than asked for.

    A hair less, for the pruner rounds down what stays.
    """
    channels = int(module.weight.shape[0])
    left = min(channels, -(-round(channels * (1 - share)) // _ROUND) * _ROUND)
    return max(0.0, 1 - (left + 0.01) / channels)


def _last_layers(network: Network, example: tuple[Any, ...]) -> list[Any]:
    """The layers whose outputs become the network's, with nothing that has weights between.

    They are found from the outputs backwards in the graph that autograd keeps.
    """
    owners = {id(module.weight): module for _, module in _prunable(network)}
    for each in owners.values():
        each.weight.requires_grad_(True)
    outputs = network.module(*example)
    waiting = [each.grad_fn for _, each in torch_run.flatten(outputs) if each.grad_fn is not None]
    seen, found = set(waiting), []
    while waiting:
        node = waiting.pop()
        before = [parent for parent, _ in node.next_functions if parent is not None]
        weights = [_leaf(parent) for parent in before]
        own = [owners[id(leaf)] for leaf in weights if id(leaf) in owners]
        found += own
        if not own:
            fresh = [parent for parent in before if parent not in seen]
            seen.update(fresh)
            waiting += fresh
    return found


def _leaf(node: Any) -> Any:
    """The parameter that a node accumulates into, seen through a transposition; else None."""
    while type(node).__name__ in ("TBackward0", "TransposeBackward0", "ViewBackward0"):
        node = node.next_functions[0][0]
    return getattr(node, "variable", None)


def _sizes(network: Network, example: tuple[Any, ...]) -> list[tuple[int, ...]]:
    import torch

    with torch.no_grad(), torch_run.named_failures(network):
        outputs = network.module(*example)
    return [tuple(each.shape) for _, each in torch_run.flatten(outputs)]


def _shape(module: Any) -> list[int]:
    return list(module.weight.shape)


def _zeros(network: Network) -> int:
    return sum(int((module.weight == 0).sum()) for _, module in _prunable(network))


def _versions(*, structured: bool) -> dict[str, str]:
    import torch

    found = {"torch": torch.__version__}
    if structured:
        from importlib.metadata import version

        found["torch-pruning"] = version("torch-pruning")
    return found
