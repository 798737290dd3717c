"""A directory of pictures: class folders, plain files, or COCO-like annotations beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Frame
from edge_runtime.holter.detect import through
from edge_runtime.outcome import Box
from edge_runtime.sources.cameras.images import SUFFIXES, Images

from .cases import Prepared, Sample, Truth
from .classes import Classes
from .intake import Intake
from .steps import Chain

ANNOTATIONS = "labels.json"
_BEYOND = 0.1  # of a side: boxes may be a little inexact, not of another picture


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a folder, as samples.

    With `labels.json` the pictures that it lists, with its boxes (COCO: `bbox` is x, y, width,
    height in pixels); else those of the folders, each named after a class; else the plain files,
    without labels.
    """

    folder: Path
    intake: Intake
    classes: Classes
    chain: Chain

    def samples(self) -> Iterator[Sample]:
        """Raises ConfigError for a folder that is no class, or annotations that are damaged."""
        if (self.folder / ANNOTATIONS).is_file():
            yield from self._annotated(self.folder / ANNOTATIONS)
            return
        folders = sorted(
            one for one in self.folder.iterdir() if one.is_dir() and one.name[0] not in "._"
        )
        plain = _pictures(self.folder)
        if folders and plain:
            raise ConfigError(
                f"{plain[0]}: stands beside class folders: is it of a class, or of none?"
            )
        for folder in folders:
            label = self.classes.index(folder.name, str(folder))
            for file in _pictures(folder):
                yield self._sample(file, label=label)
        for file in plain:
            yield self._sample(file)

    def _sample(
        self, file: Path, label: int | None = None, objects: tuple[Truth, ...] | None = None
    ) -> Sample:
        name = file.relative_to(self.folder).as_posix()
        return Sample(name, partial(self._load, file, objects or ()), label, objects)

    def _load(self, file: Path, objects: tuple[Truth, ...]) -> Prepared:
        whole = picture(file)
        for truth in objects:
            _check_inside(truth.box, whole, file)
        for frame in through([whole], self.chain.fresh()):
            return self.intake.frame(frame, str(file))
        raise ConfigError(f"{file}: the steps make no frame of one picture")

    def _annotated(self, path: Path) -> Iterator[Sample]:
        if self.chain.run is not None:
            raise ConfigError(f"{path}: boxes do not follow what steps do to a picture: leave them")
        found = _read_json(path)
        try:
            classes = {one["id"]: str(one["name"]) for one in found["categories"]}
            objects: dict[Any, list[Truth]] = {one["id"]: [] for one in found["images"]}
            for row, one in enumerate(found["annotations"]):
                truth = self._truth(one, classes, f"{path}: annotation {row}")
                objects[one["image_id"]].append(truth)
            files = [(one["id"], self.folder / one["file_name"]) for one in found["images"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise ConfigError(
                f"{path}: is not annotated as COCO is: {type(exc).__name__} {exc}"
            ) from exc
        for key, file in files:
            yield self._sample(file, objects=tuple(objects[key]))

    def _truth(self, one: dict[str, Any], classes: dict[Any, str], where: str) -> Truth:
        left, top, width, height = (float(value) for value in one["bbox"])
        if not (width > 0 and height > 0):
            raise ConfigError(f"{where}: bbox {one['bbox']} is empty; it is x, y, width, height")
        index = self.classes.index(classes[one["category_id"]], where)
        return Truth(index, Box(left, top, left + width, top + height), bool(one.get("iscrowd")))


def picture(file: Path) -> Frame:
    """One picture, as the source `images` reads it. Raises ConfigError naming it."""
    source = Images(name="picture", path=str(file))
    source.open()
    try:
        frame = source.read(0.0)
    except FrameError as exc:
        raise ConfigError(str(exc).removeprefix("picture: ")) from exc
    finally:
        source.close()
    if frame is None:
        raise ConfigError(f"{file}: was not read")
    return frame


def _check_inside(box: Box, frame: Frame, file: Path) -> None:
    """Raises ConfigError when more than a tenth of a box's side lies beyond the picture."""
    height, width = frame.data.shape[:2]
    beyond_x = max(-box.x_min, box.x_max - width) / (box.x_max - box.x_min)
    beyond_y = max(-box.y_min, box.y_max - height) / (box.y_max - box.y_min)
    if max(beyond_x, beyond_y) > _BEYOND:
        x_min, y_min, x_max, y_max = (round(value) for value in box)
        raise ConfigError(
            f"{file}: an object is said to be at x {x_min} to {x_max}, y {y_min} to {y_max}, and "
            f"the picture is {width}x{height}: are the boxes of this picture, at this size?"
        )


def _pictures(folder: Path) -> Sequence[Path]:
    return sorted(one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
