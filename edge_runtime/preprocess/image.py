"""A camera frame as an input tensor, in one go over as few pixels as there can be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Array, Frame, Placement
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import InputEntry
from edge_runtime.opencv import opencv

from .quantise import blank, input_spec, quantise

Pass = Callable[[], object]  # works from one kept buffer into another

_SIGN_BIT = np.uint8(0x80)
_IDENTITY = np.arange(256, dtype=np.uint8)
# OpenCV's table look-up moves bits; a table of any type is shown to it as one of the same width.
_AS_CV: dict[int, type[np.integer[Any]]] = {1: np.uint8, 2: np.uint16, 4: np.int32}


class ImageInput:
    """Writes a BGR frame into an input tensor: resize, colour, (pixel - mean) / std, quantise.

    The frame is resized first (bilinear), so that all that follows touches input pixels only;
    swapping channels before or after it gives the same bytes. What a pixel becomes is read from
    a table of 256 entries, worked out once by the plain arithmetic: the tensor is that of the
    plain arithmetic bit for bit, whatever its type. Two tables need no reading: the identity,
    and the flip of the top bit (uint8 to int8). `mean` and `std` are in the order of the
    tensor's channels. A letterbox is centred, with a border of the pixel value `pad`; a crop is
    the largest centred part of the frame with the input's proportions.

    Raises ConfigError when manifest and file contradict each other, MissingExtraError.
    """

    def __init__(self, entry: InputEntry, spec: TensorSpec) -> None:
        whole = input_spec(entry, spec)
        self._height, self._width, channels = _image_shape(entry, whole)
        self._cv2 = opencv("an image input")
        self._resize, self._pad = entry.resize, entry.pad
        self._tensor = blank(whole)
        tables = _tables(entry, whole, channels)
        # A view for every kind of number: OpenCV must not see int8 or float16.
        stored = self._tensor.view(_AS_CV[tables[0].itemsize])[0]
        kept, flipped = _is(tables, _IDENTITY), _is(tables, _IDENTITY ^ _SIGN_BIT)
        pixels = stored if kept or flipped else np.zeros(stored.shape, np.uint8)
        done = entry.colour == "bgr" and entry.layout == "NHWC" and not flipped
        canvas = pixels if done else np.zeros((self._height, self._width, 3), np.uint8)
        self._passes: list[Pass] = []
        if not done:
            self._passes.append(_colour(self._cv2, entry, canvas, pixels))
        if flipped:
            self._passes.append(partial(np.bitwise_xor, stored, _SIGN_BIT, out=stored))
        elif not kept:
            self._passes += _look_up(self._cv2, pixels, stored, tables, entry.layout)
        self._canvas = canvas  # the resized frame, and the border around it
        self._source_shape: tuple[int, ...] = ()

    def __call__(self, frame: Frame) -> tuple[Array, Placement]:
        """Raises FrameError when the frame is no BGR image."""
        image = frame.data
        if image.shape != self._source_shape or image.dtype != np.uint8:
            self._place(frame)
        try:
            self._cv2.resize(image[self._part], self._size, dst=self._target)
            for work in self._passes:
                work()
        except self._cv2.error as exc:
            raise FrameError(f"{frame.source}: image {image.shape}: {exc.err}") from exc
        return self._tensor, self._placement

    def _place(self, frame: Frame) -> None:
        """Work out, for a new frame size, which part of the frame goes where in the input."""
        _check_image(frame)
        height, width, _ = shape = frame.data.shape
        across, down = self._width, self._height
        part_width, part_height = width, height
        if self._resize == "crop":
            part_width = max(1, min(width, round(height * across / down)))
            part_height = max(1, min(height, round(width * down / across)))
        if self._resize == "letterbox":
            scale = min(across / width, down / height)
            across, down = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (width - part_width) // 2, (height - part_height) // 2
        x, y = (self._width - across) // 2, (self._height - down) // 2
        scale_x, scale_y = across / part_width, down / part_height
        self._part = (slice(top, top + part_height), slice(left, left + part_width))
        self._size = (across, down)
        self._canvas[...] = self._pad
        self._target = self._canvas[y : y + down, x : x + across]
        self._placement = Placement(
            scale_x=scale_x,
            scale_y=scale_y,
            offset_x=x - left * scale_x,
            offset_y=y - top * scale_y,
            source_width=width,
            source_height=height,
            input_width=self._width,
            input_height=self._height,
        )
        self._source_shape = shape


def _check_image(frame: Frame) -> None:
    shape, kind = frame.data.shape, frame.data.dtype
    if len(shape) != 3 or shape[2] != 3 or kind != np.uint8 or 0 in shape:
        raise FrameError(
            f"{frame.source}: frame is {shape} {kind}; an image is (height, width, 3) uint8"
        )


def _image_shape(entry: InputEntry, spec: TensorSpec) -> tuple[int, int, int]:
    """Height, width and channels. Raises ConfigError when they are not those of an image."""
    where, wanted = f"input '{entry.name}'", 1 if entry.colour == "grey" else 3
    sizes = [size or 0 for size in spec.shape]
    if len(sizes) != 4 or min(sizes) < 1:
        raise ConfigError(f"{where}: shape: {sizes} is not {entry.layout}")
    height, width, channels = sizes[1:] if entry.layout == "NHWC" else (*sizes[2:], sizes[1])
    if channels != wanted:
        raise ConfigError(
            f"{where}: colour: '{entry.colour}' has {wanted} channels, shape {sizes} as "
            f"{entry.layout} has {channels}"
        )
    if not 0 <= entry.pad <= 255:
        raise ConfigError(f"{where}: pad: {entry.pad} is no pixel value, they are 0 to 255")
    for key in ("mean", "std"):
        if len(getattr(entry, key)) not in (1, channels):
            raise ConfigError(f"{where}: {key}: give one number, or one for each channel")
    if np.dtype(spec.dtype).kind not in "iuf" or np.dtype(spec.dtype).itemsize not in _AS_CV:
        raise ConfigError(f"{where}: kind: a tensor of {spec.dtype} cannot hold an image")
    return height, width, channels


def _tables(entry: InputEntry, spec: TensorSpec, channels: int) -> list[Array]:
    """What each pixel value becomes, per channel; one table when all channels have the same."""
    tables = []
    for channel in range(channels):
        mean = np.float32(entry.mean[channel if len(entry.mean) > 1 else 0])
        std = np.float32(entry.std[channel if len(entry.std) > 1 else 0])
        tables.append(quantise((_IDENTITY.astype(np.float32) - mean) / std, spec))
    same = all(np.array_equal(table, tables[0]) for table in tables)
    return tables[:1] if same else tables


def _is(tables: list[Array], wanted: Array) -> bool:
    first = tables[0]
    one_byte = len(tables) == 1 and first.itemsize == 1
    return one_byte and np.array_equal(first.view(np.uint8), wanted)


def _colour(cv2: Any, entry: InputEntry, canvas: Array, pixels: Array) -> Pass:
    """The pass from the BGR canvas to the tensor's colours and layout."""
    if entry.colour == "grey":
        plane = pixels.reshape(canvas.shape[:2])
        return partial(cv2.cvtColor, canvas, cv2.COLOR_BGR2GRAY, dst=plane)
    if entry.layout == "NCHW":
        planes = list(pixels if entry.colour == "bgr" else pixels[::-1])
        return partial(cv2.split, canvas, planes)
    if entry.colour == "bgr":
        return partial(np.copyto, pixels, canvas)
    return partial(cv2.cvtColor, canvas, cv2.COLOR_BGR2RGB, dst=pixels)


def _look_up(
    cv2: Any, pixels: Array, stored: Array, tables: list[Array], layout: str
) -> list[Pass]:
    """The passes that turn pixel values into stored values."""
    kind = stored.dtype
    if len(tables) == 1:
        rows = len(pixels)
        flat, target = pixels.reshape(rows, -1), stored.reshape(rows, -1)
        return [partial(cv2.LUT, flat, tables[0].view(kind), dst=target)]
    if layout == "NCHW":
        planes = zip(pixels, stored, tables, strict=True)
        return [
            partial(cv2.LUT, plane, table.view(kind), dst=target) for plane, target, table in planes
        ]
    table = np.stack(tables, axis=-1).view(kind)[None]  # (1, 256, channels)
    return [partial(cv2.LUT, pixels, table, dst=stored)]
