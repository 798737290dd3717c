"""`edge-run watch`: subscribe to what pipelines publish, and look."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import click

from edge_runtime.errors import BadOptionError, ConfigError, EdgeRunError

if TYPE_CHECKING:
    from edge_runtime.mqtt.link import Link
    from edge_runtime.mqtt.login import Login
    from edge_runtime.workbench.viewer import Viewer

PASSWORD = "EDGE_RUN_MQTT_PASSWORD"  # noqa: S105 - the name of the variable
RETRY_S = 1.0


@click.command("watch")
@click.option("--url", default="mqtt://localhost:1883", show_default=True, help="The broker.")
@click.option("--device", default="+", show_default=True, help="Only this device; + is any.")
@click.option("--pipeline", default="+", show_default=True, help="Only this pipeline; + is any.")
@click.option("--prefix", default="edge", show_default=True, help="First levels of the topics.")
@click.option("--json", "raw", is_flag=True, help="Results only, as they are, one per line.")
@click.option("--count", type=click.IntRange(1), help="End after so many results.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0), help="End after so many seconds.")
@click.option(
    "--username", default="", help=f"At the broker; the password is read from {PASSWORD}."
)
@click.option("--password-file", default="", help="Read the password from this file instead.")
@click.option("--ca-file", default="", help="The broker's authority, PEM.")
@click.option("--cert-file", default="", help="Our certificate, PEM; with --key-file.")
@click.option("--key-file", default="", help="Our key, PEM.")
@click.option("--allow-insecure", is_flag=True, help="Permit a remote broker without TLS or user.")
def command(
    *,
    url: str,
    device: str,
    pipeline: str,
    prefix: str,
    raw: bool,
    count: int | None,
    timeout_s: float | None,
    username: str,
    password_file: str,
    ca_file: str,
    cert_file: str,
    key_file: str,
    allow_insecure: bool,
) -> None:
    """Show results, statuses and announcements as they are published.

    A repeat of a result is shown once. Ctrl-C ends it. Exit codes: 0 all was seen; 1 the broker is
    out of reach, or --count was not reached within --timeout; 2 an option is wrong.

    \b
    Examples:
        edge-run watch
        edge-run watch --url mqtts://broker --username ward3 --device bed-7
        edge-run watch --json --count 100 > results.jsonl
    """
    from edge_runtime.workbench.viewer import Viewer

    viewer = Viewer(most=count, raw=raw, colour=sys.stdout.isatty())
    filters = filters_of(prefix, device, pipeline)
    login = login_of(
        url,
        username=username,
        password="" if password_file or not username else os.environ.get(PASSWORD, ""),
        password_file=password_file,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        allow_insecure=allow_insecure,
    )
    try:
        follow(login, filters, viewer, timeout_s)
    except KeyboardInterrupt:
        click.echo("", err=True)
    click.echo(viewer.summary, err=True)
    if count and timeout_s is not None and not viewer.done:
        raise EdgeRunError(f"{viewer.results} of {count} results within {timeout_s:g} s")


def filters_of(prefix: str, device: str, pipeline: str) -> list[str]:
    """What to subscribe to. Raises ConfigError for a name that is no topic level."""
    from edge_runtime.wire import check_level

    names = [("--device", device), ("--pipeline", pipeline)]
    names += [("--prefix", level) for level in prefix.split("/")]
    for option, name in names:
        try:
            if name != "+":
                check_level(option, name)
        except BadOptionError as exc:
            raise ConfigError(str(exc)) from exc
    root = f"{prefix}/{device}/{pipeline}"
    return [f"{root}/status", f"{root}/info", f"{root}/+/result"]


def login_of(url: str, **access: Any) -> Login:
    """The way in. Raises ConfigError naming the option."""
    from edge_runtime.mqtt.login import Login, parse_url

    try:
        return Login(parse_url(url), **access)
    except BadOptionError as exc:
        raise ConfigError(f"--{exc.key.replace('_', '-')}: {exc.message}") from exc


def follow(login: Login, filters: list[str], viewer: Viewer, timeout_s: float | None) -> None:
    """Show until it is enough. Raises EdgeRunError when the broker was never reached."""
    from edge_runtime.mqtt.client import LinkDownError
    from edge_runtime.mqtt.link import Link
    from edge_runtime.mqtt.session import Terms

    def show(topic: str, payload: bytes) -> None:
        line = viewer.line(topic, payload)
        if line is not None:
            click.echo(line)

    until = float("inf") if timeout_s is None else time.monotonic() + timeout_s
    client_id = f"edge-run-watch-{uuid.uuid4().hex[:12]}"
    link = Link(login, Terms(client_id=client_id, on_message=show))
    try:
        told = ""
        while not viewer.done and time.monotonic() < until:
            try:
                look(link, filters, viewer, until)
            except LinkDownError as exc:
                if not link.protocol:
                    raise EdgeRunError(f"{login.address}: {exc}") from exc
                told = tell(f"{login.address}: {exc}; trying again", told)
                threading.Event().wait(max(0.0, min(RETRY_S, until - time.monotonic())))
    finally:
        link.close()


def look(link: Link, filters: list[str], viewer: Viewer, until: float) -> None:
    """One connection, to its end. Raises LinkDownError."""
    link.connect().subscribe(filters)
    while not viewer.done and time.monotonic() < until:
        link.wait(until - time.monotonic())
    link.hang_up()


def tell(text: str, told: str) -> str:
    """Say it on standard error, unless it was said just before."""
    if text != told:
        click.echo(f"edge-run: {text}", err=True)
    return text
