"""The options by which a verb finds a broker and gets in, shared by all that do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from edge_runtime.errors import BadOptionError, ConfigError

if TYPE_CHECKING:
    from edge_runtime.mqtt.login import Login

Function = TypeVar("Function", bound=Callable[..., object])

PASSWORD = "EDGE_RUN_MQTT_PASSWORD"  # noqa: S105 - the name of the variable

_PLACE = click.option(
    "--url", default="mqtt://localhost:1883", show_default=True, help="The broker."
)
_ACCESS = (
    click.option(
        "--username", default="", help=f"At the broker; the password is read from {PASSWORD}."
    ),
    click.option("--password-file", default="", help="Read the password from this file instead."),
    click.option("--ca-file", default="", help="The broker's authority, PEM."),
    click.option("--crl-file", default="", help="Certificates that it has revoked, PEM."),
    click.option("--cert-file", default="", help="Our certificate, PEM; with --key-file."),
    click.option("--key-file", default="", help="Our key, PEM."),
    click.option("--alpn", multiple=True, help="A protocol to offer inside TLS, on port 443."),
    click.option("--server-name", default="", help="In its certificate, if not the URL's host."),
    click.option(
        "--allow-insecure", is_flag=True, help="Permit a remote broker without TLS or user."
    ),
)


def broker_options(function: Function) -> Function:
    """Add them to a verb, which hands them to `login_of` as they are."""
    for option in reversed((_PLACE, *_ACCESS)):
        function = option(function)
    return function


def login_of(
    *,
    url: str,
    username: str,
    password_file: str,
    ca_file: str,
    crl_file: str,
    cert_file: str,
    key_file: str,
    alpn: tuple[str, ...],
    server_name: str,
    allow_insecure: bool,
) -> Login:
    """The way in. Raises ConfigError naming the option."""
    from edge_runtime.mqtt.login import Login, parse_url

    try:
        return Login(
            parse_url(url),
            username=username,
            password="" if password_file or not username else os.environ.get(PASSWORD, ""),
            password_file=password_file,
            ca_file=ca_file,
            crl_file=crl_file,
            cert_file=cert_file,
            key_file=key_file,
            alpn=alpn,
            server_name=server_name,
            allow_insecure=allow_insecure,
        )
    except BadOptionError as exc:
        raise ConfigError(f"--{exc.key.replace('_', '-')}: {exc.message}") from exc


def check_names(prefix: str, device: str, pipeline: str, *, wild: bool = False) -> None:
    """Check what topics are made of; `+`, any, only when `wild`. Raises ConfigError."""
    from edge_runtime.wire import check_level

    names = [("--device", device), ("--pipeline", pipeline)]
    names += [("--prefix", level) for level in prefix.split("/")]
    for option, name in names:
        try:
            if not (wild and name == "+"):
                check_level(option, name)
        except BadOptionError as exc:
            raise ConfigError(str(exc)) from exc
