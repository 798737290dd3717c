"""`edge-run replay`: a recording as a live source, with faults on order."""

from __future__ import annotations

import math
import signal
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.errors import BadOptionError, ConfigError

if TYPE_CHECKING:
    from types import FrameType

    from edge_runtime.replay.faults import Fault
    from edge_runtime.replay.replay import Order, Sent
    from edge_runtime.replay.truth import Truth


SLOWEST = 0.01


def show_formats(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Every form in which a recording can be sent, with its rate."""
    if not asked or ctx.resilient_parsing:
        return
    from edge_runtime import frontend
    from edge_runtime.replay.formats import PLAIN

    for name, about in PLAIN.items():
        click.echo(f"{name:<15} {'as it is':>8}  {about}")
    for name in frontend.names():
        front = frontend.load(name)
        click.echo(f"{name:<15} {front.rate_hz:5g} Hz  {front.title}")
    ctx.exit()


@click.command("replay")
@click.argument("record", metavar="RECORD")
@click.option("--to", "to", default="pty", show_default=True, metavar="WHERE", help="See below.")
@click.option(
    "--as",
    "form",
    default="timed-lines",
    show_default=True,
    metavar="FRONT-END",
    help="What the board speaks; --formats lists them.",
)
@click.option(
    "--speed", default="1", show_default=True, help="1 as it was, 100 so much faster, max."
)
@click.option("--loop", is_flag=True, help="Begin again at the end, until stopped.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="See below; repeatable.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of everything that is random.")
@click.option("--leads", default="", metavar="I,II,...", help="Which leads, in this order.")
@click.option(
    "--rate", "rate_hz", type=click.FloatRange(0, min_open=True), help="Samples per second."
)
@click.option(
    "--file-rate", type=click.FloatRange(0, min_open=True), help="Of a CSV without times."
)
@click.option("--mv-per-count", type=float, help="Gain of a front end that does not declare it.")
@click.option("--noise-from", default="", metavar="DIR", help="Folder of the records bw, ma, em.")
@click.option(
    "--truth", type=click.Path(path_type=Path), help="Write beats and faults to this file."
)
@click.option("--no-wait", is_flag=True, help="Start before somebody listens.")
@click.option(
    "--formats",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_formats,
    help="List what --as knows, and leave.",
)
def command(
    *,
    record: str,
    to: str,
    form: str,
    speed: str,
    loop: bool,
    faults: tuple[str, ...],
    seed: int,
    leads: str,
    rate_hz: float | None,
    file_rate: float | None,
    mv_per_count: float | None,
    noise_from: str,
    truth: Path | None,
    no_wait: bool,
) -> None:
    """Send RECORD as a board would: a WFDB record, an EDF, CSV or DICOM file, or ecgsyn.

    WHERE is pty (a serial port of this computer), pty:PATH (with a link to it), tcp://HOST:PORT,
    udp://HOST:PORT or stdout. The first line on standard output says what to open; the replay
    starts with the first reader.

    FAULT is KIND[=VALUE][@START[+SECONDS][/EVERY]], in seconds of the signal:
    lead-off@30+5, flat, clip=1.5mV, noise=bw:12dB, noise=white:6dB, gap@60+2/600, duplicate,
    out-of-order, bit-errors=1e-4, truncate=0.01, stall@30+5, unplug@60+10, rate=+1%, drift=0.5%.

    \b
    Examples:
        edge-run replay data/mitdb/100 --to pty:/tmp/board --as ad8232 --fault lead-off@30+5
        edge-run replay ecgsyn:3600 --to tcp://127.0.0.1:9000 --speed 100 --truth truth.jsonl
    """
    from edge_runtime.replay.truth import Truth

    order = order_of(
        record, form, leads, (rate_hz, file_rate, mv_per_count), loop=loop, seed=seed
    )._replace(faults=tuple(map(fault_of, faults)), noise_from=noise_from)
    log = Truth(truth)
    try:
        sent = play(order, log, to=to, speed=speed_of(speed), wait=not no_wait)
    finally:
        log.close()
    click.echo(summary(sent), err=True)


def order_of(
    record: str,
    form: str,
    leads: str,
    scales: tuple[float | None, float | None, float | None],
    *,
    loop: bool,
    seed: int,
) -> Order:
    """What is to be played; `scales` are rate, rate of the file, millivolts in a count."""
    from edge_runtime import frontend
    from edge_runtime.replay import formats
    from edge_runtime.replay.recording import Recording, Wanted
    from edge_runtime.replay.replay import Order

    rate_hz, file_rate_hz, mv_per_count = scales
    plain = form in formats.PLAIN
    declared = None if plain else frontend.load(form)
    recording = Recording(
        Wanted(
            record,
            tuple(lead.strip() for lead in leads.split(",") if lead.strip()),
            tuple(channel.lead for channel in declared.channel) if declared else (),
            rate_hz or (declared.rate_hz if declared else 0.0),
            file_rate_hz or 0.0,
            loop,
            seed,
        )
    )
    recording.open()
    front = declared or formats.plain(form, recording.leads, recording.rate_hz)
    return Order(recording, formats.scaled(front, mv_per_count), seed=seed)


def play(order: Order, truth: Truth, *, to: str, speed: float, wait: bool) -> Sent:
    """Open the way out, say where, and play. Raises ConfigError."""
    from edge_runtime.replay.clock import Pace
    from edge_runtime.replay.replay import Replay
    from edge_runtime.replay.transport import transport, until_heard

    stop = threading.Event()
    stop_on_signals(stop)
    replay = Replay(order, truth)
    way, pace = transport(to, stop), Pace(speed, stop)
    try:
        way.open()
        if way.where:
            click.echo(way.where)
        if not wait or until_heard(way, stop):
            truth.write("start", **facts(order, speed))
            truth.flush()
            replay.run(way, pace)
        truth.write("end", **asdict(replay.sent))
    finally:
        way.close()
    return replay.sent


def facts(order: Order, speed: float) -> dict[str, object]:
    """What the first line of the truth says."""
    return {
        "record": order.recording.name,
        "as": order.front.name,
        "rate_hz": order.recording.rate_hz,
        "leads": order.recording.leads,
        "mv_per_count": [channel.mv_per_count for channel in order.front.channel],
        "began_ns": time.time_ns(),
        "speed": "max" if math.isinf(speed) else speed,
        "seed": order.seed,
    }


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM or Ctrl-C ends the replay; a second one is not caught."""

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def fault_of(text: str) -> Fault:
    """Raises ConfigError that says how to write it."""
    from edge_runtime.replay.faults import parse

    try:
        return parse(text)
    except BadOptionError as exc:
        raise ConfigError(f"--fault {exc.message}") from exc


def speed_of(text: str) -> float:
    """Signal time over real time; inf for "max". Raises ConfigError."""
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed >= SLOWEST:  # nan too
        raise ConfigError(f"--speed {text}: write 1, 100 (so much faster) or max")
    return speed


def summary(sent: Sent) -> str:
    """What was done, in a line."""
    lost = f", {sent.lost_bytes} bytes found no reader" if sent.lost_bytes else ""
    late = f", at most {1000 * sent.late_s:.0f} ms late" if sent.late_s else ""
    return f"{sent.samples} samples in {sent.packets} packets, {sent.bytes} bytes{lost}{late}"
