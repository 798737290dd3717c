"""`edge-run command`: tell a running pipeline to do something, over its broker."""

from __future__ import annotations

import getpass
import json
import socket
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.errors import ConfigError, EdgeRunError

from .broker_options import broker_options, check_names, login_of

if TYPE_CHECKING:
    from edge_runtime.commands.letter import Letter


@click.command("command")
@click.argument("verb")
@click.option("--device", required=True, help="The device's name in the topics.")
@click.option("--pipeline", required=True, help="The pipeline's name in the topics.")
@click.option("--prefix", default="edge", show_default=True, help="First levels of the topics.")
@click.option("--signing-key", default="", help="File with the key that the pipeline knows.")
@click.option("--args", "arguments", default="{}", help="What the verb needs, a JSON object.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Wait so many seconds for the answer.",
)
@click.option("--json", "raw", is_flag=True, help="Print the answer as it came.")
@broker_options
def command(
    *,
    verb: str,
    device: str,
    pipeline: str,
    prefix: str,
    signing_key: str,
    arguments: str,
    timeout_s: float,
    raw: bool,
    **access: Any,
) -> None:
    """Send VERB to one pipeline, once, and print its answer.

    The pipeline obeys the verbs that its run file lists: announce, counters, stop, update. The
    clocks of both machines may differ by 30 s. Exit codes: 0 it was obeyed; 1 it was refused,
    failed, or was not answered in time; 2 an option is wrong.

    \b
    Examples:
        edge-run command counters --device bed-7 --pipeline ward --signing-key ward.key
        edge-run command stop --device bed-7 --pipeline ward --signing-key ward.key \\
            --url mqtts://broker --username ward3
    """
    from edge_runtime.commands.options import read_key
    from edge_runtime.commands.request import ask
    from edge_runtime.frame import Identity

    check_names(prefix, device, pipeline)
    _check_verb(verb)
    login = login_of(**access)
    answer = ask(
        login,
        Identity(device, pipeline),
        verb,
        _letter(arguments),
        key=read_key(signing_key, "--signing-key") if signing_key else b"",
        prefix=prefix,
        sender=f"{_user()}@{socket.gethostname()}",
        timeout_s=timeout_s,
    )
    if answer is None:
        raise EdgeRunError(
            f"{device}/{pipeline} did not answer within {timeout_s:g} s: is it online, and are "
            "commands switched on in its run file? It may have obeyed all the same"
        )
    if raw:
        click.echo(json.dumps(answer))
    if answer.get("accepted") is not True:
        why = f"{_plain(answer.get('reason'))} ({_plain(answer.get('text'))})"
        raise EdgeRunError(f"{device}/{pipeline} refused {verb}: {why}")
    if not raw:
        click.echo(_readable(f"{device}/{pipeline}: {verb}: accepted", answer.get("answer")))


def _letter(arguments: str) -> Letter:
    from edge_runtime.commands.letter import MalformedError
    from edge_runtime.commands.request import compose

    try:
        found = json.loads(arguments)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"--args: is not JSON ({exc})") from exc
    if not isinstance(found, dict):
        raise ConfigError('--args: must be a JSON object, for example {"version": "1.2.0"}')
    try:
        return compose(found)
    except MalformedError as exc:
        raise ConfigError(f"--args: {exc}") from exc


def _check_verb(verb: str) -> None:
    from edge_runtime.errors import BadOptionError
    from edge_runtime.wire import check_level

    try:
        check_level("VERB", verb)
    except BadOptionError as exc:
        raise ConfigError(str(exc)) from exc


def _readable(first: str, answer: object) -> str:
    """The answer, a line for each of its values."""
    if answer is None:
        return first
    if not isinstance(answer, dict):
        return f"{first}: {_plain(answer)}"
    return "\n".join([first, *(f"  {_plain(key)}: {_plain(answer[key])}" for key in answer)])


def _plain(value: object) -> str:
    """Text as it is; as JSON what is not text, or could steer a terminal."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name; KeyError before Python 3.13
        return "?"
