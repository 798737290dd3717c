"""Quantisation: half to even, saturated, and back without wrapping around."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.preprocess.quantise import dequantise, quantise


def spec_of(dtype, scale=(0.5,), zero_point=(0,), axis=0):
    return TensorSpec("x", (1,), dtype, Quantisation(scale, zero_point, axis))


def test_halves_go_to_the_even_step_and_ends_saturate():
    real = np.array([0.25, 0.75, -0.25, -0.75, 1e9, -1e9], np.float32)

    assert quantise(real, spec_of("int8")).tolist() == [0, 2, 0, -2, 127, -128]
    assert quantise(real, spec_of("uint8", zero_point=(1,))).tolist() == [1, 3, 1, 0, 255, 0]


def test_a_number_without_axes_stays_an_array():
    stored = quantise(np.float32(16000), TensorSpec("sr", (), "int64"))

    assert isinstance(stored, np.ndarray)
    assert (stored.shape, stored.dtype, int(stored)) == ((), np.int64, 16000)


@given(
    dtype=st.sampled_from(["int8", "uint8", "int16", "uint16"]),
    scale=st.floats(2**-12, 2**6, width=32),
    zero_point=st.integers(0, 100),
)
def test_every_stored_value_comes_back_as_itself(dtype, scale, zero_point):
    spec = spec_of(dtype, (scale,), (zero_point,))
    limits = np.iinfo(dtype)
    stored = np.linspace(limits.min, limits.max, 256).astype(dtype)

    assert np.array_equal(quantise(dequantise(stored, spec), spec), stored)


def test_the_far_ends_do_not_wrap_around():
    stored = np.array([-128, 127], np.int8)

    assert dequantise(stored, spec_of("int8", (1.0,), (127,))).tolist() == [-255.0, 0.0]
    assert dequantise(stored, spec_of("int8", (1.0,), (-128,))).tolist() == [0.0, 255.0]


def test_each_channel_has_its_own_scale():
    spec = spec_of("int8", (1.0, 0.5), (0, 10), axis=1)
    stored = np.array([[2, 12], [4, 8]], np.int8)

    real = dequantise(stored, spec)

    assert real.tolist() == [[2.0, 1.0], [4.0, -1.0]]
    assert np.array_equal(quantise(real, spec), stored)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64"])
def test_an_integer_without_quantisation_holds_whole_numbers(dtype):
    spec = TensorSpec("x", (3,), dtype)

    assert quantise(np.array([1.4, 2.5, 99.0]), spec).tolist() == [1, 2, 99]
    assert dequantise(np.array([1, 2], dtype), spec).dtype == np.float32


def test_real_values_are_a_copy_of_what_the_runtime_owns():
    owned = np.ones(3, np.float32)

    real = dequantise(owned, TensorSpec("x", (3,), "float32"))
    owned[:] = 7

    assert real.tolist() == [1, 1, 1]
