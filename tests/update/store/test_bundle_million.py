"""F16: a million entries, of which the reader takes as many as a model may have files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import VerificationError
from edge_runtime.update.store import ustar

from ..gate.corpus import Headers


def test_f16_a_million_entries_are_refused_at_the_first_too_many():
    bundle = Headers(1_000_000)
    taken = []
    with pytest.raises(VerificationError, match="more than 256 files") as refused:
        ustar.walk(bundle, Path("bundle"), lambda name, data: taken.append(name))
    assert refused.value.reason == "malformed"
    assert (len(taken), bundle.read_headers) == (256, 257)


def test_f16_as_many_entries_as_are_allowed_are_taken():
    taken = []
    assert ustar.walk(Headers(256), Path("bundle"), lambda name, data: taken.append(name))
    assert len(taken) == 256
