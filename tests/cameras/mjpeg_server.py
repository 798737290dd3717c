"""A real MJPEG server: it prints its port, then serves. The path says how it behaves.

/stream      a length in every part        /corrupt   every third part is cut or rotten
/chunked     the same in chunks            /bomb      every third part states 65000x65000
/unstated    no length, an odd boundary    /empty     every third part has no byte
/frozen      one picture, again and again  /black     nothing to be seen
/still       one image/jpeg                /slow      ten bytes at a time
/basic, /digest                            user anna, password se@cret
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import struct
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

USER, PASSWORD, REALM, NONCE = "anna", "se@cret", "camera", "b7f3"
WIDTH, HEIGHT, RATE_HZ = 320, 240, 25


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path in ("basic", "digest") and not self.allowed(path):
            self.send_response(401)
            challenge = {
                "basic": f'Basic realm="{REALM}"',
                "digest": f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", opaque="x"',
            }[path]
            self.send_header("WWW-Authenticate", challenge)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path == "still":
            self.answer("image/jpeg", [next(pictures("stream"))])
            return
        if path not in KINDS:
            self.send_error(404)
            return
        boundary = "----odd" if path == "unstated" else "frame"
        self.answer(f"multipart/x-mixed-replace; boundary={boundary}", parts(path))

    def answer(self, content_type: str, pieces: Iterator[bytes]) -> None:
        chunked = self.path.startswith("/chunked")
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        except ConnectionError:
            pass
        self.close_connection = True

    def allowed(self, scheme: str) -> bool:
        given = self.headers.get("Authorization", "")
        if scheme == "basic":
            return given == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        field = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
        if not field.get("cnonce"):
            return False
        user_hash, request_hash = md5(f"{USER}:{REALM}:{PASSWORD}"), md5(f"GET:{self.path}")
        whole = f"{user_hash}:{NONCE}:{field['nc']}:{field['cnonce']}:auth:{request_hash}"
        return field["response"] == md5(whole) and field["uri"] == self.path

    def log_message(self, *arguments: object) -> None:
        pass


KINDS = {"stream", "chunked", "unstated", "corrupt", "bomb", "empty", "frozen", "black", "slow"} | {
    "basic",
    "digest",
}


def parts(kind: str) -> Iterator[bytes]:
    for jpeg in pictures(kind):
        if kind == "unstated":
            yield b"\r\n----odd\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg
            continue
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        whole = head + jpeg + b"\r\n"
        if kind != "slow":
            yield whole
            continue
        for at in range(0, len(whole), 10):
            yield whole[at : at + 10]
            time.sleep(0.05)


def pictures(kind: str) -> Iterator[bytes]:
    """A square that walks over a gradient, with the noise of a sensor."""
    noise = np.random.default_rng(5)
    gradient = np.tile(np.linspace(20, 230, WIDTH), (HEIGHT, 1))[..., None]
    for number in itertools.count():
        image = gradient + noise.normal(0, 2, (HEIGHT, WIDTH, 3))
        left = 4 * number % (WIDTH - 40)
        image[100:140, left : left + 40] = (0, 0, 255)
        if kind == "black":
            image = noise.normal(3, 1, (HEIGHT, WIDTH, 3))
        data = cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8))[1].tobytes()
        if number % 3 == 1:
            data = spoilt(kind, data, number)
        while True:
            yield data
            time.sleep(1 / RATE_HZ)
            if kind != "frozen":
                break


def spoilt(kind: str, data: bytes, number: int) -> bytes:
    if kind == "corrupt":
        return data[: len(data) // 2] if number % 2 else b"\x00rotten" * 300
    if kind == "bomb":
        at = data.index(b"\xff\xc0")
        return data[: at + 5] + struct.pack(">HH", 65000, 65000) + data[at + 9 :]
    return b"" if kind == "empty" else data


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
