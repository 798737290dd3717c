"""Pictures of training, as SVG text: what was taken for what, and how the loss fell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_CELL, _EDGE, _FONT = 46, 110, 'font-family="sans-serif" font-size="12"'


def confusion_svg(
    counts: Sequence[Sequence[int]], rows: Sequence[str], columns: Sequence[str]
) -> str:
    """Rows: what it was; columns: what it was called. Darker: a larger share of the row."""
    parts = []
    for y, (name, row) in enumerate(zip(rows, counts, strict=True)):
        parts.append(_text(_EDGE - 6, _EDGE + (y + 0.6) * _CELL, name, "end"))
        for x, count in enumerate(row):
            share = count / max(sum(row), 1)
            left, top = _EDGE + x * _CELL, _EDGE + y * _CELL
            shade = round(255 - 200 * share)
            parts.append(
                f'<rect x="{left}" y="{top}" width="{_CELL}" height="{_CELL}" '
                f'fill="rgb({shade},{shade},255)" stroke="white"/>'
            )
            ink = "white" if share > 0.6 else "black"
            parts.append(_text(left + _CELL / 2, top + 0.6 * _CELL, str(count), "middle", ink))
    for x, name in enumerate(columns):
        at = f"{_EDGE + (x + 0.6) * _CELL} {_EDGE - 8}"
        parts.append(f'<g transform="translate({at}) rotate(-45)">{_text(0, 0, name, "start")}</g>')
    return _svg(_EDGE + _CELL * len(columns) + 40, _EDGE + _CELL * len(rows) + 10, parts)


def curves_svg(series: Mapping[str, Sequence[float]], title: str) -> str:
    """One line per series over the epochs, from zero to the largest value of all."""
    width, height, left, top = 480, 240, 50, 30
    most = max(max(values) for values in series.values())
    parts = [_text(left, 18, title, "start"), _text(left - 6, top + 8, f"{most:.3g}", "end")]
    parts.append(_text(left - 6, top + height, "0", "end"))
    parts.append(
        f'<path d="M{left} {top} V{top + height} H{left + width}" fill="none" stroke="black"/>'
    )
    for number, (name, values) in enumerate(series.items()):
        colour = ("#1f4e9c", "#c8501e", "#2d7d46", "#7a3b8f")[number % 4]
        step = width / max(len(values) - 1, 1)
        points = " ".join(
            f"{left + step * at:.1f},{top + height * (1 - value / most):.1f}"
            for at, value in enumerate(values)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(_text(left + width - 4, top + 14 + 16 * number, name, "end", colour))
    longest = max(len(values) for values in series.values())
    parts.append(_text(left + width, top + height + 18, f"epoch {longest}", "end"))
    return _svg(left + width + 20, top + height + 30, parts)


def _text(x: float, y: float, text: str, anchor: str, colour: str = "black") -> str:
    where = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"'
    return f'<text {where} fill="{colour}" {_FONT}>{text}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )
