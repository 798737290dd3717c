"""The source `images`: sorted files, bad ones named and passed over, no decoder bombs."""

from __future__ import annotations

import struct
import time
import zlib

import cv2
import numpy as np
import pytest

from edge_runtime.errors import BadOptionError, ConfigError, EndOfStream, FrameError
from edge_runtime.sources.cameras.image_header import image_size
from edge_runtime.sources.cameras.images import Images
from tests.contracts.test_source_contract import SourceContract

PICTURE = np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)
FORMATS = (".png", ".jpg", ".bmp", ".webp")


def encoded(suffix, picture=PICTURE, options=()):
    return cv2.imencode(suffix, picture, list(options))[1].tobytes()


def png_that_states(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def all_of(source):
    """Everything that comes: frames, and errors in their places."""
    source.open()
    found = []
    while True:
        try:
            found.append(source.read(1.0))
        except FrameError as exc:
            found.append(exc)
        except EndOfStream:
            return found


def test_files_come_sorted_and_seq_is_their_place(tmp_path):
    for name, level in (("b.png", 2), ("a.png", 1), ("c.png", 3), ("notes.txt", 0)):
        (tmp_path / name).write_bytes(encoded(".png", np.full((4, 4, 3), level, np.uint8)))

    frames = all_of(Images(name="shots", path=str(tmp_path)))

    assert [(frame.seq, int(frame.data[0, 0, 0])) for frame in frames] == [(0, 1), (1, 2), (2, 3)]
    assert {frame.source for frame in frames} == {"shots"}


def test_a_pattern_reaches_into_folders_and_one_file_is_enough(tmp_path):
    (tmp_path / "deep").mkdir()
    for file in (tmp_path / "x.png", tmp_path / "deep" / "y.png"):
        file.write_bytes(encoded(".png"))

    assert len(all_of(Images(path=f"{tmp_path}/**/*.png"))) == 2
    assert len(all_of(Images(path=f"{tmp_path}/x.png"))) == 1


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_pixels_are_bgr_and_exact(tmp_path, suffix):
    (tmp_path / f"one{suffix}").write_bytes(encoded(suffix))

    (frame,) = all_of(Images(path=str(tmp_path)))

    assert np.array_equal(frame.data, PICTURE)


def test_a_grey_picture_has_three_channels_too(tmp_path):
    (tmp_path / "grey.png").write_bytes(encoded(".png", PICTURE[:, :, 0]))

    (frame,) = all_of(Images(path=str(tmp_path)))

    assert frame.data.shape == (40, 60, 3)


def test_bad_files_are_named_and_the_rest_goes_on(tmp_path):
    whole = encoded(".jpg")
    (tmp_path / "1-good.jpg").write_bytes(whole)
    (tmp_path / "2-cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3-empty.png").write_bytes(b"")
    (tmp_path / "4-text.png").write_text("no picture")
    (tmp_path / "5-bomb.png").write_bytes(png_that_states(60_000, 60_000))
    (tmp_path / "6-good.jpg").write_bytes(whole)

    found = all_of(Images(name="shots", path=str(tmp_path)))

    assert [found[0].seq, found[-1].seq] == [0, 5]
    said = [str(error) for error in found[1:-1]]
    for text, name in zip(said, ("2-cut", "3-empty", "4-text", "5-bomb"), strict=True):
        assert text.startswith("shots: ")
        assert name in text
    assert "60000x60000" in said[3]


def test_a_bomb_costs_neither_time_nor_memory(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_that_states(30_000, 30_000))

    began = time.process_time()
    (error,) = all_of(Images(path=str(tmp_path)))

    assert isinstance(error, FrameError)
    assert time.process_time() - began < 0.2


def test_a_file_larger_than_any_allowed_picture_is_not_read(tmp_path):
    with (tmp_path / "huge.bmp").open("wb") as file:
        file.truncate(10 << 20)

    (error,) = all_of(Images(path=str(tmp_path), pixels_max=1000))

    assert "is larger than" in str(error)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 0.9])
def test_a_file_that_breaks_off_is_never_half_a_picture(tmp_path, suffix, share):
    whole = encoded(suffix)
    (tmp_path / f"cut{suffix}").write_bytes(whole[: int(len(whole) * share)])

    (error,) = all_of(Images(path=str(tmp_path)))

    assert isinstance(error, FrameError)


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_a_jpeg_header_gives_the_size(options):
    assert image_size(encoded(".jpg", options=options)) == (60, 40)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_header_gives_the_size_that_the_decoder_finds(suffix):
    assert image_size(encoded(suffix)) == (60, 40)


def test_a_lossless_webp_gives_its_size():
    assert image_size(encoded(".webp", options=(cv2.IMWRITE_WEBP_QUALITY, 101))) == (60, 40)


def test_every_real_photograph_is_read(data):
    files = sorted((data / "images").glob("*.[jb][pm][gp]"))

    frames = all_of(Images(path=str(data / "images" / "*.[jb][pm][gp]")))

    assert len(frames) == len(files) == 10
    for frame, file in zip(frames, files, strict=True):
        assert np.array_equal(frame.data, cv2.imread(str(file)))
        height, width = frame.data.shape[:2]
        assert image_size(file.read_bytes()) == (width, height)


def test_the_rate_is_kept(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(encoded(".png"))
    source = Images(path=str(tmp_path), rate_hz=20.0)
    source.open()
    began = time.monotonic()

    assert source.read(0.5).seq == 0
    assert source.read(0.001) is None
    seen = 1
    while seen < 4:
        seen += source.read(0.5) is not None

    assert 0.14 <= time.monotonic() - began < 1.0


@pytest.mark.parametrize("name", ["nothing.png", "*.png", "."])
def test_no_image_at_all_is_a_mistake_in_the_configuration(tmp_path, name):
    with pytest.raises(ConfigError, match="there is no image"):
        Images(path=f"{tmp_path}/{name}").open()


@pytest.mark.parametrize(
    ("options", "key"),
    [({"path": ""}, "path"), ({"rate_hz": -1.0}, "rate_hz"), ({"pixels_max": 0}, "pixels_max")],
)
def test_an_impossible_option_is_refused_by_name(options, key):
    with pytest.raises(BadOptionError) as refused:
        Images(**{"path": "x", **options})

    assert refused.value.key == key


class TestImages(SourceContract):
    @pytest.fixture
    def make(self, tmp_path):
        for number in range(10):
            (tmp_path / f"{number}.png").write_bytes(encoded(".png"))
        return lambda: Images(name="shots", path=str(tmp_path))
