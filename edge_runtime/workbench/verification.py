"""What `models verify` finds: does a model directory still do what its manifest says, here?"""

from __future__ import annotations

from collections.abc import Iterator

from edge_runtime import registry
from edge_runtime.backends import DELEGATES
from edge_runtime.errors import EdgeRunError, ModelLoadError
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import FileEntry, Manifest, verified_digest
from edge_runtime.model import Candidate

from .bench import NEED_A_LIBRARY
from .findings import Finding, fail, note, ok
from .proof import Proof, prove

LABELLED = frozenset({"classification", "beats"})  # one label for each score


def verify(manifest: Manifest) -> Iterator[Finding]:
    """Every weights file on every delegate of its format, one finding each."""
    for entry in manifest.file:
        yield from _file(manifest, entry)


def _file(manifest: Manifest, entry: FileEntry) -> Iterator[Finding]:
    path, part = manifest.path(entry), f"{entry.format} {entry.precision}"
    try:
        digest = verified_digest(path, entry.sha256)
    except ModelLoadError as exc:
        yield fail(part, exc)
        return
    if entry.sha256:
        yield ok(part, f"{entry.path}: sha256 is that of the manifest, {digest[:12]}...")
    else:
        yield note(part, f"{entry.path}: the manifest states no sha256", f'add sha256 = "{digest}"')
    delegates = [name for name in DELEGATES[entry.format] if name not in NEED_A_LIBRARY]
    proofs = [prove(manifest, _candidate(manifest, entry, name)) for name in delegates]
    for proof in proofs:
        yield _finding(entry, proof)
    if all(proof.absent for proof in proofs):
        text = "runs on no delegate of this machine"
        yield fail(part, text, "see the lines above", ModelLoadError.exit_code)
    if any(not proof.failure for proof in proofs):
        yield from _labels(manifest, entry)


def _candidate(manifest: Manifest, entry: FileEntry, delegate: str) -> Candidate:
    path = manifest.path(entry)
    backend = registry.find("backend", entry.format)(
        path=path,
        delegate=delegate,
        threads=1,
        shapes={
            item.name: item.shape
            for item in manifest.input
            if item.shape and not item.name.isdigit()
        },
    )
    return Candidate(delegate, path, "", backend)


def _finding(entry: FileEntry, proof: Proof) -> Finding:
    part = f"{entry.format} {entry.precision} {proof.delegate}"
    if proof.absent:
        return Finding(part, "ok", f"not available: {proof.failure}")
    if proof.failure:
        return fail(part, proof.failure, exit_code=proof.exit_code)
    if proof.report is None:
        return note(part, f"loads with {proof.runtime}", "add golden vectors to prove its results")
    return ok(
        part,
        f"{proof.report.cases} golden cases with {proof.runtime}: largest error "
        f"{proof.report.max_error:.3g}, agreement {proof.report.agreement:.1%}",
    )


def _labels(manifest: Manifest, entry: FileEntry) -> Iterator[Finding]:
    """As many labels as scores; of heads that was proved when the file was opened."""
    if manifest.head:
        heads = ", ".join(f"{head.name} {len(head.labels)}" for head in manifest.head)
        yield ok("heads", f"a label for every score: {heads}")
        return
    try:
        labels = manifest.labels()
        outputs = _outputs(manifest, entry)
    except EdgeRunError as exc:
        yield fail("labels", exc)
        return
    size = _scores(manifest, outputs)
    if not labels or size is None or manifest.postprocess.kind not in LABELLED:
        return
    if len(labels) == size:
        yield ok("labels", f"{size} labels for {size} scores")
    else:
        text = f"{len(labels)} labels for {size} scores of {entry.path}"
        yield fail("labels", text, f"correct {manifest.postprocess.labels}", 3)


def _outputs(manifest: Manifest, entry: FileEntry) -> tuple[TensorSpec, ...]:
    backend = _candidate(manifest, entry, "cpu").backend
    try:
        backend.open()
        return backend.outputs
    finally:
        backend.close()


def _scores(manifest: Manifest, outputs: tuple[TensorSpec, ...]) -> int | None:
    """The number of classes that the scores output has room for; None when it is not said."""
    names = [entry.name for entry in manifest.output if entry.meaning == "scores"]
    for position, spec in enumerate(outputs):
        if {spec.name, str(position)} & set(names) and spec.shape:
            return spec.shape[-1]
    return None
