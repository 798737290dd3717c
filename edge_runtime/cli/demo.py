"""`edge-run demo`: a live result in a minute, with no hardware."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_runtime.demo.ink import Line, Pen
    from edge_runtime.demo.session import Session
    from edge_runtime.demo.show import Canvas, Show

PICTURE_S = 0.1  # between two pictures on a terminal
LINE_S = 1.0  # between two lines in a pipe


@click.command("demo")
@click.argument("kind", type=click.Choice(["ecg", "camera"]), default="ecg")
@click.option(
    "--seconds",
    type=click.FloatRange(4, 3600),
    default=30,
    show_default=True,
    help="How long the generated stream is.",
)
@click.option("--plain", is_flag=True, help="A line each second, even on a terminal.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Leave the run file and the pipeline's log in FOLDER.",
)
def command(kind: str, seconds: float, plain: bool, keep: Path | None) -> None:
    """Show a live result with no hardware, no account and no broker of yours.

    Generates an ECG (or pictures) whose truth is known, runs the shipped model on it in a second
    process, hears the results over real MQTT and scores them. Ends by itself, or at Ctrl-C.

    \b
    Examples:
        edge-run demo
        edge-run demo camera --seconds 10
        edge-run demo --plain | tee demo.txt
    """
    from edge_runtime.demo.ink import pen_for
    from edge_runtime.demo.session import Session

    terminal = sys.stdout.isatty()
    pen = pen_for(os.environ, sys.stdout.encoding, terminal=terminal)
    live = terminal and not plain and os.environ.get("TERM", "dumb") != "dumb"
    quiet_logs()
    with stopping() as stop, Session(show_of(kind, seconds), keep) as session:
        run(session, pen, stop, live=live)
        code = session.exit_code
    sys.exit(code)


def show_of(kind: str, seconds: float) -> Show:
    """The show of that name. Raises ConfigError when its model is not there."""
    from edge_runtime import shipped
    from edge_runtime.demo.camera import Camera
    from edge_runtime.demo.ecg import Ecg
    from edge_runtime.errors import ConfigError

    show: Show = Camera(seconds) if kind == "camera" else Ecg(seconds)
    if show.model not in shipped.directories():
        raise ConfigError(
            f"the model {show.model} did not come with this installation: install it again "
            "with pip install --force-reinstall edge-runtime"
        )
    return show


def quiet_logs() -> None:
    """The broker and the MQTT client of the demo itself speak only when something is wrong."""
    if logging.getLogger().level > logging.DEBUG:
        for name in ("amqtt", "transitions", "paho", "asyncio"):
            logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C, SIGTERM or hang-up sets; a second Ctrl-C leaves at once."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run(session: Session, pen: Pen, stop: threading.Event, *, live: bool) -> None:
    """Show the session to its end."""
    from edge_runtime.demo import pages

    write_lines(pages.opening(session), pen)
    last = follow_live(session, pen, stop) if live else follow(session, stop)
    write_lines([*last, *pages.summary(session)], pen)


def follow(session: Session, stop: threading.Event) -> list[Line]:
    """A line each second."""
    from edge_runtime.demo import pages

    for _ in rounds(session, stop, LINE_S):
        click.echo(pages.second(session))
    return []


def follow_live(session: Session, pen: Pen, stop: threading.Event) -> list[Line]:
    """Whole pages on the alternate screen; gives the last picture, to stay behind."""
    from edge_runtime.demo import pages, terminal

    while session.running and session.subscriber.about is None and not stop.is_set():
        session.listen(PICTURE_S)  # the run file stays in sight until the pipeline is up
    size = os.terminal_size((0, 0))
    with alternate_screen():
        for _ in rounds(session, stop, PICTURE_S):
            before, size = size, shutil.get_terminal_size()
            canvas = canvas_of(size, pen)
            page = painted(pages.page(session, canvas), pen)
            write(terminal.drawn(page, clear=size != before))
    return session.show.picture(canvas_of(os.terminal_size((size.columns, 16)), pen))


def rounds(session: Session, stop: threading.Event, pause_s: float) -> Iterator[None]:
    """Listen, and hand over after each pause, until the pipeline has ended and all was heard."""
    while session.running:
        session.listen(pause_s)
        if stop.is_set() and not session.interrupted:
            session.interrupt()
        yield
    session.finish()


@contextmanager
def alternate_screen() -> Iterator[None]:
    """The terminal as it was comes back, however the block is left."""
    from edge_runtime.demo import terminal

    write(terminal.ENTER)
    try:
        yield
    finally:
        write(terminal.LEAVE)


def canvas_of(size: os.terminal_size, pen: Pen) -> Canvas:
    from edge_runtime.demo.show import Canvas

    return Canvas(size.columns, size.lines, time.time_ns(), pen)


def painted(lines: Iterable[Line], pen: Pen) -> list[str]:
    from edge_runtime.demo import ink

    return ink.painted(lines, pen)


def write_lines(lines: Iterable[Line], pen: Pen) -> None:
    for text in painted(lines, pen):
        click.echo(text)


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
