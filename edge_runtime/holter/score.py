"""Score a detector or a model on records with reference annotations, by ANSI/AAMI EC57."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import build, config
from edge_runtime.config import ModelConfig
from edge_runtime.ecg.ec57 import LEARN_S, BeatTable, Mark, Period
from edge_runtime.ecg.ec57_pairs import compare
from edge_runtime.ecg.ec57_runs import SUPRAVENTRICULAR, VENTRICULAR, RunTable, compare_runs
from edge_runtime.errors import EdgeRunError, ModelLoadError
from edge_runtime.sources.records.wfdb_annotations import read_annotations
from edge_runtime.sources.records.wfdb_format import read_header

from .detect import CHUNK_S, Detection, by_detector, by_model, detect, model_lead


@dataclass(frozen=True, slots=True)
class Plan:
    """How every record is scored.

    `model` and `steps` name what finds the beats; without them it is the detector. With
    `existing`, nothing is run: the beats are those of the annotation files of that name.
    """

    annotator: str = "atr"
    existing: str = ""
    model: ModelConfig | None = None
    steps: Path | None = None
    lead: str = ""
    chunk_s: float = CHUNK_S
    start_s: float = LEARN_S


@dataclass(frozen=True, slots=True)
class RecordScore:
    """One record: what was found, and how it compares with the reference."""

    path: Path
    lead: str
    found: tuple[Mark, ...]
    beats: BeatTable
    ventricular: RunTable
    supraventricular: RunTable


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that could not be scored."""

    path: Path
    reason: str


def subject(plan: Plan) -> str:
    """What is scored, in words; a model is opened to see that it can be.

    Raises ConfigError for a model that is not one of beats; ModelLoadError, MissingExtraError.
    """
    if plan.existing:
        return f"annotations .{plan.existing}"
    if plan.model is None:
        return "QRS detector"
    with closing(build.model(plan.model)) as model:
        model_lead(model.manifest)
        model.open()
        info, backend = model.model_info, model.backend_info
        weights = info.sha256[:12]
        return f"{info.name} {info.version} ({weights}) on {backend.kind} {backend.delegate}"


def score(records: Sequence[Path], plan: Plan, jobs: int = 1) -> Iterator[RecordScore | Failure]:
    """Score records, in any order, in `jobs` processes. Raises ModelLoadError."""
    if jobs <= 1 or len(records) <= 1:
        yield from (score_record(path, plan) for path in records)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(records)), mp_context=context) as pool:
        for done in as_completed([pool.submit(score_record, path, plan) for path in records]):
            yield done.result()


def score_record(path: Path, plan: Plan) -> RecordScore | Failure:
    """Find the beats of one record and compare them. Raises ModelLoadError."""
    try:
        header = read_header(path)
        reference = read_marks(path, plan.annotator)
        found = _find(path, plan)
    except ModelLoadError:
        raise
    except EdgeRunError as exc:
        return Failure(path, str(exc))
    period = Period.of(header.rate_hz, header.frames, plan.start_s)
    return RecordScore(
        path,
        found.lead,
        found.marks,
        compare(reference, found.marks, period),
        compare_runs(reference, found.marks, period, VENTRICULAR),
        compare_runs(reference, found.marks, period, SUPRAVENTRICULAR),
    )


def read_marks(path: Path, annotator: str) -> tuple[Mark, ...]:
    """The marks of a record's annotation file. Raises ConfigError."""
    read = read_annotations(path.with_name(f"{path.name}.{annotator}"))
    subtypes = (int(subtype) for subtype in read.subtypes)
    return tuple(map(Mark, read.samples.tolist(), read.symbols, subtypes, read.aux))


def gross(scores: Iterable[RecordScore]) -> tuple[BeatTable, RunTable, RunTable]:
    """The sums over records: beats, ventricular runs, supraventricular runs."""
    beats, ventricular, supraventricular = BeatTable(), RunTable(), RunTable()
    for one in scores:
        beats += one.beats
        ventricular += one.ventricular
        supraventricular += one.supraventricular
    return beats, ventricular, supraventricular


def _find(path: Path, plan: Plan) -> Detection:
    if plan.existing:
        return Detection("", read_marks(path, plan.existing))
    if plan.model is None:
        return detect(path, by_detector, plan.lead, plan.chunk_s)
    steps = build.steps(config.load(plan.steps)) if plan.steps else ()
    with closing(build.model(plan.model)) as model:
        model.open()
        lead = plan.lead or model_lead(model.manifest)
        return detect(path, by_model(model, steps), lead, plan.chunk_s)
