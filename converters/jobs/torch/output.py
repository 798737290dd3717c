"""A trained PyTorch network as a file: its state_dict (.pt) or an exported program (.pt2)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import tensors_file
from ..checkpoint import write_whole
from ..job import Array, Facts, Job, JobError
from . import export as torch_export
from . import run as torch_run
from .model import Network


def module_of(job: Job, verb: str) -> None:
    """Raises JobError for a source whose layers cannot be trained."""
    if not job.options.get("factory"):
        raise JobError(
            f"{job.source}: {verb} works on a network that can be built anew: name what builds it"
            " (module:callable) and its --weights"
        )


def write(network: Network, job: Job) -> Facts:
    """Write job.out, of the form that the option `form` names: "pt" or "pt2".

    A program takes any number of cases; where the network holds its batch fixed, one.
    """
    if job.options["form"] == "pt":
        import torch

        held = io.BytesIO()
        torch.save(network.module.state_dict(), held)
        write_whole(job.out, held.getvalue())
        return {"notes": []}
    try:
        return torch_export.write(network, _with_batch(job, 0), "pt2")
    except JobError as exc:
        told = torch_export.write(network, _with_batch(job, 1), "pt2")
        return {**told, "notes": [*told["notes"], f"takes one case at a time: {exc}"]}


def predictions(network: Network, inputs: Sequence[Array], job: Job, option: str) -> None:
    """Write what the network gives for cases into the .npz that an option names, if it does."""
    if job.options.get(option):
        found = torch_run.predict(network, inputs, job)
        named = {name: array[:, np.newaxis] for name, array in found.items()}
        tensors_file.write(Path(job.options[option]), named)


def _with_batch(job: Job, batch: int) -> Job:
    return replace(job, options={**job.options, "batch": batch})
