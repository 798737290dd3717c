"""Read data of any kind as cases for a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_runtime.errors import ConfigError
from edge_runtime.frame import Array, Placement
from edge_runtime.manifest import Manifest
from edge_runtime.sources.cameras.images import SUFFIXES

from . import heads
from .arrays import from_generator, from_npz
from .cases import Cases, Sample
from .choose import choose
from .classes import Classes
from .intake import Intake
from .pictures import ANNOTATIONS, Pictures
from .records import LIST, Records
from .steps import Chain

Progress = Callable[[int, int, str], None]

_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_KINDS = (
    "an .npz file, a folder of pictures (CLASS/file.jpg), WFDB records (a folder, a list, one "
    "record) or a generator (module:callable)"
)


def read(
    spec: str,
    manifest: Manifest,
    *,
    limit: int | None = None,
    seed: int = 0,
    steps: Path | None = None,
    balanced: bool = False,
    least: int = 1,
    on_progress: Progress | None = None,
) -> Cases:
    """Read the cases that `spec` names, prepared as the device prepares frames.

    Raises ConfigError when there is nothing, too little, or something that is not right: a picture
    that does not decode, a class that the model lacks, a NaN, a wrong shape.

    Args:
        spec: an .npz file, a folder of pictures, WFDB records or `module:callable`.
        manifest: what the inputs want; their shapes must be in it.
        limit: take so many, chosen by `seed`; None for all.
        seed: of the choice.
        steps: a run file whose [[step]]s stand before the model.
        balanced: take equally many of each class, as calibration wants it; by chance where a case
            has no class (objects, several heads).
        least: fewer cases are refused.
        on_progress: told (done, total, what); total is 0 while it is not known.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"{spec}: {limit} cases are none: give 1 or more")
    left_out: dict[str, int] = {}
    samples = _samples(spec, manifest, steps, left_out)
    counted = _counted(samples, on_progress)
    chosen, total = choose(counted, limit, seed, balanced=balanced)
    if len(chosen) < max(least, 1):
        there = "holds no case" if not chosen else f"gives {len(chosen)} cases"
        wanted = f": {least} are needed" if least > 1 else ""
        why = "".join(f"; {count} {what}" for what, count in left_out.items() if count)
        raise ConfigError(f"{spec}: {there}{wanted}{why}")
    inputs, placements = _gather(chosen, on_progress)
    objects = [sample.objects for sample in chosen if sample.objects is not None]
    groups = tuple(sample.group for sample in chosen)
    return Cases(
        spec=spec,
        inputs=inputs,
        names=tuple(sample.name for sample in chosen),
        labels=None if manifest.head else _labels(spec, chosen),
        objects=tuple(objects) if objects else None,
        heads=heads.gather(chosen, manifest.head),
        placements=placements,
        groups=groups if any(groups) else (),
        label_names=manifest.labels(),
        total=total,
        seed=seed,
        balanced=balanced and any(sample.label is not None for sample in chosen),
        left_out={what: count for what, count in left_out.items() if count},
    )


def _samples(
    spec: str, manifest: Manifest, steps: Path | None, left_out: dict[str, int]
) -> Iterator[Sample]:
    """The samples of the kind that `spec` is; `left_out` is filled once they are through."""
    intake, classes, chain = Intake(manifest), Classes(manifest), Chain.of(steps)
    path = Path(spec)
    if not path.exists() and _CALLABLE.fullmatch(spec):
        yield from from_generator(spec, intake, classes)
    elif path.is_file() and path.suffix == ".npz":
        yield from from_npz(path, intake, classes)
    elif are_records(path):
        _wants(manifest, "signal", spec, "WFDB records")
        records = Records(path, manifest, intake, classes, chain)
        yield from records.samples()
        left_out.update(records.left_out)
    elif path.is_dir():
        _wants(manifest, "image", spec, "pictures")
        yield from Pictures(path, intake, classes, chain).samples()
    else:
        what = "is none of those" if path.exists() else "there is no such file"
        raise ConfigError(f"{spec}: {what}; data are {_KINDS}")


def are_records(path: Path) -> bool:
    """Whether data there are WFDB records: a folder, a list, or one."""
    if path.is_dir():
        pictures = (path / ANNOTATIONS).exists() or any(
            file.suffix.lower() in SUFFIXES for file in path.iterdir()
        )
        return not pictures and ((path / LIST).exists() or any(path.rglob("*.hea")))
    listed = path.name == LIST or path.suffix == ".txt"
    single = path.suffix == ".hea" or path.with_name(f"{path.name}.hea").exists()
    return (path.is_file() and listed) or single


def _wants(manifest: Manifest, kind: str, spec: str, what: str) -> None:
    if not any(entry.kind == kind for entry in manifest.input):
        raise ConfigError(f"{spec}: holds {what}, and {manifest.name} takes no {kind}")


def _counted(samples: Iterator[Sample], on_progress: Progress | None) -> Iterator[Sample]:
    for count, sample in enumerate(samples):
        if on_progress:
            on_progress(count, 0, "looking for cases")
        yield sample


def _gather(
    chosen: Sequence[Sample], on_progress: Progress | None
) -> tuple[Mapping[str, Array], tuple[Placement | None, ...]]:
    """Prepare what was chosen. Raises ConfigError for a NaN."""
    inputs: dict[str, Array] = {}
    placements = []
    for row, sample in enumerate(chosen):
        arrays, placement = sample.load()
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ConfigError(f"case {sample.name}: input '{name}' holds a NaN or infinity")
            if name not in inputs:
                inputs[name] = np.empty((len(chosen), *array.shape), np.float32)
            inputs[name][row] = array
        placements.append(placement)
        if on_progress:
            on_progress(row + 1, len(chosen), "preparing cases")
    return inputs, tuple(placements)


def _labels(spec: str, chosen: Sequence[Sample]) -> Array | None:
    labels = [sample.label for sample in chosen if sample.label is not None]
    if labels and len(labels) < len(chosen):
        without = next(sample.name for sample in chosen if sample.label is None)
        raise ConfigError(f"{spec}: case {without} has no label, and others have")
    return np.array(labels, np.int64) if labels else None
