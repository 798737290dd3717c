"""Calibration in plain numpy: which range of a tensor the integers are for."""

from __future__ import annotations

import numpy as np
import pytest
from edge_runtime.converters.jobs.difference import compare, require_same
from edge_runtime.converters.jobs.job import Job, JobError
from edge_runtime.converters.jobs.ranges import measure, once


def ranges(values, method, **options):
    return measure(lambda: [{"x": part} for part in values], method, **options)["x"]


@pytest.fixture
def bell():
    """10 cases of 10,000 normal values, and one value of 100 among them."""
    values = np.random.default_rng(0).standard_normal((10, 10_000)).astype(np.float32)
    values[7, 5] = 100.0
    return values


def test_minmax_takes_all_that_was_seen_and_zero():
    assert ranges([np.array([2.0, 5.0]), np.array([3.0])], "minmax") == (0.0, 5.0)
    assert ranges([np.array([-1.0, -4.0])], "minmax") == (-4.0, 0.0)


def test_percentile_leaves_the_one_far_value_out(bell):
    low, high = ranges(bell, "percentile", percentile=99.9)
    assert low == pytest.approx(-3.3, abs=0.15)  # 3.29 standard deviations hold 99.9 %
    assert high == pytest.approx(3.3, abs=0.15)
    assert ranges(bell, "percentile", percentile=100)[1] == 100.0


def test_entropy_clips_the_far_value_and_not_the_bell(bell):
    low, high = ranges(bell, "entropy")
    assert low == ranges(bell, "minmax")[0]
    assert 3.5 < high < 20.0


def test_entropy_of_few_values_keeps_them_all():
    assert ranges([np.array([-1.0, 0.5, 30.0])], "entropy") == (-1.0, 30.0)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_a_tensor_that_is_always_zero_has_no_width(method):
    assert ranges([np.zeros(5)], method) == (0.0, 0.0) or ranges([np.zeros(5)], method)[1] < 1e-3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_named_with_its_case(bad):
    with pytest.raises(JobError, match="tensor x is not finite in calibration case 1"):
        ranges([np.ones(3), np.array([1.0, bad])], "minmax")


def test_no_case_and_no_such_method_are_refused():
    with pytest.raises(JobError, match="at least one case"):
        ranges([], "minmax")
    with pytest.raises(JobError, match="'best' is not one of minmax, percentile, entropy"):
        ranges([np.ones(1)], "best")


def test_a_comparison_tells_error_and_agreement():
    want = np.array([[0.0, 1.0], [1.0, 0.0]])
    facts = compare({"y": want}, {"y": np.array([[0.0, 0.5], [0.2, 0.4]])})
    assert facts["cases"] == 2
    assert facts["max_error"] == pytest.approx(0.8)
    assert facts["agreement"] == 0.5
    assert compare({"y": want}, {"y": want})["relative_error"] == 0.0


def test_a_result_that_is_not_finite_is_never_the_same():
    want = np.ones((2, 3))
    for bad in (np.nan, np.inf):
        found = want.copy()
        found[1, 2] = bad
        with pytest.raises(JobError, match="differs from its source"):
            require_same({"y": want}, {"y": found}, "net")
    with pytest.raises(JobError, match="output y has shape"):
        compare({"y": want}, {"y": want[:, :2]})


def test_ranges_are_found_once_where_a_file_keeps_them_and_every_time_where_none_does(tmp_path):
    given = [{"x": (-0.1, 1 / 3)}, {"x": (0.0, 9.0)}]
    for kept, wanted in (({"ranges": str(tmp_path / "ranges.json")}, given[0]), ({}, given[1])):
        job, left = Job(tmp_path / "net", tmp_path / "out", kept), iter(given)
        assert once(job, lambda left=left: next(left)) == given[0]
        assert once(job, lambda left=left: next(left)) == wanted
