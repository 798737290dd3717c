"""`edge-run ecg export`: write a recording as EDF+, WFDB or FHIR."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.errors import ConfigError

from .ecg_score import seconds

if TYPE_CHECKING:
    from edge_runtime.holter.part import Part

FORMATS = ("edf", "wfdb", "fhir", "fhir-r4")
_NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)  # what WFDB allows as the name of a record


@click.command("export")
@click.argument("record", metavar="RECORD")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="File; for wfdb, the record.",
)
@click.option(
    "--to", "kind", required=True, type=click.Choice(FORMATS), help="fhir is R5, fhir-r4 is R4."
)
@click.option("--annotator", default="", help="Suffix of the annotations to take along.")
@click.option("--leads", default="", help="Names with commas between; default: all in volts.")
@click.option("--from", "begin", default="0", show_default=True, help="Where to begin.")
@click.option("--until", "end", help="Where to stop; default: the end.")
def export(
    *, record: str, out: Path, kind: str, annotator: str, leads: str, begin: str, end: str | None
) -> None:
    """Write a WFDB record, or a part of it, in another format.

    edf is EDF+ with an annotation signal; wfdb is format 16 with header and annotations; fhir is
    an Observation with SampledData, which has no place for annotations. Samples keep the
    recorder's resolution when it fits 16 bits. Nothing is overwritten.

    Exit codes: 0 written; 1 the record is damaged; 2 an option is wrong.

    \b
    Examples:
        edge-run ecg export data/mitdb/100 -o 100.edf --to edf --annotator atr
        edge-run ecg export data/mitdb/100 -o out/part --to wfdb --from 5:00 --until 5:30
        edge-run ecg export data/mitdb/100 -o strip.json --to fhir --leads MLII --until 10
    """
    from edge_runtime.holter.part import read_part
    from edge_runtime.holter.wfdb_files import write

    if annotator and kind.startswith("fhir"):
        raise ConfigError("--annotator: FHIR has no place for annotations; use edf or wfdb")
    path = Path(record.removesuffix(".hea"))
    names = [name for name in leads.split(",") if name.strip()]
    part = read_part(path, names, seconds(begin), seconds(end) if end else None, annotator)
    files = encode(part, kind, out, annotator)
    for file in files:
        if file.exists():
            raise ConfigError(f"{file}: is there already; choose another name with -o")
    for file, content in files.items():
        write(file, content)


def encode(part: Part, kind: str, out: Path, annotator: str) -> dict[Path, bytes]:
    """Every file to write, with its content. Raises ConfigError."""
    if kind == "edf":
        from edge_runtime.holter.edf import encode_edf

        return {out: encode_edf(part)}
    if kind == "wfdb":
        return _wfdb(part, out, annotator)
    from edge_runtime.holter.fhir import observation

    resource = observation(part, "R4" if kind == "fhir-r4" else "R5")
    return {out: (json.dumps(resource, indent=1) + "\n").encode()}


def _wfdb(part: Part, out: Path, annotator: str) -> dict[Path, bytes]:
    from edge_runtime.holter.wfdb_files import encode_annotations, encode_record

    if not _NAME.fullmatch(out.name):
        raise ConfigError(f"-o {out}: the name of a WFDB record is letters, digits and _ only")
    header, samples = encode_record(out.name, part)
    files = {
        out.with_name(f"{out.name}.hea"): header,
        out.with_name(f"{out.name}.dat"): samples,
    }
    if part.marks is not None:
        files[out.with_name(f"{out.name}.{annotator}")] = encode_annotations(part.marks)
    return files
