"""The image input: bit for bit the plain arithmetic, in kept buffers, with a true placement."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.manifest import InputEntry
from edge_runtime.preprocess.image import ImageInput

SIGNED = Quantisation((1 / 255,), (-128,))


def frame_of(image, seq=0):
    return Frame(image, 1, 1, seq, "camera")


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def entry_of(**changes):
    facts = {
        "name": "0",
        "kind": "image",
        "layout": "NHWC",
        "colour": "rgb",
        "resize": "stretch",
        "mean": (0.0,),
        "std": (255.0,),
    }
    return InputEntry(**{**facts, **changes})


def plain(image, size, *, colour, mean, std, dtype, quantisation=None, layout="NHWC"):
    """What a hand-written loop does: colour of the whole frame, resize, float, quantise."""
    if colour == "rgb":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if colour == "grey":
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None]
    real = (image.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)
    if np.issubdtype(dtype, np.integer):
        scale, zero = (1.0, 0) if quantisation is None else quantisation
        limits = np.iinfo(dtype)
        real = np.clip(np.rint(real / np.float32(scale)) + zero, limits.min, limits.max)
    tensor = real.astype(dtype)
    return (tensor if layout == "NHWC" else tensor.transpose(2, 0, 1))[None]


QUANTISED = {
    "uint8": [None, (1 / 128, 128), (1 / 255, 0), (0.02, 100)],
    "int8": [(1 / 255, -128), (1.0, -128), (0.0187, -14), (0.5, 127)],
    "int16": [(1 / 32768, 0)],
    "float32": [None],
    "float16": [None],
}


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_the_tensor_is_that_of_the_plain_arithmetic_bit_for_bit(data):
    dtype = data.draw(st.sampled_from(sorted(QUANTISED)))
    pair = data.draw(st.sampled_from(QUANTISED[dtype]))
    colour = data.draw(st.sampled_from(["rgb", "bgr", "grey"]))
    layout = data.draw(st.sampled_from(["NHWC", "NCHW"]))
    channels = 1 if colour == "grey" else 3
    count = data.draw(st.sampled_from([1, channels]))
    mean = tuple(
        data.draw(st.sampled_from([0.0, 127.5, 128.0, 123.675, -128.0])) for _ in range(count)
    )
    std = tuple(
        data.draw(st.sampled_from([1.0, 255.0, 127.5, 128.0, 58.395])) for _ in range(count)
    )
    height, width = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    down, across = data.draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    image = noise(height, width, data.draw(st.integers(0, 9)))
    shape = (1, down, across, channels) if layout == "NHWC" else (1, channels, down, across)
    quantisation = Quantisation((pair[0],), (pair[1],)) if pair else None
    prepare = ImageInput(
        entry_of(colour=colour, layout=layout, mean=mean, std=std),
        TensorSpec("x", shape, dtype, quantisation),
    )

    for _ in range(2):  # the second frame finds the buffers of the first
        tensor, _ = prepare(frame_of(image))

    expected = plain(
        image,
        (across, down),
        colour=colour,
        mean=mean,
        std=std,
        dtype=np.dtype(dtype),
        quantisation=pair,
        layout=layout,
    )
    assert tensor.dtype == expected.dtype
    assert np.array_equal(tensor, expected)


@pytest.mark.parametrize(
    ("dtype", "quantisation", "mean", "std"),
    [
        ("uint8", Quantisation((1 / 128,), (128,)), 128.0, 128.0),  # a copy
        ("int8", SIGNED, 0.0, 255.0),  # the flip of the top bit
        ("float32", None, 127.5, 127.5),  # a table
    ],
)
def test_a_frame_costs_no_memory_once_the_first_has_passed(dtype, quantisation, mean, std):
    spec = TensorSpec("x", (1, 224, 224, 3), dtype, quantisation)
    prepare = ImageInput(entry_of(mean=(mean,), std=(std,), resize="letterbox"), spec)
    frame = frame_of(noise(480, 640))
    kept, _ = prepare(frame)

    tracemalloc.start()
    try:
        for _ in range(3):
            prepare(frame)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        tensor, _ = prepare(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert tensor is kept
    assert peak - before < 4096  # views only; one channel of the tensor alone is 50,176 bytes


def test_a_letterbox_is_centred_keeps_proportions_and_maps_back():
    prepare = ImageInput(
        entry_of(resize="letterbox", pad=7, std=(1.0,)), TensorSpec("x", (1, 64, 64, 3), "uint8")
    )
    image = np.full((100, 200, 3), 200, np.uint8)

    tensor, placement = prepare(frame_of(image))

    assert (tensor[0, :16] == 7).all()
    assert (tensor[0, 16:48] == 200).all()
    assert (tensor[0, 48:] == 7).all()
    assert placement.to_source(32.0, 32.0) == (100.0, 50.0)
    assert placement.to_source(0.0, 16.0) == (0.0, 0.0)
    assert placement.to_source(64.0, 48.0) == (200.0, 100.0)


def test_the_border_is_clean_after_the_frame_size_changes():
    prepare = ImageInput(
        entry_of(resize="letterbox", std=(255.0,)), TensorSpec("x", (1, 32, 32, 3), "int8", SIGNED)
    )
    prepare(frame_of(np.full((20, 80, 3), 255, np.uint8)))

    tensor, _ = prepare(frame_of(np.full((80, 20, 3), 255, np.uint8)))

    assert (tensor[0, :, :12] == -128).all()
    assert (tensor[0, :, 12:20] == 127).all()
    assert (tensor[0, :, 20:] == -128).all()


def test_a_crop_takes_the_middle_and_maps_back():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, 100:200] = 255
    prepare = ImageInput(
        entry_of(resize="crop", std=(1.0,)), TensorSpec("x", (1, 50, 50, 3), "uint8")
    )

    tensor, placement = prepare(frame_of(image))

    assert (tensor == 255).all()
    assert placement.to_source(0.0, 0.0) == (100.0, 0.0)
    assert placement.to_source(50.0, 50.0) == (200.0, 100.0)


def test_a_frame_that_is_a_view_turned_round_or_read_only_gives_the_same_tensor():
    spec = TensorSpec("x", (1, 24, 24, 3), "int8", SIGNED)
    image = noise(60, 80)
    locked = image.copy()
    locked.flags.writeable = False
    expected = ImageInput(entry_of(), spec)(frame_of(image))[0]

    for same in (image[::-1, ::-1].copy()[::-1, ::-1], np.asfortranarray(image), locked):
        assert np.array_equal(ImageInput(entry_of(), spec)(frame_of(same))[0], expected)


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((8, 3), np.float32),
    ],
)
def test_a_frame_that_is_no_bgr_image_is_a_bad_frame(data):
    prepare = ImageInput(entry_of(), TensorSpec("x", (1, 4, 4, 3), "float32"))
    prepare(frame_of(np.zeros((4, 4, 3), np.uint8)))

    with pytest.raises(FrameError, match=r"camera: frame is .* uint8"):
        prepare(frame_of(data))


@pytest.mark.parametrize(
    ("changes", "shape", "said"),
    [
        ({}, (1, None, None, 3), "shape: is missing"),
        ({"shape": (1, 9, 9, 3)}, (1, 8, 8, 3), "shape: .* is not the file's"),
        ({"shape": (2, 8, 8, 3)}, (None, 8, 8, 3), "a batch of 2"),
        ({"layout": "NCHW"}, (1, 8, 8, 3), "colour: 'rgb' has 3 channels"),
        ({"colour": "grey"}, (1, 8, 8, 3), "colour: 'grey' has 1 channels"),
        ({"mean": (1.0, 2.0)}, (1, 8, 8, 3), "mean: give one number"),
        ({"pad": 256}, (1, 8, 8, 3), "pad: 256"),
        ({}, (1, 8, 8), "shape"),
    ],
)
def test_a_manifest_that_does_not_fit_the_file_is_refused_by_key(changes, shape, said):
    with pytest.raises(ConfigError, match=said):
        ImageInput(entry_of(**changes), TensorSpec("x", shape, "float32"))


def test_open_dimensions_are_those_of_the_manifest():
    entry = entry_of(layout="NCHW", shape=(1, 3, 48, 96))

    tensor, _ = ImageInput(entry, TensorSpec("x", (None, 3, None, None), "float32"))(
        frame_of(noise(50, 50))
    )

    assert tensor.shape == (1, 3, 48, 96)
