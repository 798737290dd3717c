"""docs/components.md, made from the components themselves.

python -m tests.docs.components > docs/components.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from edge_runtime import registry
from edge_runtime.config import CaptureConfig, ModelConfig, Rung

GIVEN = {"name", "identity"}  # by the builder, not by the run file's table of the component
GROUPS = {
    "source": "Sources: `[[source]]`",
    "step": "Steps: `[[step]]`",
    "sink": "Sinks: `[[sink]]`",
}
HEAD = """\
# Everything a run file may say

Made from the code by `python -m tests.docs.components`; a test keeps it so. A source has `name`
beside its options: its level in the topic, its kind when left out. Paths are relative to the run
file. `username`, `password` and `token` may come from the environment instead, as
`EDGE_RUN_<KIND>_<KEY>`, `EDGE_RUN_MQTT_PASSWORD` for example.

At the top stand `name` (of the pipeline; the file's when left out), `device` (the host's name) and
`board` (a profile of `devices/`; detected).
"""


def page() -> str:
    parts = [HEAD, "## `[model]`\n", _component(ModelConfig)]
    parts += ["Each of `delegates` is a name, or a table:\n", _options(Rung)]
    parts += ["## `[capture]`\n", _component(CaptureConfig)]
    for group, title in GROUPS.items():
        parts.append(f"## {title}\n")
        for kind in sorted(registry.BUILT_IN[group]):
            component = registry.find(group, kind)
            parts += [f"### `{kind}`\n", _component(component)]
            for key, table in _tables(component):
                parts += [f"#### `[{group}.{key}]`\n", _component(table, given=set())]
    return "\n".join(parts)


def _component(component: type, given: AbstractSet[str] = GIVEN) -> str:
    text = inspect.cleandoc(component.__doc__ or "")
    prose = re.split(r"\n\n(?:Args|Raises):\n", text)[0]
    return f"{prose}\n\n{_options(component, given)}"


def _options(component: type, given: AbstractSet[str] = GIVEN) -> str:
    told = _told(component)
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for name, parameter in inspect.signature(component).parameters.items():
        if name in given:
            continue
        kind = _kind(str(parameter.annotation), component)
        default = "needed" if parameter.default is parameter.empty else f"`{_default(parameter)}`"
        rows.append(f"| `{name}` | {kind} | {default} | {told.get(name, '')} |")
    return "\n".join(rows) + "\n" if len(rows) > 2 else "It has no options.\n"


def _kind(annotation: str, component: type) -> str:
    """A type in words; one of our names for a choice is spelled out."""
    module = sys.modules[component.__module__]
    named = getattr(module, annotation, None)
    spelled = str(named).replace("typing.", "") if typing.get_origin(named) else annotation
    return spelled.replace("|", "or")


def _tables(component: type) -> Iterator[tuple[str, type]]:
    """Options that are tables of their own."""
    hints = typing.get_type_hints(component.__init__)
    for key in inspect.signature(component).parameters:
        for kind in (hints[key], *typing.get_args(hints[key])):
            if key not in GIVEN and dataclasses.is_dataclass(kind):
                yield key, kind


def _default(parameter: inspect.Parameter) -> str:
    value = parameter.default
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return str(list(value)).replace("'", '"')
    return str(value) if isinstance(value, int | float) or value is None else "{}"


def _told(component: type) -> dict[str, str]:
    """Option -> its line in the Args section, or its comment."""
    told = {}
    if "Args:\n" in (doc := inspect.cleandoc(component.__doc__ or "")):
        section = doc.split("Args:\n", 1)[1].split("\n\n", 1)[0]
        for entry in re.split(r"\n(?= {4}\w)", "\n" + section):
            name, _, words = entry.strip().partition(": ")
            told[name] = " ".join(words.split())
    for line in inspect.getsource(component).splitlines():
        if found := re.match(r"\s+(\w+): .*  # (.*)", line):
            told.setdefault(found[1], found[2])
    return told


if __name__ == "__main__":
    print(page(), end="")
