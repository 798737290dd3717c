"""Trains a PyTorch network on classes, with a teacher where there is one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..job import Array, Job, JobError
from ..training import Answers, Settings, check_scores, least_probability
from . import run as torch_run
from .model import Network

Around = Callable[[], AbstractContextManager[Any]]


class TorchLearner:
    """Adam (Kingma and Ba, arXiv:1412.6980) on all parameters of a module.

    `modes`: whether layers may be put into training mode; an exported program has one mode only.
    `around` is entered for each forward and backward pass, and left before the step.
    """

    def __init__(
        self,
        network: Network,
        how: Settings,
        *,
        probabilities: bool,
        modes: bool = True,
        around: Around = nullcontext,
    ) -> None:
        import torch

        self._network, self._how, self._modes, self._around = network, how, modes, around
        self._probabilities = probabilities
        parameters = [each for each in network.module.parameters() if each.requires_grad]
        if not parameters:
            raise JobError(f"{network.path}: has no parameter that can be trained")
        self._optimiser = torch.optim.Adam(parameters, lr=how.rate)

    def begin(self, seed: int) -> None:
        import torch

        torch.manual_seed(seed)

    def step(self, inputs: Sequence[Array], answers: Answers, rate: float) -> float:
        import torch

        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        arguments = tuple(torch.from_numpy(array) for array in inputs)
        with self._around(), self._training(), torch_run.named_failures(self._network):
            outputs = self._network.module(*arguments)
            _, scores = next(torch_run.flatten(outputs))
            loss = self._loss(scores.float(), answers)
            loss.backward()
        value = float(loss.detach())
        if np.isfinite(value):
            self._optimiser.step()
        return value

    def state(self) -> dict[str, Array]:
        """The module's tensors as "net/NAME", the optimiser's as "adam/PLACE/NAME"."""
        net = self._network.module.state_dict()
        found = {f"net/{name}": tensor.detach().numpy().copy() for name, tensor in net.items()}
        for place, sums in self._optimiser.state_dict()["state"].items():
            found |= {f"adam/{place}/{name}": tensor.numpy() for name, tensor in sums.items()}
        return found

    def restore(self, state: dict[str, Array]) -> None:
        import torch

        net: dict[str, Any] = {}
        sums: dict[int, dict[str, Any]] = {}
        for name, array in state.items():
            kind, _, rest = name.partition("/")
            tensor = torch.from_numpy(np.array(array))
            if kind == "net":
                net[rest] = tensor
            else:
                place, _, which = rest.partition("/")
                sums.setdefault(int(place), {})[which] = tensor
        try:
            self._network.module.load_state_dict(net)
            groups = self._optimiser.state_dict()["param_groups"]
            self._optimiser.load_state_dict({"state": sums, "param_groups": groups})
        except (RuntimeError, ValueError) as exc:
            raise JobError(
                "the checkpoint is of a network of another form: delete it to start anew"
            ) from exc

    @contextmanager
    def _training(self) -> Iterator[None]:
        if self._modes:
            self._network.module.train()
        try:
            yield
        finally:
            if self._modes:
                self._network.module.eval()

    def _loss(self, scores: Any, answers: Answers) -> Any:
        """Cross-entropy, and that with the teacher's softened word (Hinton, arXiv:1503.02531)."""
        import torch
        from torch.nn import functional

        if self._probabilities:
            scores = torch.log(scores.clamp_min(least_probability()))
        hard = functional.cross_entropy(scores, torch.from_numpy(answers.labels))
        if answers.teacher is None or not self._how.weight:
            return hard
        heat, share = self._how.temperature, self._how.weight
        wanted = functional.log_softmax(torch.from_numpy(answers.teacher) / heat, dim=1)
        given = functional.log_softmax(scores / heat, dim=1)
        apart = functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
        return (1 - share) * hard + share * heat * heat * apart


def settle(how: Settings) -> None:
    """One thread and no free choice of kernels: the same run gives the same figures."""
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    torch.set_num_threads(how.threads)
    torch.manual_seed(how.seed)


def arrays(network: Network, job: Job, option: str) -> list[Array]:
    """The inputs in the .npz that an option of the job names, in the network's order."""
    return torch_run.samples(network, replace(job, cases=Path(job.options[option])))


def gives_probabilities(network: Network, inputs: Sequence[Array], right: Answers) -> bool:
    """Whether the first output is probabilities; see training.check_scores."""
    few = [array[: network.batch or 8] for array in inputs]
    return check_scores(torch_run.call(network, few)[0][1], right, network.path)


def parameters(module: Any) -> int:
    """How many numbers are trained."""
    return sum(each.numel() for each in module.parameters())
