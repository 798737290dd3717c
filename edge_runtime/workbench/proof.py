"""Prove one candidate of a model here: digest, loading, manifest, golden vectors, one run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_runtime import build, golden
from edge_runtime.errors import (
    DelegateError,
    EdgeRunError,
    MissingExtraError,
    ModelLoadError,
)
from edge_runtime.golden import GoldenReport
from edge_runtime.interfaces import Backend
from edge_runtime.manifest import Manifest
from edge_runtime.model import Candidate, Model


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of a candidate.

    `failure` is empty when it works. `absent` says that the failure is this machine's: the
    delegate or its package is not here. `report` is None without golden vectors.
    """

    delegate: str
    file: str
    failure: str = ""
    absent: bool = False
    exit_code: int = 0
    report: GoldenReport | None = None
    runtime: str = ""


def prove(manifest: Manifest, candidate: Candidate) -> Proof:
    """Open a candidate as a pipeline would, replay the golden vectors, close it."""
    proof, backend = Proof(candidate.delegate, candidate.path.name), candidate.backend
    model = Model(
        manifest=replace(manifest, golden=None),
        candidates=[candidate],
        prepare=build.prepare,
        postprocess=build.postprocess,
    )
    try:
        model.open()
        proof = replace(proof, runtime=str(getattr(backend, "runtime", "")))
        return _judged(proof, manifest, _replay(manifest, backend))
    except (DelegateError, MissingExtraError) as exc:
        return replace(proof, failure=str(exc), absent=True, exit_code=exc.exit_code)
    except EdgeRunError as exc:
        return replace(proof, failure=str(exc), exit_code=exc.exit_code)
    finally:
        model.close()


def _replay(manifest: Manifest, backend: Backend) -> GoldenReport | None:
    if manifest.golden is None:
        return None
    return golden.replay(backend, manifest.directory / manifest.golden.file)


def _judged(proof: Proof, manifest: Manifest, report: GoldenReport | None) -> Proof:
    proof, rules = replace(proof, report=report), manifest.golden
    if rules is None or report is None:
        return proof
    failure = report.failure(rules.tolerance, rules.agreement)
    return replace(proof, failure=failure, exit_code=ModelLoadError.exit_code if failure else 0)
