"""The demo's drawing: pure functions from values to characters."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge_runtime.demo import ink, terminal
from edge_runtime.demo.plot import Mark, Strip, axis, labels, trace
from edge_runtime.demo.thumbnail import thumbnail

RATE_HZ = 250.0
TRUE_COLOUR = ink.Pen(16777216)


def strip(end_s=4.0, **changes):
    made = {
        "columns": 40,
        "rows": 8,
        "span_s": 4.0,
        "end_s": end_s,
        "low_mv": -1.0,
        "high_mv": 1.0,
    }
    return Strip(**{**made, **changes})


def sine(seconds=4.0, rate_hz=1.0):
    return np.sin(2 * np.pi * rate_hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ).astype("f4")


def ink_rows(rows, column):
    return [row for row, text in enumerate(rows) if text[column] != " "]


def test_a_sine_of_one_hertz_has_its_crest_on_top_a_quarter_second_in():
    rows = trace(sine(), RATE_HZ, strip())

    assert [len(row) for row in rows] == [40] * 8
    for second in range(4):
        assert ink_rows(rows, second * 10 + 2)[0] == 0
        assert ink_rows(rows, second * 10 + 7)[-1] == 7


def test_a_strip_without_unicode_is_plain_ascii_of_the_same_size():
    rows = trace(sine(), RATE_HZ, strip(unicode=False))

    assert [len(row) for row in rows] == [40] * 8
    assert set("".join(rows)) == {" ", "*"}
    assert ink_rows(rows, 2)[0] == 0


def test_every_column_of_a_strip_is_joined_to_the_next():
    steps = np.where(sine() > 0, 0.9, -0.9).astype("f4")

    rows = trace(steps, RATE_HZ, strip(unicode=False))

    for column in range(1, 39):
        before, here = ink_rows(rows, column), ink_rows(rows, column + 1)
        assert max(min(before), min(here)) <= min(max(before), max(here)) + 1


def test_the_trace_moves_by_whole_dots_so_that_it_does_not_shimmer():
    noise = np.random.default_rng(1).normal(0, 0.3, int(6 * RATE_HZ)).astype("f4")

    early = trace(noise, RATE_HZ, strip(end_s=4.0))
    late = trace(noise, RATE_HZ, strip(end_s=4.5))

    assert [row[5:] for row in early] == [row[:-5] for row in late]


def test_before_the_start_of_the_signal_and_after_its_end_nothing_is_drawn():
    rows = trace(sine(1.0), RATE_HZ, strip(end_s=3.0))

    columns = [column for column in range(40) if ink_rows(rows, column)]
    assert columns[0] == 10
    assert columns[-1] in (19, 20)  # a dot may round to the next character


def test_values_beyond_the_scale_stay_at_its_edge():
    rows = trace(np.full(1000, 50.0, "f4"), RATE_HZ, strip())

    assert ink_rows(rows, 20) == [0]


def test_a_label_stands_under_its_peak():
    view = strip(end_s=4.0)
    peak_s = 1.25  # the crest of the second period

    under = ink.plain([labels([Mark(peak_s, "V")], view)])[0]

    rows = trace(sine(), RATE_HZ, view)
    assert ink_rows(rows, under.index("V"))[0] == 0


@pytest.mark.parametrize("time_s", [-0.1, 4.2])
def test_a_label_outside_the_strip_is_left_out(time_s):
    assert ink.plain([labels([Mark(time_s, "N")], strip())]) == [""]


def test_labels_at_the_edges_stay_inside_whole():
    made = labels([Mark(0.0, "normal"), Mark(3.99, "normal")], strip())

    text = ink.plain([made])[0]
    assert ink.length(made) == 40
    assert text.startswith("normal")
    assert text.endswith("normal")


def test_of_two_labels_that_would_touch_the_first_stays():
    text = ink.plain([labels([Mark(1.0, "NNN"), Mark(1.1, "VVV")], strip())])[0]

    assert text.split() == ["NNN"]


def test_the_axis_has_a_tick_at_each_second_of_the_signal():
    text = ink.plain([axis(strip(end_s=6.5))])[0]

    assert len(text) == 40
    assert [i for i, sign in enumerate(text) if sign == "┴"] == [5, 15, 25, 35]


def two_halves(width=32, height=24):
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (255, 0, 0)  # blue, in BGR
    image[:, width // 2 :] = (0, 0, 255)  # red
    return image


def test_a_thumbnail_shows_the_pixels_in_rgb_and_keeps_the_proportions():
    rows = thumbnail(two_halves(), 16, 20, TRUE_COLOUR)

    assert len(rows) == 6  # 16 x 12 pixels, two in each character
    for row in rows:
        assert [(span.text, span.colour, span.ground) for span in row] == [
            ("▀" * 8, (0, 0, 255), (0, 0, 255)),
            ("▀" * 8, (255, 0, 0), (255, 0, 0)),
        ]


def test_upper_and_lower_pixel_of_a_character_are_its_text_and_its_ground():
    image = np.zeros((2, 4, 3), np.uint8)
    image[1] = 200

    (row,) = thumbnail(image, 4, 1, TRUE_COLOUR)

    assert row == (ink.Span("▀▀▀▀", (0, 0, 0), (200, 200, 200)),)


@pytest.mark.parametrize("pen", [ink.Pen(0), ink.Pen(8), ink.Pen(16777216, unicode=False)])
def test_a_thumbnail_without_colours_or_unicode_is_a_ramp_of_ascii(pen):
    image = np.repeat(np.linspace(0, 255, 40).astype(np.uint8)[None, :, None], 40, 0)
    image = np.repeat(image, 3, 2)

    rows = ink.plain(thumbnail(image, 10, 10, pen))

    assert rows == [" .:-=+*#%@"] * 5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_a_thumbnail_never_exceeds_its_place(size):
    rows = thumbnail(np.zeros((*size, 3), np.uint8), 20, 7, TRUE_COLOUR)

    assert 1 <= len(rows) <= 7
    assert all(1 <= ink.length(row) <= 20 for row in rows)


def test_clipping_and_padding_count_characters_not_escape_sequences():
    spans = ink.line(ink.Span("abc", ink.RED), "def")

    assert ink.plain([ink.clip(spans, 4)]) == ["abcd"]
    assert ink.length(ink.pad(spans, 9)) == 9
    assert ink.length(ink.pad(spans, 2)) == 2


@pytest.mark.parametrize("depth", [8, 256, 16777216])
def test_painted_text_is_the_same_text_and_ends_in_the_terminals_own_colours(depth):
    (text,) = ink.painted([ink.line("a ", ink.Span("b", ink.RED, bold=True))], ink.Pen(depth))

    assert re.sub(r"\x1b\[[0-9;]*m", "", text) == "a b"
    assert text.endswith("\x1b[0m")


@pytest.mark.parametrize(
    ("environment", "depth"),
    [
        ({"NO_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color"}, 0),
        ({"NO_COLOR": "", "TERM": "xterm-256color"}, 256),
        ({"COLORTERM": "truecolor"}, 16777216),
        ({"TERM": "linux"}, 8),
    ],
)
def test_the_environment_says_how_many_colours_there_are(environment, depth):
    assert ink.pen_for(environment, "utf-8", terminal=True).depth == depth


def test_a_pipe_gets_no_colours_whatever_the_terminal_can():
    pen = ink.pen_for({"COLORTERM": "truecolor"}, "utf-8", terminal=False)

    assert pen == ink.Pen(0, unicode=True)


@pytest.mark.parametrize(("encoding", "wide"), [("UTF-8", True), ("ascii", False), (None, False)])
def test_characters_beyond_ascii_are_used_only_where_the_encoding_has_them(encoding, wide):
    assert ink.pen_for({}, encoding, terminal=True).unicode is wide


def test_without_colours_nothing_is_painted():
    assert ink.painted([(ink.Span("x", ink.RED),)], ink.Pen(0)) == ["x"]


@pytest.mark.parametrize(
    ("colour", "code"),
    [
        ((255, 0, 0), "196"),
        ((0, 255, 0), "46"),
        ((0, 0, 255), "21"),
        ((255, 255, 255), "231"),
        ((0, 0, 0), "16"),
        ((128, 128, 128), "244"),
    ],
)
def test_colours_of_a_256_colour_terminal_are_the_nearest(colour, code):
    (text,) = ink.painted([(ink.Span("x", colour),)], ink.Pen(256))

    assert text.startswith(f"\x1b[38;5;{code}m")


def test_leaving_shows_the_cursor_and_undoes_all_that_entering_did():
    for mode in re.findall(r"\x1b\[\?(\d+)([hl])", terminal.ENTER):
        undone = (mode[0], "h" if mode[1] == "l" else "l")
        assert undone in re.findall(r"\x1b\[\?(\d+)([hl])", terminal.LEAVE)
    assert "\x1b[?25h" in terminal.LEAVE


def test_blocks_stand_beside_each_other():
    rows = ink.beside([ink.fill("ab")], [ink.fill("x"), ink.fill("y")], 4)

    assert ink.plain(rows) == ["ab  x", "    y"]
