"""`edge-run bench`: how fast a model runs on this machine, in every way it can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_runtime.manifest import Manifest
    from edge_runtime.workbench.bench import Combination, Measurement

HEAD = (
    *("file", "delegate", "threads", "p50 ms", "p99 ms", "min ms", "cpu ms"),
    *("load ms", "MB loaded", "MB run", "calls"),
)
MAX_THREADS = 64
INPUTS = {"golden": "the golden vectors", "random": "random numbers, the same ones every time"}


def numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Numbers of threads with commas between them, such as 1,2,4."""
    try:
        found = tuple(int(part) for part in value.split(","))
    except ValueError:
        found = (0,)
    if not all(1 <= number <= MAX_THREADS for number in found):
        message = f"'{value}' is not a list of 1 to {MAX_THREADS} such as 1,2"
        raise click.BadParameter(message, ctx, param)
    return found


@click.command("bench")
@click.argument("model", metavar="MODEL")
@click.option(
    "--manifest",
    "manifest_path",
    type=click.Path(path_type=Path),
    help="Manifest of a bare file: for open shapes and the range of the inputs.",
)
@click.option("--delegates", default="", metavar="A,B", help="Only these; default: all.")
@click.option(
    "--threads", callback=numbers, default="1,2", show_default=True, metavar="N,N", help="Of each."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.05, 600),
    default=3.0,
    show_default=True,
    help="Of measuring, for each combination.",
)
@click.option(
    "--rate",
    "rate_hz",
    type=click.FloatRange(0, 10_000),
    default=0.0,
    help="Calls per second, waiting in between as a stream does; default: no waiting.",
)
@click.option("--json", "as_json", is_flag=True, help="Figures as one JSON document.")
def command(
    *,
    model: str,
    manifest_path: Path | None,
    delegates: str,
    threads: tuple[int, ...],
    seconds: float,
    rate_hz: float,
    as_json: bool,
) -> None:
    """Measure MODEL: a model directory, a shipped model's name, or a bare file.

    Every weights file runs on every delegate with each number of threads, each in a process of
    its own; the processes take turns in short rounds. `cpu ms` counts all threads: with --rate,
    threads that spin while they wait show there.

    \b
    Examples:
        edge-run bench ecg-beats
        edge-run bench model.tflite --delegates xnnpack,cpu --threads 1,2,4
        edge-run bench model.onnx --rate 30 --seconds 10
    """
    from edge_runtime import manifest, shipped
    from edge_runtime.errors import ConfigError
    from edge_runtime.workbench import bench

    path = shipped.resolve(model)
    if not path.exists():
        raise ConfigError(f"{model}: no such model directory, file or shipped model")
    contract = None
    if manifest_path or path.is_dir():
        contract = manifest.read(manifest_path or path)
    names = [name.strip() for name in delegates.split(",") if name.strip()]
    ways = bench.combinations(path, contract, names, threads)
    found = measured(ways, contract, seconds, rate_hz)
    report(found, rate_hz, as_json)


def measured(
    ways: Sequence[Combination], contract: Manifest | None, seconds: float, rate_hz: float
) -> list[Measurement]:
    """Run it all, showing how far it is."""
    from edge_runtime.workbench import bench

    from .columns import progress

    found = []
    with progress(len(ways) * (bench.ROUNDS + 1), "measuring") as step:
        for measurement in bench.measure(ways, contract, seconds, rate_hz):
            if measurement is None:
                step()
            else:
                found.append(measurement)
    return found


def report(found: Sequence[Measurement], rate_hz: float, as_json: bool) -> None:
    """Print the figures. Raises ModelLoadError when there are none."""
    from edge_runtime.errors import ModelLoadError
    from edge_runtime.workbench import bench

    if not any(measurement.calls for measurement in found):
        reason = found[0].unavailable if found else "no delegate is left to run it"
        raise ModelLoadError(f"nothing could be measured: {reason}")
    machine = bench.machine()
    if as_json:
        facts = [measurement.facts() for measurement in found]
        click.echo(json.dumps({"machine": machine, "rate_hz": rate_hz, "runs": facts}, indent=2))
        return
    for line in lines(found, rate_hz, machine):
        click.echo(line)


def lines(found: Sequence[Measurement], rate_hz: float, machine: dict[str, object]) -> list[str]:
    """The table, what could not run, and where the figures are from."""
    from .columns import table

    ran = [measurement for measurement in found if measurement.calls]
    text = [table(HEAD, [row(measurement) for measurement in ran], right=HEAD[2:])]
    reasons = {(m.file, m.delegate): m.unavailable for m in found if m.unavailable}
    for (file, delegate), reason in reasons.items():
        text.append(f"not available: {file} on {delegate}: {reason}")
    inputs = ", ".join(sorted({INPUTS[measurement.input] for measurement in ran}))
    pace = f"{rate_hz:g} calls a second" if rate_hz else "without a pause"
    runtimes = ", ".join(sorted({measurement.runtime for measurement in ran}))
    return [
        *text,
        f"inputs: {inputs}; {pace}; load includes importing the runtime; MB of the whole process",
        f"figures of this machine, now: {machine['cpu']}, {machine['cores']} CPUs, {runtimes}",
    ]


def row(measurement: Measurement) -> list[str]:
    """One line of the table."""
    times = (measurement.p50_ms, measurement.p99_ms, measurement.min_ms, measurement.cpu_ms)
    return [
        measurement.file,
        measurement.delegate,
        str(measurement.threads),
        *(f"{value:.3f}" for value in times),
        f"{measurement.load_ms:.0f}",
        f"{measurement.rss_load_mb:.1f}",
        f"{measurement.rss_run_mb:.1f}",
        str(measurement.calls),
    ]
