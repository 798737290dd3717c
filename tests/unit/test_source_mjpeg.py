"""The source `mjpeg` against a real server: streams, log-ins, damage, loss."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, FrameError, SourceLostError
from edge_runtime.sources.cameras.http_login import answer
from edge_runtime.sources.cameras.http_stream import HttpError, _Chunks
from edge_runtime.sources.cameras.mjpeg import Mjpeg
from edge_runtime.sources.cameras.multipart import PartError, Parts

from ..cameras import mjpeg_port, mjpeg_server
from ..contracts.test_source_contract import SourceContract

__all__ = ["mjpeg_port", "mjpeg_server"]

JPEG = b"\xff\xd8\xff picture \xff\xd9"


@pytest.fixture
def camera(mjpeg_port):
    """Makes sources, and closes them."""
    made = []

    def make(path="stream", port=mjpeg_port, **options):
        made.append(Mjpeg(name="gate", url=f"http://127.0.0.1:{port}/{path}", **options))
        return made[-1]

    yield make
    for source in made:
        source.close()


def told(source, count):
    """What so many reads gave: "frame", "bad", or "none"."""
    words = []
    for _ in range(count):
        try:
            words.append("frame" if source.read(2.0) is not None else "none")
        except FrameError:
            words.append("bad")
    return words


class TestMjpeg(SourceContract):
    @pytest.fixture
    def make(self, camera):
        return camera


@pytest.mark.parametrize("path", ["stream", "chunked", "unstated"])
def test_a_stream_in_every_form_gives_its_pictures(camera, path):
    source = camera(path)
    source.open()
    frames = [source.read(2.0) for _ in range(6)]

    assert [frame.seq for frame in frames] == list(range(6))
    assert all(frame.data.shape == (240, 320, 3) for frame in frames)
    column = int(np.argmax(frames[0].data[120, :, 2].astype(int) - frames[0].data[120, :, 1]))
    assert frames[0].data[120, column, 2] > 180  # the red square, in BGR


@pytest.mark.parametrize("path", ["basic", "digest"])
def test_a_camera_that_wants_a_log_in_gets_it(camera, path):
    source = camera(path, username="anna", password="se@cret")
    source.open()

    assert source.read(2.0).data.shape == (240, 320, 3)


@pytest.mark.parametrize(
    ("path", "login", "words"),
    [
        ("digest", {}, "wants a user name and password"),
        ("basic", {"username": "anna", "password": "hunter2"}, "refuses the user name"),
        ("digest", {"username": "anna", "password": "hunter2"}, "refuses the user name"),
        ("nothing", {}, r"is not there: .* \(404\)"),
        ("still", {}, "'image/jpeg', no stream"),
    ],
)
def test_a_refusal_is_told_in_words_and_without_the_password(camera, path, login, words):
    source = camera(f"{path}?token=hunter2", **login)

    with pytest.raises(SourceLostError, match=words) as lost:
        source.open()

    assert "hunter2" not in str(lost.value)


@pytest.mark.parametrize("path", ["corrupt", "bomb", "empty"])
def test_s04_s06_s07_a_picture_that_cannot_be_used_is_skipped_and_the_next_one_comes(camera, path):
    source = camera(path)
    source.open()
    words = told(source, 12)

    assert words.count("frame") == 8
    assert words.count("bad") == 4
    assert "bad bad" not in " ".join(words)


def test_s06_a_picture_that_is_too_long_is_passed_over(camera):
    source = camera(bytes_max=1000)
    source.open()

    with pytest.raises(FrameError, match="states a length of"):
        source.read(2.0)


def test_s02_a_server_that_stalls_is_lost_after_its_time_and_comes_back(mjpeg_server, camera):
    server = mjpeg_server()
    source = camera(port=server.port, silent_s=0.4)
    source.open()
    before = source.read(2.0)
    server.freeze()

    with pytest.raises(SourceLostError, match=r"no picture for 0\.4 s"):
        while True:
            source.read(0.1)
    server.thaw()
    source.open()

    assert source.read(2.0).seq > before.seq + 1  # the hole shows


def test_a_server_that_sends_crumbs_is_read_in_time_and_then_lost(camera):
    source = camera("slow", silent_s=0.5)
    source.open()

    with pytest.raises(SourceLostError, match="no picture for"):
        while True:
            assert source.read(0.1) is None


def test_a_server_that_dies_is_lost_and_one_that_is_away_is_named(mjpeg_server, camera):
    server = mjpeg_server()
    source = camera(port=server.port)
    source.open()
    server.kill()

    with pytest.raises(SourceLostError, match="has ended the stream|cannot be reached"):
        while True:
            source.read(0.5)
    with pytest.raises(SourceLostError, match="cannot be reached: Connection refused"):
        source.open()


def test_something_that_is_no_web_server_is_said_to_be_none():
    def speak() -> None:
        with listener.accept()[0] as peer:
            peer.sendall(b"SSH-2.0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak)
        thread.start()
        source = Mjpeg(url=f"http://127.0.0.1:{listener.getsockname()[1]}/")

        with pytest.raises(SourceLostError, match="does not answer as a web server"):
            source.open()
        thread.join()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "rtsp://camera/"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://anna:hunter2@camera/"}, "url"),
        ({"url": "http://camera:port/"}, "url"),
        ({"url": "http://camera/", "password": "hunter2"}, "username"),
        ({"url": "http://camera/", "silent_s": 0.0}, "silent_s"),
        ({"url": "http://camera/", "pixels_max": 0}, "pixels_max"),
    ],
)
def test_an_impossible_option_is_refused_by_name_and_shows_no_password(options, key):
    with pytest.raises(BadOptionError) as refused:
        Mjpeg(**options)

    assert refused.value.key == key
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_parts_come_out_the_same_however_the_bytes_are_cut(size):
    stated = b"--b\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(JPEG), JPEG)
    body = b"noise" + stated + b"--b\r\nX: y\r\n\r\n" + JPEG + b"\r\n" + stated + b"--b"
    parts, found = Parts("b", 1000), []

    for at in range(0, len(body), size):
        parts.add(body[at : at + size])
        while (jpeg := parts.next()) is not None:
            found.append(jpeg)

    assert found == [JPEG, JPEG, JPEG]


def test_a_part_that_lies_about_its_length_costs_itself_only():
    lie = b"--b\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(JPEG) + 40, JPEG)
    true = b"--b\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(JPEG), JPEG)
    parts = Parts("b", 1000)
    parts.add(lie + true + true)

    with pytest.raises(PartError, match="no whole JPEG"):
        parts.next()

    assert [parts.next(), parts.next()] == [JPEG, JPEG]


def test_bytes_without_any_part_are_not_kept():
    parts = Parts("b", 1000)
    for _ in range(100):
        parts.add(b"x" * 1000)
        assert parts.next() is None

    assert len(parts._buffer) < 100


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_chunks_are_taken_out_however_they_are_cut(size):
    body, out = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", b""
    chunks = _Chunks()
    for at in range(0, len(body), size):
        out += chunks.joined(body[at : at + size])

    assert out == b"hello world"


def test_chunks_that_are_none_are_refused():
    with pytest.raises(HttpError, match="chunks that are none"):
        _Chunks().joined(b"nonsense\r\n")


def test_digest_is_computed_as_in_rfc_7616_section_3_9_1(monkeypatch):
    monkeypatch.setattr(
        "edge_runtime.sources.cameras.http_login.secrets.token_hex",
        lambda _: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    challenge = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    expected = {
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    }
    for algorithm, response in expected.items():
        made = answer([challenge.format(algorithm)], "Mufasa", "Circle of Life", "/dir/index.html")
        assert f'response="{response}"' in made


def test_digest_goes_before_basic_and_an_unknown_challenge_is_met_by_nothing():
    both = ['Basic realm="x"', 'Digest realm="x", nonce="y"']

    assert answer(both, "anna", "pw", "/").startswith("Digest ")
    assert answer(["Negotiate"], "anna", "pw", "/") is None
    assert answer(['Digest realm="x", nonce="y", algorithm=SHA-512-256'], "a", "b", "/") is None
