"""OpenCV, brought in when it is first needed."""

from __future__ import annotations

from typing import Any

from .errors import MissingExtraError


def opencv(what: str) -> Any:
    """The module cv2, set to run in the calling thread, and quiet.

    One thread: measured on two cores, a resize to 320x320 or less is not split at all, and one
    to 640x640 costs a sixth more CPU time on two threads at camera pace. Quiet: whatever OpenCV
    would print, the caller raises as an error that says what to do.

    Args:
        what: who asks, for the message of MissingExtraError: "source camera".
    """
    try:
        import cv2
    except ImportError as exc:
        raise MissingExtraError(what, "vision", exc) from exc
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
