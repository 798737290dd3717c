"""`edge-run ecg`: work on ECG recordings: score, export, report."""

from __future__ import annotations

import click

from .ecg_export import export
from .ecg_report import report
from .ecg_score import score


@click.group("ecg")
def command() -> None:
    """Score a detector or a model on recordings, write recordings in other formats, report.

    \b
    Examples:
        edge-run ecg score data/mitdb
        edge-run ecg score data/mitdb --model ecg-beats --split ds2 --write out --as test
        edge-run ecg export data/mitdb/100 -o 100.edf --to edf --annotator atr
        edge-run ecg report data/mitdb/208
    """


command.add_command(score)
command.add_command(export)
command.add_command(report)
