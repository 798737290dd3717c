"""The source `gstreamer`: any GStreamer pipeline, run by gst-launch-1.0 in a process of its own."""

from __future__ import annotations

import re
import shlex

from edge_runtime.errors import BadOptionError
from edge_runtime.frame import Frame
from edge_runtime.grabber.grabber import Grabber

_ERROR = re.compile(r"(?:ERROR|erroneous pipeline): (.*)")


class GStreamer:
    """Frames of a pipeline such as a Jetson's camera or hardware decoder gives them.

    The pipeline is written as for `gst-launch-1.0`, without a sink, and ends in raw video in the
    memory of the processor: after a hardware decoder that is a converter (Jetson: `nvvidconv !
    video/x-raw,format=I420`). I420 spares a conversion. It needs GStreamer's command and its
    plug-ins, and no special build of OpenCV.

    Args:
        name: the source's name.
        pipeline: for example "nvarguscamerasrc ! nvvidconv ! video/x-raw,format=I420".
        open_s: the first picture must come within it.
        silent_s: without a picture for so long, the pipeline is killed and started again.
    """

    live = True

    def __init__(
        self, *, name: str = "gstreamer", pipeline: str, open_s: float = 15.0, silent_s: float = 5.0
    ) -> None:
        try:
            words = shlex.split(pipeline)
        except ValueError as exc:
            raise BadOptionError("pipeline", f"cannot be read: {exc}") from exc
        if not words:
            raise BadOptionError("pipeline", 'is empty; try "videotestsrc is-live=true"')
        if words[-1] == "!" or words[-1].endswith("sink"):
            raise BadOptionError("pipeline", "ends in '!' or a sink: leave it out")
        for key, value in (("open_s", open_s), ("silent_s", silent_s)):
            if not 0.1 <= value <= 600:
                raise BadOptionError(key, f"{value} is not within 0.1..600")
        self.name = name
        self._grabber = Grabber(
            name,
            f"pipeline {words[0]}",
            {"driver": "gstreamer", "pipeline": pipeline},
            open_s=open_s,
            silent_s=silent_s,
            explain=_explain,
        )

    def open(self) -> None:
        """Raises SourceLostError with GStreamer's own words when the pipeline does not start."""
        self._grabber.open()

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture. Raises FrameError, SourceLostError."""
        return self._grabber.read(timeout_s)

    def close(self) -> None:
        self._grabber.close()


def _explain(said: str) -> str:
    """The first line in which GStreamer names an error."""
    found = _ERROR.search(said)
    return f": {found[1].strip()[:200]}" if found else ""
