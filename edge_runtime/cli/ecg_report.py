"""`edge-run ecg report`: one page that shows what is in a record."""

from __future__ import annotations

from pathlib import Path

import click

from edge_runtime.errors import ConfigError

NO_MODEL = "none"


@click.command("report")
@click.argument("record", metavar="RECORD")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The page; default RECORD.html here."
)
@click.option(
    "--model",
    default="ecg-beats",
    show_default=True,
    help="Names the beats: a model directory or a shipped model; none leaves them without class.",
)
@click.option(
    "--lead", default="", help="Look for beats in this lead; default MLII, II or the first."
)
@click.option(
    "--file-rate", type=click.FloatRange(0, min_open=True), help="Of a CSV without times."
)
@click.option("--force", is_flag=True, help="Replace a page that is there.")
def report(
    *,
    record: str,
    output: Path | None,
    model: str,
    lead: str,
    file_rate: float | None,
    force: bool,
) -> None:
    """Write a page about RECORD: rate, quality, beats, rhythm, strips, full disclosure.

    RECORD is a WFDB record, an EDF, CSV or DICOM file, or ecgsyn. The page is one HTML file that
    needs nothing else; to make a PDF, print it (A4, 100 %: 25 mm/s and 10 mm/mV are then true).
    Engineering software, not a medical device.

    \b
    Examples:
        edge-run ecg report data/mitdb/208
        edge-run ecg report night.edf --lead II -o night.html
    """
    from edge_runtime.holter.report_page import report as written
    from edge_runtime.replay.recording import Wanted

    page = output or Path(f"{Path(record.partition(':')[0].removesuffix('.hea')).name}.html")
    if page.exists() and not force:
        raise ConfigError(f"{page}: is there already; give -o another name, or --force")
    wanted = Wanted(record, leads=(lead,) if lead else (), file_rate_hz=file_rate or 0.0)
    text = written(wanted, "" if model == NO_MODEL else model)
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{page}: {exc.strerror}") from exc
    click.echo(f"{page}: {len(text.encode()) / 1e6:.1f} MB")
