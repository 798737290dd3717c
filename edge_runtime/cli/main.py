"""`edge-run`: finds the verb, sets up logging, and turns every error into a line and a code."""

from __future__ import annotations

import logging
import os
import sys
import traceback

import click

from edge_runtime import __version__
from edge_runtime.errors import EdgeRunError

from .verbs import Verbs

VERBS = (
    "demo",
    "start",
    "check",
    "init",
    "predict",
    "bench",
    "doctor",
    "models",
    "watch",
    "outbox",
    "command",
    "update",
    "ecg",
    "replay",
)


@click.group(
    cls=Verbs,
    places={verb: (verb, "command") for verb in VERBS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="edge-run")
@click.option(
    "--log",
    "level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least level that is logged, to standard error.",
)
def cli(level: str) -> None:
    """Run a TFLite or ONNX model on a camera or ECG stream, and publish what it says.

    \b
    Start here:
        edge-run demo            a live result in a minute, no hardware needed
        edge-run init            write a run file
        edge-run start RUN.toml  run it
    """
    set_up_logging(level)


def set_up_logging(level: str) -> None:
    """One line per event on standard error; journald adds the time itself."""
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format=f"{stamp}%(levelname)s %(message)s",
        datefmt="%H:%M:%S",
    )


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed at work, 2 configuration, 3 model."""
    try:
        code = cli.main(prog_name="edge-run", standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as exc:
        exc.show()
        code = exc.exit_code
    except EdgeRunError as exc:
        click.echo(f"edge-run: {exc}", err=True)
        code = exc.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except Exception:  # noqa: BLE001 - the edge: a bug ends in a traceback and an honest code
        traceback.print_exc()
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
