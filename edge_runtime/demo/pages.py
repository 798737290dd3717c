"""What the demo shows: its opening, the live page, and the summary, as lines."""

from __future__ import annotations

from .ink import CYAN, GREEN, GREY, RED, Line, Span, clip, fill, line
from .session import Session
from .show import Canvas
from .tally import milliseconds

MIN_WIDTH, MIN_HEIGHT = 30, 8  # a smaller terminal gets one line


def opening(session: Session) -> list[Line]:
    """What is about to run: the run file, whole, and who listens."""
    show = session.show
    return [
        line(
            Span(f"edge-run demo {show.kind}", bold=True),
            f", {show.seconds:g} s: a generated stream, a real pipeline, real MQTT.",
        ),
        line(f"1. An MQTT broker of our own listens at {session.url}."),
        line("2. A second process runs ", Span(f"edge-run start {session.run_file}", CYAN), ":"),
        *(line("     ", Span(text, GREY)) for text in session.run_text.splitlines()),
        line("3. This process subscribes and shows what arrives. Ctrl-C ends it with a summary."),
    ]


def page(session: Session, canvas: Canvas) -> list[Line]:
    """The live view, never larger than the canvas."""
    if canvas.width < MIN_WIDTH or canvas.height < MIN_HEIGHT:
        return [clip(fill(session.show.line()), canvas.width)]
    body_height = canvas.height - 4
    body = session.show.picture(Canvas(canvas.width, body_height, canvas.now_ns, canvas.pen))
    gap: list[Line] = [()] * (body_height - len(body))
    lines = [_title(session), (), *body, *gap, _mqtt(session), _footer(session)]
    return [clip(spans, canvas.width) for spans in lines]


def _title(session: Session) -> Line:
    about = session.subscriber.about
    what = "starting the pipeline ..."
    if about is not None:
        what = f"{about.model} {about.version} on {about.backend}/{about.delegate}"
    return line(
        Span(f"edge-run demo {session.show.kind}", bold=True),
        Span(f"  {what}", CYAN),
        Span(f"  {min(session.elapsed_s, 99999):.0f} s", GREY),
    )


def _mqtt(session: Session) -> Line:
    tally = session.tally
    repeats = f", {tally.repeated} repeated" if tally.repeated else ""
    gaps = f", {tally.skipped} missing" if tally.skipped else ""
    return line(
        Span("MQTT  ", GREY),
        f"{tally.received} results{gaps}{repeats}; {session.show.age_name()} "
        f"{milliseconds(tally.age_ms)}",
    )


def _footer(session: Session) -> Line:
    text = "draining ..." if session.interrupted else "Ctrl-C ends with a summary"
    return line(Span(text, GREY))


def second(session: Session) -> str:
    """The live view as one line of text."""
    return f"{session.elapsed_s:5.1f} s  {session.show.line()}"


def summary(session: Session) -> list[Line]:
    """What came of it all, and what to do next."""
    done = session.summary
    lines: list[Line] = [(), line(Span(f"edge-run demo {session.show.kind}: summary", bold=True))]
    if session.failed:
        lines += _failure(session)
    if done is not None:
        bad = Span(f", {done.bad} bad", RED) if done.bad else ", 0 bad"
        lines += [
            line(f"frames in    {done.read} read, {done.dropped} dropped", bad),
            line(f"results out  {done.results} published {session.show.per_frame()}"),
        ]
    lines.append(_delivery(session))
    if session.tally.received:
        delay = f"{session.show.age_name()} {milliseconds(session.tally.age_ms)}"
        lines += [
            line(f"first        result after {session.first_result_s or 0.0:.1f} s"),
            line(f"delay        {delay}"),
            *map(fill, session.show.report(complete=not session.interrupted)),
        ]
    return [*lines, _next(session)]


def _delivery(session: Session) -> Line:
    tally, lost = session.tally, session.lost
    if lost is None and not session.failed:
        return line("received     nothing: it was stopped before the pipeline was up")
    if lost is None:
        said = Span("? lost (the pipeline did not say how many it published)", RED)
    else:
        said = Span(f"{lost} lost", RED if lost else GREEN)
    return line(
        f"received     {tally.received} over MQTT, ",
        said,
        f", {tally.repeated} repeated, {tally.skipped} missing in the row of seq",
    )


def _failure(session: Session) -> list[Line]:
    code = session.process.exit_code or 0
    how = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
    return [
        line(Span(f"the pipeline failed: {how}; its last lines:", RED, bold=True)),
        *(line("    ", text) for text in session.process.last_lines()),
    ]


def _next(session: Session) -> Line:
    if session.exit_code:
        return line("next         edge-run doctor says what this machine lacks")
    return line("next         edge-run init writes a run file for your own source and broker")
