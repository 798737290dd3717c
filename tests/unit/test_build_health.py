"""Which sources are judged, by what, and what a run file may say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime import build, config, manifest, shipped
from edge_runtime.errors import ConfigError
from edge_runtime.health.image import ImageHealth
from edge_runtime.health.signal import SignalHealth
from edge_runtime.interfaces import Health

BEATS, SHAPES = (manifest.read(shipped.resolve(name)) for name in ("ecg-beats", "shapes"))


def health(tmp_path: Path, *lines: str, model=BEATS, live: bool = True) -> Health | None:
    """Of a source with these lines in its table, and steps behind it."""
    text = ['[model]\npath = "ecg-beats"\n[[source]]\nkind = "serial"', *lines]
    path = tmp_path / "run.toml"
    path.write_text("\n".join([*text, '[[sink]]\nkind = "console"\n']))
    run = config.load(path, {})
    return build.health(run, run.sources[0][1].options, model, live=live)


def test_what_the_model_takes_says_who_judges(tmp_path):
    assert isinstance(health(tmp_path), SignalHealth)
    assert isinstance(health(tmp_path, model=SHAPES), ImageHealth)


def test_a_recording_is_judged_when_it_is_asked_for_and_a_live_source_unless_it_is_not(tmp_path):
    assert health(tmp_path, live=False) is None
    assert health(tmp_path, "[source.health]", live=False) is not None
    assert health(tmp_path, "[source.health]\non = false") is None


@pytest.mark.parametrize(
    ("steps", "leads"),
    [
        ('[[step]]\nkind = "leads"\nnames = ["V1", "MLII"]', ("V1", "MLII")),
        ('[[step]]\nkind = "leads"\nnames = ["V1", "II"]\nabsent = "zero"', ()),
        ('[[step]]\nkind = "beats"\nlead = "II"', ("II",)),
        ("", ()),
    ],
)
def test_the_leads_that_the_steps_use_are_watched(tmp_path, steps, leads):
    made = health(tmp_path, steps)
    assert made._leads == leads


def test_a_wrong_option_is_told_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"run.toml:6: \[source.health\] flat: unknown key"):
        health(tmp_path, "[source.health]", "flat = 2.0")
    with pytest.raises(ConfigError, match="on: must be true or false"):
        health(tmp_path, "[source.health]", 'on = "yes"')
