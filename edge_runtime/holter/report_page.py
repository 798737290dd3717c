"""The report as one page of HTML that needs nothing else, made to be read and to be printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.replay.recording import Wanted

from . import report_plots as plots
from .report_events import ORDER, Doubt, Episode, doubts, episodes, lasting, said, tallied
from .report_pieces import beat_windows, medians, strips
from .report_read import collect, examine
from .report_strips import full_disclosure, strip
from .report_study import Study, extremes, normal_intervals
from .report_style import STYLE
from .report_svg import clock

if TYPE_CHECKING:
    from .report_pieces import Piece

MOST_ROWS = 40
NOTICE = "Engineering software, not a medical device: nothing here is a diagnosis."
_LEGEND = (
    '<p class="legend"><i class="q-good"></i>good <i class="q-limited"></i>rate only '
    '<i class="q-bad"></i>bad <i class="q-missing"></i>missing '
    '<i class="event high"></i>high <i class="event medium"></i>medium '
    '<i class="event low"></i>low <i class="event information"></i>information '
    "<span>band: slowest to fastest beat</span></p>"
)


def report(wanted: Wanted, model: str) -> str:
    """Read a record and write the page. Raises what `report_read.examine` raises."""
    study = examine(wanted, model)
    found = episodes(study)
    pieces, beats = strips(study, found), beat_windows(study)
    collect(wanted, study, [window for _, window in (*pieces, *beats)])
    shapes = plots.shapes(medians(beats))
    return "".join(_page(study, found, pieces, shapes))


def _page(
    study: Study, found: list[Episode], pieces: Sequence[Piece], shapes: str
) -> Iterator[str]:
    name = escape(Path(study.facts.record.removesuffix(".hea")).name)
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ECG {name}</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    yield f'<main><header><h1>ECG report <span>{name}</span></h1><p class="notice">{NOTICE}</p>'
    yield _facts(study)
    yield f"</header>{_cards(study)}"
    yield f"<section><h2>Rate, events, quality</h2>{plots.trend(study, found)}{_LEGEND}</section>"
    yield '<section class="row"><figure><figcaption>Interval against the one before</figcaption>'
    yield f"{plots.poincare(study)}</figure><figure><figcaption>Intervals</figcaption>"
    yield f"{plots.histogram(study)}</figure><figure><figcaption>Beats, "
    yield f"{escape(study.facts.analysed)}</figcaption>{shapes}</figure></section>"
    yield from _events(found, doubts(study), study.facts.seconds)
    yield '<section class="strips"><h2>Strips <span>25 mm/s, 10 mm/mV when printed at 100 %; '
    yield "intervals in ms</span></h2>"
    for caption, window in pieces:
        yield strip(window, study.beats, caption)
    pictures, scale = full_disclosure(study)
    yield f'</section><section class="full"><h2>Full disclosure <span>{escape(scale)}</span></h2>'
    yield from pictures
    yield f"</section>{_method(study)}</main></body></html>\n"


def _facts(study: Study) -> str:
    facts = study.facts
    model = facts.model or "none: beats have no class"
    rows = (
        ("Record", facts.record),
        ("Length", f"{clock(facts.seconds)} at {facts.rate_hz:g} samples per second"),
        ("Leads", f"{', '.join(facts.leads)}; beats were looked for in {facts.analysed}"),
        ("Model", model),
        ("Software", f"edge-run {facts.version}"),
    )
    cells = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<dl>{cells}</dl>"


def _cards(study: Study) -> str:
    """The numbers that one looks for first."""
    made = [("Beats", f"{len(study.beats):,}".replace(",", " "), _classes(study))]
    lengths = np.array([rr_s for _, rr_s in study.intervals])
    if len(lengths):
        made.append(("Mean rate", f"{60 / lengths.mean():.0f}", "bpm"))
    ends = extremes(study.beats)
    if ends is not None:
        (slow, slow_at), (fast, fast_at) = ends
        made.append(("Slowest", f"{slow:.0f}", f"bpm at {clock(slow_at)}"))
        made.append(("Fastest", f"{fast:.0f}", f"bpm at {clock(fast_at)}"))
    if len(lengths):
        at = int(lengths.argmax())
        made.append(
            ("Longest interval", f"{lengths[at]:.2f}", f"s at {clock(study.intervals[at][0])}")
        )
    normal = normal_intervals(study.beats)
    if len(normal) > 2:
        made.append(("SDNN", f"{1000 * normal.std(ddof=1):.0f}", "ms, normal to normal"))
    if study.quality:
        good = study.share("good")
        rest = f"limited {study.share('limited'):.0%}, bad {study.share('bad'):.0%}"
        made.append(("Good signal", f"{good:.0%}", rest))
    cells = (
        f"<div><b>{value}</b><i>{name}</i><small>{escape(note)}</small></div>"
        for name, value, note in made
    )
    return f'<section class="cards">{"".join(cells)}</section>'


def _classes(study: Study) -> str:
    if not study.named:
        return "no classes"
    tally = Counter(beat.label or "?" for beat in study.beats)
    return ", ".join(f"{label} {tally[label]}" for label in sorted(tally, key="NSVF?Q".find))


def _events(found: list[Episode], unsaid: list[Doubt], seconds: float) -> Iterator[str]:
    yield "<section><h2>Rhythm and rules</h2>"
    kinds = tallied(found, seconds)
    if not kinds:
        yield "<p>No rule found anything.</p>"
    else:
        yield _table(("Event", "Times", "First", "Longest", "In all", "Limit", "Rule"), kinds)
    grave = [episode for episode in found if episode.priority in ("high", "medium")]
    if grave:
        yield "<h3>Of high and medium priority</h3>"
        rows = [_row(episode) for episode in grave[:MOST_ROWS]]
        yield _table(("Event", "Begin", "Lasts", "Measured", "Limit", "Rule"), rows)
    if len(grave) > MOST_ROWS:
        yield f"<p>{len(grave) - MOST_ROWS} more are in the picture above only.</p>"
    if unsaid:
        yield "<h3>What rules could not judge</h3>"
        rows = [
            (doubt.rule, doubt.why, str(doubt.times), clock(doubt.seconds))
            for doubt in unsaid[: MOST_ROWS // 3]
        ]
        yield _table(("Rules", "Why", "Times", "In all"), rows)
    yield "</section>"


def _row(episode: Episode) -> tuple[str, ...]:
    lasts = "to the end" if episode.end_s is None else lasting(episode.end_s - episode.begin_s)
    return (
        f"{episode.priority}: {episode.title}",
        clock(episode.begin_s),
        lasts,
        said(episode.values),
        said(episode.limits),
        episode.rule,
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a first cell "high: Asystole" gets the colour of its priority."""
    heads = "".join(f"<th>{name}</th>" for name in head)
    body = []
    for first, *rest in rows:
        priority, _, title = first.partition(": ")
        mark = f'<i class="event {priority}"></i>' if priority in ORDER and title else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        body.append(f"<tr><td>{mark}{escape(title if mark else first)}</td>{cells}</tr>")
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _method(study: Study) -> str:
    facts = study.facts
    rules = ", ".join(facts.rules) or "none that spoke"
    return (
        "<footer><h2>How to read it</h2><p>Times count from the start of the record. Beats are "
        "those of a causal detector; their classes N (normal), S (supraventricular), V "
        "(ventricular) are the model's and are wrong at times: look at the strips; ? stands where "
        "the signal allowed none. Rates of the slowest and fastest stretch are means of 8 "
        "intervals. Quality is judged each second over the last 10 s; on a bad signal rules say "
        "nothing. Amplitudes are those of the file.</p>"
        f"<p>Rules: {escape(rules)}. To make a PDF, print this page.</p>"
        f'<p class="notice">{NOTICE}</p>'
        "</footer>"
    )
