"""`edge-release`: makes the repository of static files that devices update their models from."""

from __future__ import annotations

import importlib
import signal
import sys

import click

from edge_runtime import __version__
from edge_runtime.errors import EdgeRunError, MissingExtraError
from edge_runtime.tables import nearest

from .main import set_up_logging

VERBS = (
    "init",
    "add",
    "rollout",
    "promote",
    "revoke",
    "remove",
    "refresh",
    "status",
    "rotate",
    "root-sign",
    "root-publish",
)


class Verbs(click.Group):
    """The verbs lie in another module, imported when one is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in VERBS:
            near = nearest(cmd_name, VERBS)
            hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(VERBS)}"
            ctx.fail(f"no verb '{cmd_name}'; {hint}")
        rooted = cmd_name in ("init", "rotate", "root-sign", "root-publish")
        name = "release_keys" if rooted else "release_verbs"
        module = importlib.import_module(f"edge_runtime.cli.{name}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edge-release")
def cli() -> None:
    """Release models to devices: a signed repository (TUF) of plain files.

    Copy REPO to any web server, object store or stick; it holds no secret. The keys stay here.

    \b
    Start here:
        export EDGE_RELEASE_REPO=$PWD/repo EDGE_RELEASE_KEYS=$PWD/keys
        edge-release init
        edge-release add models/ecg-beats
        edge-release rollout ecg-beats 1.1.0 --percent 10
        edge-release status
    """
    set_up_logging("warning")


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed, 2 options or keys, 3 model, 4 signatures."""
    code: object
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # half-written files go first
    try:
        code = cli.main(prog_name="edge-release", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = 130
    except click.ClickException as exc:
        exc.show()
        code = exc.exit_code
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in ("tuf", "securesystemslib", "cryptography"):
            raise
        missing = MissingExtraError("edge-release", "release", exc)
        click.echo(f"edge-release: {missing}", err=True)
        code = missing.exit_code
    except EdgeRunError as exc:
        click.echo(f"edge-release: {exc}", err=True)
        code = exc.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        said = f"{where}{exc.strerror or exc}; `edge-release status` says what is published"
        click.echo(f"edge-release: {said}", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
