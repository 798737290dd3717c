"""`edge-run demo` as a newcomer runs it: a real broker, a real pipeline, a real terminal."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_runtime import build, shipped
from edge_runtime.config import load
from tests.needs import ROOT

COMMAND = [sys.executable, "-m", "edge_runtime", "demo"]
TIMEOUT_S = 90.0
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


def environment(**changes):
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLORTERM")}
    return {**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **changes}


def run(*arguments, **changes):
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])


@pytest.fixture(scope="module")
def ecg():
    return run("--seconds", "8", "--plain")


@pytest.fixture(scope="module")
def camera():
    return run("camera", "--seconds", "6", "--plain")


def test_the_ecg_demo_hears_every_beat_that_was_published(ecg):
    assert ecg.returncode == 0, ecg.stdout + ecg.stderr
    published = number(r"results out +(\d+) published", ecg.stdout)
    assert published >= 6
    assert f"received     {published} over MQTT, 0 lost, 0 repeated" in ecg.stdout


def test_the_ecg_demo_scores_the_beats_against_the_generated_truth(ecg):
    found, truth, right = map(
        int,
        re.search(r"score +(\d+) of (\d+) beats found, (\d+) labels right", ecg.stdout).groups(),
    )

    assert found >= truth - 1 >= 6
    assert right >= 0.8 * truth
    assert re.search(r"^N +\d+ +\d+", ecg.stdout, re.MULTILINE)


def test_the_delay_from_r_peak_to_subscriber_is_below_a_second(ecg):
    p50 = number(r"delay +R peak to subscriber p50 (\d+) ms", ecg.stdout)

    assert 300 < p50 < 1000


def test_the_camera_demo_hears_one_result_for_each_picture(camera):
    assert camera.returncode == 0, camera.stdout + camera.stderr
    assert "frames in    60 read, 0 dropped, 0 bad" in camera.stdout
    assert "received     60 over MQTT, 0 lost, 0 repeated, 0 missing" in camera.stdout
    right = number(r"score +(\d+) of 60 pictures right", camera.stdout)
    assert right >= 48


def test_in_a_pipe_there_is_no_escape_sequence_and_no_picture(ecg, camera):
    for demo in (ecg, camera):
        assert "\x1b" not in demo.stdout
        seconds = re.findall(r"^ *(\d+\.\d) s  ", demo.stdout, re.MULTILINE)
        assert len(seconds) >= 5
        assert demo.stderr == ""


def shown_run_file(demo, folder):
    page = demo.stdout.split("2. A second")[1].split("3. This")[0]
    file = folder / "run.toml"
    file.write_text("\n".join(re.findall(r"^     (.*)$", page, re.MULTILINE)))
    return file


def test_the_demo_shows_a_run_file_that_start_would_read(ecg, tmp_path):
    config = load(shown_run_file(ecg, tmp_path), {})

    assert config.sources[0][1].kind == "ecgsyn"
    assert build.sinks(config)[0].outbox_path is None  # a demo leaves nothing behind


def test_keep_leaves_the_run_file_and_the_log(tmp_path):
    done = run("camera", "--seconds", "4", "--plain", "--keep", str(tmp_path / "kept"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "camera.log",
        "camera.toml",
    ]


class Terminal:
    """A demo on a pty of 80 x 24."""

    def __init__(self, *arguments, **changes):
        self.text = ""
        self._ours, theirs = os.openpty()
        os.set_blocking(self._ours, False)
        with contextlib.suppress(ImportError):
            import fcntl
            import struct
            import termios

            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=environment(**changes),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def read(self, until="\0", timeout_s=TIMEOUT_S):
        """Read until a text was shown or the process has ended."""
        deadline = time.monotonic() + timeout_s
        while until not in self.text and time.monotonic() < deadline:
            if not select.select([self._ours], [], [], 0.2)[0]:
                if self.process.poll() is not None:
                    break
                continue
            try:
                self.text += os.read(self._ours, 65536).decode("utf-8", "replace")
            except OSError:  # EIO: the other side is closed
                break
        return self.text

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def terminal():
    made = []

    def start(*arguments, **changes):
        made.append(Terminal(*arguments, **changes))
        return made[-1]

    yield start
    for one in made:
        one.close()


def processes_of(folder):
    """Process ids of everything that has the folder in its command line."""
    listed = subprocess.run(
        ["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False
    )
    return listed.stdout


def children(pid):
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


def test_ctrl_c_ends_with_a_summary_and_the_cursor_comes_back(terminal):
    demo = terminal("--seconds", "60")
    demo.read(until=" beats: ")
    demo.process.send_signal(signal.SIGINT)

    text = demo.read()

    assert demo.process.wait(TIMEOUT_S) == 0, text
    assert HIDE_CURSOR in text
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)
    summary = text[text.rindex(SHOW_CURSOR) :]
    assert "\x1b[?1049l" in summary
    assert re.search(r"received +\d+ over MQTT, .*0 lost", summary)
    assert " 0 repeated" in summary


def test_ctrl_c_before_the_pipeline_is_up_is_no_failure(terminal):
    demo = terminal("camera", "--seconds", "60")
    demo.read(until="3. This process")
    demo.process.send_signal(signal.SIGINT)

    text = demo.read()

    assert demo.process.wait(TIMEOUT_S) == 0, text
    assert "received  " in text


def test_the_cursor_comes_back_when_the_pipeline_dies(terminal):
    demo = terminal("--seconds", "60")
    demo.read(until=" beats: ")
    for child in children(demo.process.pid):
        arguments = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"start" in arguments.split(b"\0"):
            os.kill(child, signal.SIGKILL)

    text = demo.read()

    assert demo.process.wait(TIMEOUT_S) == 1, text
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)
    assert "killed by signal 9" in text
    assert "? lost" in text


@pytest.mark.parametrize("number_", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_in_the_same_way(terminal, number_):
    demo = terminal("camera", "--seconds", "60")
    demo.read(until="so far")
    demo.process.send_signal(number_)

    text = demo.read()

    assert demo.process.wait(TIMEOUT_S) == 0, text
    assert text.rindex(SHOW_CURSOR) > text.rindex(HIDE_CURSOR)


def test_no_color_keeps_the_picture_and_drops_the_colours(terminal):
    demo = terminal("camera", "--seconds", "4", NO_COLOR="1")

    text = demo.read()

    assert demo.process.wait(TIMEOUT_S) == 0, text
    assert HIDE_CURSOR in text
    assert not re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", text)


def test_the_picture_of_a_camera_is_made_of_coloured_half_blocks(terminal):
    demo = terminal("camera", "--seconds", "4", COLORTERM="truecolor")

    text = demo.read()

    assert demo.process.wait(TIMEOUT_S) == 0, text
    assert re.search(r"\x1b\[38;2;\d+;\d+;\d+;48;2;\d+;\d+;\d+m▀", text)


def test_nothing_is_left_running_and_no_folder_stays(tmp_path):
    demo = run("camera", "--seconds", "4", "--plain", TMPDIR=str(tmp_path))

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert list(tmp_path.glob("edge-run*")) == []
    assert processes_of(tmp_path) == ""


def test_what_is_said_fits_a_terminal_of_80_columns(ecg, camera):
    for demo in (ecg, camera):
        summary = demo.stdout[demo.stdout.index(": summary") :]
        assert max(map(len, summary.splitlines())) <= 80


def test_the_steps_of_the_run_file_are_those_of_the_model(ecg, tmp_path):
    own = load(shipped.directories()["ecg-beats"] / "run.toml", {})

    shown = load(shown_run_file(ecg, tmp_path), {})

    assert build.steps(shown)
    assert [(step.kind, dict(step.options.values)) for step in shown.steps] == [
        (step.kind, dict(step.options.values)) for step in own.steps
    ]


def test_without_the_broker_extra_one_line_says_what_to_install(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['amqtt'] = None")

    done = run("camera", "--plain", PYTHONPATH=str(tmp_path))

    assert done.returncode == 2
    assert re.fullmatch(
        r"edge-run: .*\[broker\].*pip install 'edge-runtime\[broker\]'\n", done.stderr
    )


def test_a_reader_that_leaves_takes_the_pipeline_with_it(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "--seconds", "60", "--plain", "--keep", str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as demo:
        demo.stdout.readline()
        demo.stdout.close()

        demo.wait(TIMEOUT_S)

    assert processes_of(tmp_path) == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("video",),
        ("--seconds", "1"),
        ("--seconds", "soon"),
        ("--keep", __file__),
        ("--keep", "/proc/no"),
    ],
)
def test_an_impossible_option_ends_with_code_2(arguments):
    done = run(*arguments)

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
