from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime import golden
from edge_runtime.errors import ConfigError, DelegateError

from ..scripted import Doubler


def write(path: Path, outputs: object, **more: object) -> Path:
    inputs = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)
    np.savez(path, **{"input/x": inputs, "output/y": np.reshape(outputs, (3, 1, 1)), **more})
    return path


def test_vectors_that_are_reproduced_pass(tmp_path: Path):
    path = write(tmp_path / "golden.npz", [0.0, 2.0, 4.0])
    report = golden.check(Doubler(), path, 1e-6, 1.0)
    assert (report.cases, report.max_error, report.agreement) == (3, 0.0, 1.0)


@pytest.mark.parametrize("wrong", [4.1, np.nan, np.inf])
def test_a_delegate_that_computes_something_else_is_refused(tmp_path: Path, wrong: float):
    path = write(tmp_path / "golden.npz", [0.0, 2.0, wrong])
    with pytest.raises(DelegateError, match="does not compute what the workstation computed"):
        golden.check(Doubler(), path, 0.05, 1.0)


def test_a_nan_of_the_backend_is_refused_even_when_it_comes_first(tmp_path: Path):
    backend = Doubler()
    backend.run = lambda tensors: (np.full((1, 1), np.nan, np.float32),)  # type: ignore[method-assign]
    path = write(tmp_path / "golden.npz", [0.0, 2.0, 4.0])
    with pytest.raises(DelegateError):
        golden.check(backend, path, 0.05, 0.0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04rubbish", b"\x80\x04pickle"])
def test_f13_damaged_vectors_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "golden.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not readable as golden vectors"):
        golden.check(Doubler(), path, 0.05, 1.0)


def test_f13_missing_empty_or_foreign_vectors_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        golden.check(Doubler(), tmp_path / "none.npz", 0.05, 1.0)
    empty = tmp_path / "empty.npz"
    np.savez(empty, **{"input/x": np.zeros((0, 1, 1, 1)), "output/y": np.zeros((0, 1, 1))})
    with pytest.raises(ConfigError, match="no golden case"):
        golden.check(Doubler(), empty, 0.05, 1.0)
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, a=np.zeros(1))
    with pytest.raises(ConfigError, match="holds no array 'input/x'"):
        golden.check(Doubler(), foreign, 0.05, 1.0)
