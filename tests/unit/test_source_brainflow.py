"""Source `brainflow` with the boards of BrainFlow that need no hardware."""

from __future__ import annotations

import importlib.util
import time

import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, ConfigError, SourceLostError
from edge_runtime.sources.streams.brainflow import Brainflow
from tests.unit.test_frontends import frames_of

if importlib.util.find_spec("brainflow") is None:
    # Not in the dev extra, for its size, so not demanded of CI either.
    pytest.skip(
        "brainflow is missing: pip install 'edge-runtime[brainflow]'", allow_module_level=True
    )


def test_the_synthetic_board_becomes_frames_of_millivolts():
    source = Brainflow(name="eeg", board="SYNTHETIC_BOARD", leads=("I", "II"), columns=(1, 0))
    source.open()
    frames, errors = frames_of(source, 250)
    source.close()
    assert not errors
    data = np.concatenate([frame.data for frame in frames])
    assert 0 < np.abs(data).max() < 10
    assert (frames[0].rate_hz, frames[0].leads) == (250.0, ("I", "II"))
    assert set(source.tally) == {"samples"}
    age_s = (time.monotonic_ns() - frames[-1].monotonic_ns) / 1e9
    assert 0 <= age_s < 2.0


def test_a_recording_of_a_board_is_played_back(tmp_path):
    from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams

    file = tmp_path / "board.csv"
    BoardShim.disable_board_logger()
    shim = BoardShim(BoardIds.SYNTHETIC_BOARD, BrainFlowInputParams())
    shim.prepare_session()
    shim.start_stream(45000, f"file://{file}:w")
    until = time.monotonic() + 5
    while shim.get_board_data_count() < 200 and time.monotonic() < until:
        time.sleep(0.02)
    recorded = shim.get_board_data()
    shim.release_session()
    source = Brainflow(
        name="eeg",
        board="PLAYBACK_FILE_BOARD",
        master_board="SYNTHETIC_BOARD",
        file=str(file),
        leads=("I",),
    )
    source.open()
    frames, _ = frames_of(source, 100)
    source.close()
    played = np.concatenate([frame.data for frame in frames])[:100, 0]
    first = BoardShim.get_exg_channels(BoardIds.SYNTHETIC_BOARD)[0]
    np.testing.assert_allclose(played, recorded[first][:100] / 1000, atol=1e-5)


def test_a_board_that_does_not_answer_is_a_lost_source():
    source = Brainflow(name="ecg", board="CYTON_BOARD", serial_port="/dev/ttyNONE7", leads=("I",))
    with pytest.raises(SourceLostError, match="brainflow CYTON_BOARD: "):
        source.open()
    with pytest.raises(SourceLostError, match="is not open"):
        source.read(0.0)


def test_a_board_or_channel_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'CYTON_BOARD'"):
        Brainflow(name="ecg", board="CYTON_BORD", leads=("I",)).open()
    with pytest.raises(ConfigError, match="columns: it has 16 channels"):
        Brainflow(name="ecg", board="SYNTHETIC_BOARD", leads=("I",), columns=(16,)).open()


def test_what_cannot_be_is_refused_before_anything_opens():
    for options, key in (
        ({"board": ""}, "board"),
        ({"leads": ()}, "leads"),
        ({"columns": (0, 1)}, "columns"),
        ({"mv_per_unit": 0.0}, "mv_per_unit"),
        ({"silence_s": -1.0}, "silence_s"),
    ):
        with pytest.raises(BadOptionError) as told:
            Brainflow(name="ecg", **{"board": "SYNTHETIC_BOARD", "leads": ("I",), **options})
        assert told.value.key == key
