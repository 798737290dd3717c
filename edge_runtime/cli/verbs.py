"""A command whose verbs lie in other modules."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from edge_runtime.tables import nearest


class Verbs(click.Group):
    """Each verb is imported when it is asked for: `places` has its module and its name there."""

    def __init__(self, *given: Any, places: Mapping[str, tuple[str, str]], **more: Any) -> None:
        super().__init__(*given, **more)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in self._places:
            near = nearest(cmd_name, list(self._places))
            hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(self._places)}"
            ctx.fail(f"no verb '{cmd_name}'; {hint}")
        module, name = self._places[cmd_name]
        command: click.Command = getattr(
            importlib.import_module(f"edge_runtime.cli.{module}"), name
        )
        return command
