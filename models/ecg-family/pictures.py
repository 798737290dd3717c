"""Training curves and confusion matrices as SVG, written by hand: no plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" '
    'font-family="sans-serif" font-size="12"><rect width="{w}" height="{h}" fill="white"/>'
)
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b7791f")


def curves(title: str, epochs: Sequence[Mapping[str, float]], chosen: int) -> str:
    """Losses by epoch; the chosen epoch is marked."""
    names = [key for key in epochs[0] if key != "seconds"]
    top = max(row[name] for row in epochs for name in names)
    made = [_HEAD.format(w=640, h=360), f'<text x="60" y="22" font-size="14">{title}</text>']
    x = [60 + 400 * at / max(1, len(epochs) - 1) for at in range(len(epochs))]
    for tick in range(5):
        y = 320 - 280 * tick / 4
        made.append(f'<path d="M60 {y:.0f}H460" stroke="#ddd"/>')
        made.append(f'<text x="52" y="{y + 4:.0f}" text-anchor="end">{top * tick / 4:.2f}</text>')
    at = x[chosen - 1]
    made.append(f'<path d="M{at:.1f} 40V320" stroke="#888" stroke-dasharray="4 3"/>')
    made.append('<text x="60" y="340">epoch 1</text><text x="460" y="340" text-anchor="end">')
    made.append(f"epoch {len(epochs)}; dashed: epoch {chosen}, the one kept</text>")
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(
            f"{a:.1f},{320 - 280 * row[name] / top:.1f}" for a, row in zip(x, epochs, strict=True)
        )
        made.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        made.append(
            f'<text x="480" y="{60 + 20 * number}" fill="{colour}">{name.replace("_", " ")}</text>'
        )
    return "\n".join([*made, "</svg>", ""])


def matrices(
    title: str, labels: Sequence[str], tables: Mapping[str, Sequence[Sequence[int]]]
) -> str:
    """Confusion matrices side by side; rows are the reference, shading is the share of a row."""
    size, left, gap = 70, 70, 100
    step = size * len(labels) + gap
    wide, high = left + step * len(tables), 130 + size * len(labels)
    made = [_HEAD.format(w=wide, h=high), f'<text x="{left}" y="22" font-size="14">{title}</text>']
    for number, (name, table) in enumerate(tables.items()):
        x0, y0 = left + step * number, 80
        made.append(f'<text x="{x0}" y="48">{name}: called</text>')
        for column, label in enumerate(labels):
            made.append(
                f'<text x="{x0 + size * (column + 0.5)}" y="70" text-anchor="middle">{label}</text>'
            )
        for row, counts in enumerate(table):
            y = y0 + size * row
            made.append(
                f'<text x="{x0 - 8}" y="{y + size / 2 + 4}" text-anchor="end">{labels[row]}</text>'
            )
            for column, count in enumerate(counts):
                share = count / max(1, sum(counts))
                shade = round(255 - 170 * share)
                x = x0 + size * column
                made.append(
                    f'<rect x="{x}" y="{y}" width="{size}" height="{size}" stroke="white" '
                    f'fill="rgb({shade},{round(255 - 90 * share)},255)"/>'
                    f'<text x="{x + size / 2}" y="{y + size / 2 + 4}" text-anchor="middle">'
                    f"{count}</text>"
                )
    made.append(f'<text x="{left}" y="{high - 14}">rows: reference</text>')
    return "\n".join([*made, "</svg>", ""])
