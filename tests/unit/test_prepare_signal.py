"""The signal input: leads, units, layout, context and quantisation."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Frame
from edge_runtime.interfaces import Quantisation, TensorSpec
from edge_runtime.manifest import InputEntry, QuantisationEntry
from edge_runtime.preprocess.feature import FeatureInput
from edge_runtime.preprocess.signal import SignalInput


def frame_of(data, *, seq=0, leads=("I", "II"), rate_hz=100.0, source="bed1", features=None):
    data = np.asarray(data, np.float32)
    return Frame(data, 1, 1, seq, source, rate_hz, leads, features or {})


def entry_of(**changes):
    facts = {
        "name": "0",
        "kind": "signal",
        "layout": "NTC",
        "units": "mV",
        "rate_hz": 100.0,
        "leads": ("I", "II"),
    }
    return InputEntry(**{**facts, **changes})


RAMP = np.array([[1, 10], [2, 20], [3, 30]], np.float32)


@pytest.mark.parametrize(
    ("layout", "leads", "shape", "expected"),
    [
        ("NTC", ("I", "II"), (1, 3, 2), RAMP[None]),
        ("NCT", ("I", "II"), (1, 2, 3), RAMP.T[None]),
        ("NTC", ("II", "I"), (1, 3, 2), RAMP[None, :, ::-1]),
        ("NT", ("II",), (1, 3), RAMP[None, :, 1]),
        ("NTC", ("I", "II"), (1, 3, 2, 1), RAMP[None, :, :, None]),
    ],
)
def test_leads_and_samples_stand_where_the_layout_says(layout, leads, shape, expected):
    prepare = SignalInput(entry_of(layout=layout, leads=leads), TensorSpec("x", shape, "float32"))

    tensor, placement = prepare(frame_of(RAMP))

    assert placement is None
    assert tensor.shape == expected.shape
    assert np.array_equal(tensor, expected)


def test_leads_are_found_by_any_spelling_of_their_name():
    prepare = SignalInput(entry_of(leads=("aVR", "II")), TensorSpec("x", (1, 3, 2), "float32"))

    tensor, _ = prepare(frame_of(RAMP, leads=("lead ii", "AVR")))

    assert np.array_equal(tensor[0], RAMP[:, ::-1])


@pytest.mark.parametrize(
    ("units", "factor"), [("mV", 1.0), ("uV", 1000.0), ("µV", 1000.0), ("V", 0.001), ("raw", 1.0)]
)
def test_millivolts_become_the_units_of_the_model(units, factor):
    prepare = SignalInput(entry_of(units=units), TensorSpec("x", (1, 3, 2), "float32"))

    tensor, _ = prepare(frame_of(RAMP))

    assert np.allclose(tensor[0], RAMP * factor)


def test_an_int8_tensor_holds_rounded_and_saturated_steps():
    quantisation = Quantisation((0.1,), (-10,))
    prepare = SignalInput(entry_of(leads=("I",)), TensorSpec("x", (1, 4, 1), "int8", quantisation))

    tensor, _ = prepare(frame_of([[0.0], [1.26], [-50.0], [50.0]], leads=("I",)))

    assert tensor.dtype == np.int8
    assert tensor[0, :, 0].tolist() == [-10, 3, -128, 127]


def test_the_context_is_the_end_of_the_window_before_and_zero_after_a_gap():
    entry = entry_of(layout="NT", leads=("I",), context=2)
    prepare = SignalInput(entry, TensorSpec("x", (1, 5), "float32"))

    def window(first, **where):
        data = np.arange(first, first + 3, dtype=np.float32)[:, None]
        return prepare(frame_of(data, leads=("I",), **where))[0][0].tolist()

    assert window(1, seq=0) == [0, 0, 1, 2, 3]
    assert window(4, seq=1) == [2, 3, 4, 5, 6]
    assert window(9, seq=0, source="bed2") == [0, 0, 9, 10, 11]
    assert window(7, seq=2) == [5, 6, 7, 8, 9]
    assert window(20, seq=4) == [0, 0, 20, 21, 22]


def test_the_tensor_is_one_kept_array():
    prepare = SignalInput(entry_of(), TensorSpec("x", (1, 3, 2), "float32"))

    first, _ = prepare(frame_of(RAMP))
    second, _ = prepare(frame_of(RAMP * 2))

    assert first is second


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"leads": ("I", "V1")},
            ConfigError,
            "has no lead II, which the model takes; it has I, V1",
        ),
        ({"leads": ()}, ConfigError, "no named lead"),
        ({"rate_hz": 250.0}, ConfigError, "250 samples a second, the model takes 100.*resample"),
        ({"rate_hz": None}, ConfigError, "the model takes 100"),
        ({"data": RAMP[:2]}, FrameError, "takes 3 samples.*window"),
        ({"data": RAMP[:, :1]}, FrameError, r"\(3, 1\)"),
        ({"data": RAMP * np.nan}, FrameError, "NaN"),
    ],
)
def test_a_frame_outside_the_contract_is_refused_by_name(changes, error, said):
    prepare = SignalInput(entry_of(), TensorSpec("x", (1, 3, 2), "float32"))

    with pytest.raises(error, match=said):
        prepare(frame_of(**{"data": RAMP, **changes}))


def test_a_rate_within_a_thousandth_is_the_same_rate():
    prepare = SignalInput(entry_of(rate_hz=360.0), TensorSpec("x", (1, 3, 2), "float32"))

    prepare(frame_of(RAMP, rate_hz=360.2))
    with pytest.raises(ConfigError):
        prepare(frame_of(RAMP, rate_hz=361.0))


@pytest.mark.parametrize(
    ("changes", "shape", "said"),
    [
        ({"units": "counts"}, (1, 3, 2), "units: 'counts'"),
        ({"leads": ("I",)}, (1, 3, 2), "leads: names 1, the tensor has 2"),
        ({"context": 3}, (1, 3, 2), "context"),
        ({}, (1, 3), "shape"),
        ({}, (None, None, 2), "shape: is missing"),
        ({"quantisation": QuantisationEntry(0.5, 3)}, (1, 3, 2), "quantisation: the file says"),
    ],
)
def test_a_manifest_that_does_not_fit_the_file_is_refused_by_key(changes, shape, said):
    spec = TensorSpec("x", shape, "int8", Quantisation((0.1,), (0,)))

    with pytest.raises(ConfigError, match=said):
        SignalInput(entry_of(**changes), spec)


def test_the_manifest_says_the_quantisation_that_the_file_does_not():
    entry = InputEntry(
        "0", "feature", feature="rr", quantisation=QuantisationEntry(scale=0.5, zero_point=1)
    )
    prepare = FeatureInput(entry, TensorSpec("x", (1, 3), "int8"))

    tensor, _ = prepare(frame_of(RAMP, features={"rr": np.array([0.0, 1.0, -2.0], np.float32)}))

    assert tensor.tolist() == [[1, 3, -3]]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({}, "no step gave the feature 'rr'"),
        ({"rr": np.zeros(2)}, "has 2 values, the model takes 3"),
        ({"rr": np.array([0.0, np.nan, 0.0])}, "NaN"),
    ],
)
def test_a_feature_that_is_missing_or_odd_makes_a_bad_frame(features, said):
    prepare = FeatureInput(
        InputEntry("0", "feature", feature="rr"), TensorSpec("x", (1, 3), "int8")
    )

    with pytest.raises(FrameError, match=said):
        prepare(frame_of(RAMP, features=features))
