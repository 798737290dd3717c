from __future__ import annotations

import importlib.metadata

import pytest

from edge_runtime import registry
from edge_runtime.errors import ConfigError


@pytest.mark.parametrize("group", sorted(registry.BUILT_IN))
def test_every_built_in_name_leads_to_a_class(group):
    for name in registry.BUILT_IN[group]:
        assert isinstance(registry.find(group, name), type)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="no source of kind 'serail'; did you mean 'serial'"):
        registry.find("source", "serail")


def test_entry_points_are_looked_at_only_on_a_miss(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def entry_points(*, group):
        asked.append(group)
        return [importlib.metadata.EntryPoint("mine", "collections:OrderedDict", group)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry.find("sink", "jsonl")
    assert asked == []
    assert registry.find("sink", "mine").__name__ == "OrderedDict"
    assert asked == ["edge_runtime.sink"]


def test_a_plug_in_that_does_not_import_is_a_config_error(monkeypatch: pytest.MonkeyPatch):
    point = importlib.metadata.EntryPoint("mine", "no.such.module:Thing", "edge_runtime.sink")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [point])
    with pytest.raises(ConfigError, match="no.such.module:Thing: cannot be imported"):
        registry.find("sink", "mine")
