"""The wiring of a pipeline whose model comes over the air."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from . import state as states
from .config import ModelConfig, RunConfig
from .model import Model
from .swap.switch import Switch
from .update.desk import StoreDesk
from .update.store.store import Store
from .update_config import UpdateConfig

Build = Callable[[ModelConfig, str], Model]


def store(config: RunConfig, update: UpdateConfig) -> Store:
    """Where the models of this pipeline lie; nothing is opened. Raises ConfigError."""
    folder = states.folder(config.identity, update.state) / "update"
    with suppress(OSError):  # a disk that fails: the store finds the best model all the same
        states.ensure(folder)
    return Store(folder, config.model.path)


def switch(
    config: RunConfig, update: UpdateConfig, build: Build, hung: Callable[[], None]
) -> Switch:
    """Around the model that is active; the store is put in order first. Raises ConfigError."""

    def built(path: Path) -> Model:
        if path == config.model.path:
            return build(config.model, config.board)
        return build(replace(config.model, path=path, manifest=None), config.board)

    desk = StoreDesk(store(config, update), built, require_approval=update.require_approval)
    live = built(desk.open())
    return Switch(live=live, desk=desk, rules=update, hung=hung)
