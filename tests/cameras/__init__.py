"""Real camera servers for the tests: RTSP (GStreamer's) and MJPEG over HTTP."""

from __future__ import annotations

from .noisy_line import NoisyLine
from .server import CameraServer, mjpeg_port, mjpeg_server, rtsp_port, rtsp_server

__all__ = ["CameraServer", "NoisyLine", "mjpeg_port", "mjpeg_server", "rtsp_port", "rtsp_server"]
