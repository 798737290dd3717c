"""`edge-release`: makes the repository of static files that devices update their models from."""

from __future__ import annotations

import signal
import sys

import click

from edge_runtime import __version__
from edge_runtime.errors import EdgeRunError, MissingExtraError

from .main import set_up_logging
from .verbs import Verbs

_RELEASES, _KEYS = "release_verbs", "release_keys"  # modules
PLACES = {
    "init": (_KEYS, "init"),
    "add": (_RELEASES, "add"),
    "rollout": (_RELEASES, "rollout"),
    "promote": (_RELEASES, "promote"),
    "revoke": (_RELEASES, "revoke"),
    "remove": (_RELEASES, "remove"),
    "refresh": (_RELEASES, "refresh"),
    "status": (_RELEASES, "status"),
    "rotate": (_KEYS, "rotate"),
    "root-sign": (_KEYS, "root_sign"),
    "root-publish": (_KEYS, "root_publish"),
}


@click.group(cls=Verbs, places=PLACES, context_settings={"help_option_names": ["-h", "--help"]})
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
