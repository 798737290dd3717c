"""A model on this device: manifest + backend + postprocess, Frame -> Result."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .binding import constant, fixed, matched, output
from .errors import ConfigError, EdgeRunError, MissingExtraError, ModelLoadError
from .frame import Array, BackendInfo, Frame, Latency, ModelInfo, Result
from .interfaces import Backend, Postprocess, Prepare, TensorSpec
from .manifest import InputEntry, Manifest, verified_digest
from .outcome import CannotSay, Outcome
from .update_state import UpdateState

log = logging.getLogger(__name__)

PrepareFactory = Callable[[InputEntry, TensorSpec], Prepare]
PostprocessFactory = Callable[[Manifest, tuple[TensorSpec, ...]], Postprocess]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rung of the ladder: a weights file and the backend that would run it, not open."""

    delegate: str
    path: Path
    sha256: str  # what the manifest states; "" is not checked
    backend: Backend


class Model:
    """Runs frames through the first candidate that opens and reproduces the golden vectors.

    Falling to a later candidate is logged, and carried by `backend.degraded` on every result.
    With `required` only the first will do.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        candidates: Sequence[Candidate],
        prepare: PrepareFactory,
        postprocess: PostprocessFactory,
        required: bool = False,
    ) -> None:
        self.manifest = manifest
        self._candidates = tuple(candidates[:1] if required else candidates)
        self._make_prepare = prepare
        self._make_postprocess = postprocess
        self._run_id = uuid.uuid4().hex
        self._count = 0
        self._backend: Backend | None = None
        self.watch: Callable[[Sequence[Array]], None] | None = None  # sees every raw output

    def open(self) -> None:
        """Load, replay the golden vectors, warm up.

        Raises:
            ModelLoadError: no candidate can run; the message has each one's reason.
            MissingExtraError: the only candidate's runtime is not installed.
            ConfigError: the manifest does not describe the file.
        """
        failures: list[str] = []
        for candidate in self._candidates:
            try:
                self._open(candidate, "; ".join(failures))
            except (ModelLoadError, MissingExtraError) as exc:
                failures.append(f"{candidate.delegate}: {exc}")
                if candidate is self._candidates[-1]:
                    self._give_up(exc, failures)
                log.warning("falling back from delegate %s: %s", candidate.delegate, exc)
            else:
                return

    def _give_up(self, last: EdgeRunError, failures: list[str]) -> None:
        if len(failures) == 1:
            raise last
        raise ModelLoadError("no listed delegate can run the model: " + "; ".join(failures))

    def _open(self, candidate: Candidate, degraded: str) -> None:
        sha256 = verified_digest(candidate.path, candidate.sha256)
        backend = candidate.backend
        with ExitStack() as unless_it_works:
            unless_it_works.callback(backend.close)
            backend.open()
            self._bind(backend)
            if rules := self.manifest.golden:
                from . import golden

                path = self.manifest.directory / rules.file
                golden.check(backend, path, rules.tolerance, rules.agreement)
            else:
                backend.run(self._blank(backend))  # warm-up: the first run allocates
                backend.reset()
            unless_it_works.pop_all()
        self._backend = backend
        self.labels = _reported(self.manifest)
        self.heads = {head.name: head.labels for head in self.manifest.head}
        self.model_info = ModelInfo(self.manifest.name, self.manifest.version, sha256)
        self.backend_info = BackendInfo(backend.kind, backend.delegate, degraded)

    def _bind(self, backend: Backend) -> None:
        """Match each tensor of the file with its entry in the manifest."""
        self._prepares: list[tuple[int, Prepare]] = []
        self._tensors: list[Any] = [None] * len(backend.inputs)
        self._feeds: list[tuple[int, int]] = []  # (input, output that is fed back into it)
        self._states: dict[str, list[Array]] = {}
        self._next_seq: dict[str, int] = {}
        entries = matched(self.manifest, backend.inputs)
        for position, (entry, spec) in enumerate(zip(entries, backend.inputs, strict=True)):
            if entry.dtype and entry.dtype != spec.dtype:
                raise ConfigError(
                    f"{self.manifest.name}: input '{spec.name}' is {spec.dtype} in the file, "
                    f"{entry.dtype} in the manifest"
                )
            if entry.kind == "constant":
                self._tensors[position] = constant(entry, spec)
            elif entry.kind == "state":
                self._feeds.append((position, output(backend, entry.state, self.manifest)))
                self._tensors[position] = np.zeros(fixed(entry, spec), spec.dtype)
            else:
                self._prepares.append((position, self._make_prepare(entry, spec)))
        self._postprocess = self._make_postprocess(self.manifest, backend.outputs)
        self._initial = [self._tensors[position] for position, _ in self._feeds]

    def _blank(self, backend: Backend) -> list[Array]:
        entries = matched(self.manifest, backend.inputs)
        return [
            tensor if tensor is not None else np.zeros(fixed(entry, spec), spec.dtype)
            for tensor, entry, spec in zip(self._tensors, entries, backend.inputs, strict=True)
        ]

    def __call__(self, frame: Frame) -> Result:
        """Infer one frame; a frame whose quality is bad gets `cannot-say` and no inference.

        Raises FrameError when the frame or the outputs cannot be used.
        """
        backend = self._backend
        if backend is None:
            raise RuntimeError("the model is not open")
        if frame.quality is not None and frame.quality.state == "bad":
            return self.tell(CannotSay("quality", ", ".join(frame.quality.reasons)), frame)
        started = time.monotonic_ns()
        tensors, placement = self._tensors, None
        for position, prepare in self._prepares:
            tensors[position], found = prepare(frame)
            placement = found or placement
        self._restore_state(frame)
        prepared = time.monotonic_ns()
        outputs = backend.run(tensors)
        inferred = time.monotonic_ns()
        if watch := self.watch:  # another thread may take it away
            watch(outputs)
        self._keep_state(frame, outputs)
        outcome = self._postprocess(outputs, frame, placement)
        ended = time.monotonic_ns()
        latency = Latency(
            (ended - frame.monotonic_ns) / 1e6,
            (prepared - started) / 1e6,
            (inferred - prepared) / 1e6,
            (ended - inferred) / 1e6,
        )
        return self._result(outcome, frame, latency)

    def tell(self, outcome: Outcome, frame: Frame) -> Result:
        """A result that needed no inference, said at `frame`."""
        age_ms = (time.monotonic_ns() - frame.monotonic_ns) / 1e6
        return self._result(outcome, frame, Latency(age_ms, 0.0, 0.0, 0.0))

    def _result(self, outcome: Outcome, frame: Frame, latency: Latency) -> Result:
        self._count += 1
        return Result(
            id=f"{self._run_id}-{self._count}",
            source=frame.source,
            seq=frame.seq,
            timestamp_ns=frame.timestamp_ns,
            monotonic_ns=frame.monotonic_ns,
            model=self.model_info,
            backend=self.backend_info,
            latency_ms=latency,
            outcome=outcome,
            state=frame.state,
            quality=frame.quality,
        )

    def _restore_state(self, frame: Frame) -> None:
        """Feed this source's state back; start from zero at its first frame and at a gap."""
        fresh = frame.seq != self._next_seq.get(frame.source)
        if fresh or not self.manifest.stateful:
            self._backend.reset()  # type: ignore[union-attr]
        if self._feeds:
            states = self._initial if fresh else self._states[frame.source]
            for (position, _), state in zip(self._feeds, states, strict=True):
                self._tensors[position] = state

    def _keep_state(self, frame: Frame, outputs: Sequence[Array]) -> None:
        """After a run that worked; one that did not is a gap."""
        self._next_seq[frame.source] = frame.seq + 1
        if self._feeds:
            self._states[frame.source] = [outputs[output] for _, output in self._feeds]

    def forget(self) -> None:
        """Start every source's state from zero."""
        self._next_seq.clear()
        self._states.clear()

    def turn(self) -> UpdateState | None:
        """Between two frames: what is to change changes now. A model alone never changes."""
        return None

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
            self._backend = None


def _reported(manifest: Manifest) -> tuple[str, ...]:
    """Every label that a result may bear; classes without a name are not among them."""
    rules = manifest.postprocess
    names = manifest.groups() or manifest.labels()[1 if rules.background else 0 :]
    if manifest.head:
        names = tuple(label for head in manifest.head for label in head.labels)
    return tuple(dict.fromkeys(name for name in (*names, rules.unsure) if name))
