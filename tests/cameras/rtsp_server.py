"""A real RTSP server (GStreamer's), for the system's Python: it prints its port, then serves.

/usr/bin/python3 rtsp_server.py --pattern smpte --user anna --password secret
"""

from __future__ import annotations

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

I420 = "video/x-raw,format=I420"
CODECS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={keyframe} "
    "! rtph264pay name=pay0 pt=96",
    "jpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--pattern", default="smpte")
    parser.add_argument("--frozen", action="store_true", help="one picture, sent again and again")
    parser.add_argument("--codec", default="h264", choices=CODECS)
    parser.add_argument("--keyframe", default="15", help="every so many pictures")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--rate", default="25")
    parser.add_argument("--frames", default="-1", help="the stream ends after so many")
    parser.add_argument("--user", default="")
    parser.add_argument("--password", default="")
    options = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(f"( {pipeline(options)} )")
    factory.set_shared(True)
    if options.user:
        protect(server, factory, options.user, options.password)
    server.get_mount_points().add_factory("/camera", factory)
    if not server.attach(None):
        sys.exit("the port is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def pipeline(options: argparse.Namespace) -> str:
    width, height = options.size.split("x")
    caps = f"video/x-raw,width={width},height={height},framerate={options.rate}/1"
    source = f"videotestsrc is-live=true pattern={options.pattern} num-buffers={options.frames}"
    if options.frozen:
        source = f"videotestsrc pattern={options.pattern} num-buffers=1 ! imagefreeze is-live=true"
    codec = CODECS[options.codec].format(keyframe=options.keyframe)
    return f"{source} ! {caps} ! videoconvert ! {I420} ! {codec}"


def protect(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str,
) -> None:
    """Digest authentication, as the cameras that are sold have it."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(user, password, token)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)
    server.set_auth(auth)


if __name__ == "__main__":
    main()
