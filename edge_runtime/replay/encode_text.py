"""Lines of text, as microcontrollers print them: a line per sample, CR LF at its end."""

from __future__ import annotations

from .wire_format import Converter, Samples

WRAP_US = 1 << 32  # micros() of a 32-bit board


class Lines:
    """Counts between commas; the board's clock in microseconds stands where it is declared.

    Args:
        converter: makes the counts.
        t_us_column: the cell of the clock, or None.
        marker: what stands in place of the counts while an electrode is off; "" leaves them.
    """

    def __init__(self, converter: Converter, t_us_column: int | None, marker: str) -> None:
        self._converter, self._t_us_column, self._marker = converter, t_us_column, marker
        self._width = max(*converter.columns, t_us_column or 0, 0) + 1

    def __call__(self, samples: Samples) -> list[bytes]:
        """A line for each sample."""
        marked = samples.off and self._marker
        table: list[list[object]] = self._converter.counts(samples, self._width).tolist()
        if marked:
            table = [[self._marker] for _ in table]
        if self._t_us_column is not None:
            for cells, time in zip(table, (samples.times_us % WRAP_US).tolist(), strict=True):
                cells[self._t_us_column : self._t_us_column + (not marked)] = [time]
        return [(",".join(map(str, cells)) + "\r\n").encode("ascii") for cells in table]
