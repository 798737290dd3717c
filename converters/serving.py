"""A model for those who keep a server: TorchScript, .pt2 or a SavedModel, with metadata inside."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.errors import ConfigError

from . import child, contract, environment, source, wish
from .process import Facts, Progress

FORMATS = {"torchscript": "torch", "pt2": "torch", "saved-model": "keras"}
_KERAS = ("keras", "saved-model")
_TORCH = ("torch", "exported-program", "torchscript")


def export(
    model: str,
    out: Path,
    format_: str,
    contract_file: Path,
    *,
    weights: Path | None = None,
    dynamic_batch: bool = False,
    trust: bool = False,
    timeout_s: float = 1800.0,
    on_progress: Progress | None = None,
) -> Facts:
    """Write `out` in the format, read it back, compare, and give what the job found.

    Name, version, summary, licence and labels of the contract travel inside. Raises ConfigError
    when the model is of another framework, ConversionError.
    """
    given = source.find(model, weights, trust=trust)
    family = FORMATS[format_]
    if given.kind not in (_TORCH if family == "torch" else _KERAS):
        raise ConfigError(f"{given.title}: is {given.kind}; there is no {format_} of that")
    read = contract.read(contract_file)
    manifest = read.manifest
    metadata = {
        "name": manifest.name,
        "version": manifest.version,
        "summary": manifest.summary,
        "licence": manifest.licence,
        "labels": "\n".join(manifest.labels()),
    }
    options = wish.job_options(given, read, weights, batch=0 if dynamic_batch else 1, trust=trust)
    job = {
        "source": str(given.path),
        "out": str(out.resolve()),
        "options": {**options, "format": format_, "metadata": metadata},
    }
    return child.run(
        environment.need(family, f"{given.kind} to {format_}"),
        f"{family}.export",
        job,
        timeout_s=timeout_s,
        on_progress=on_progress,
    )
