"""Archives that are no bundles, each by one thing (F15, F16)."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable

from edge_runtime.update.store import ustar

Change = Callable[[tarfile.TarInfo], None]


def archive(changes: dict[str, Change], extra: list[tarfile.TarInfo] | None = None,
            **options) -> bytes:  # fmt: skip
    """A bundle by the standard library's hand, with members changed or added."""
    out = io.BytesIO()
    contents = {
        "model.toml": b'[[file]]\npath = "weights.tflite"\n',
        "weights.tflite": b"weights",
    }
    with tarfile.open(fileobj=out, mode="w", **{"format": tarfile.USTAR_FORMAT, **options}) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            changes.get(name, lambda member: None)(member)
            tar.addfile(member, io.BytesIO(content))
        for member in extra or []:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, linked: str = "", mode: int = 0o644):
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, linked, mode
    return made


def ours(*files: tuple[str, bytes], end: bytes = ustar.END) -> bytes:
    """A bundle of our own spelling, with whatever names."""
    parts = [
        ustar.header(name, len(data)) + data + bytes(-len(data) % ustar.BLOCK)
        for name, data in files
    ]
    return b"".join(parts) + end


class Headers:
    """A bundle of so many empty files as an open file; each header is made when it is read."""

    def __init__(self, count: int) -> None:
        self._count, self.read_headers = count, 0

    def seek(self, position: int) -> int:
        assert position == 0
        return 0

    def read(self, size: int) -> bytes:
        number, self.read_headers = self.read_headers, self.read_headers + 1
        if number >= self._count:
            return ustar.END[(number - self._count) * ustar.BLOCK :][:size]
        assert size == ustar.BLOCK
        return ustar.header(f"f{number:07}", 0)


MANIFEST = ("model.toml", b'[[file]]\npath = "weights.tflite"\n')
WEIGHTS = ("weights.tflite", b"weights")
GOOD = ours(MANIFEST, WEIGHTS)


def changed(at: int, value: bytes) -> bytes:
    """The good one with bytes of its first header changed, and the checksum made right."""
    block = bytearray(GOOD[: ustar.BLOCK])
    block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    return bytes(block) + GOOD[ustar.BLOCK :]


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("../model.toml", "")
    return out.getvalue()


CORPUS = {
    "empty": b"",
    "text": b"version https://git-lfs.github.com/spec/v1\n",
    "zip that slips": zipped(),
    "compressed": gzip.compress(GOOD),
    "bomb": gzip.compress(bytes(1 << 24)),
    "nested": ours(MANIFEST, WEIGHTS, ("z.tar", GOOD)),
    "slip": archive({}, [member("../out")]),
    "slip within": archive({}, [member("text/../../out")]),
    "absolute": archive({}, [member("/tmp/out")]),
    "symlink": archive({}, [member("x", tarfile.SYMTYPE, "/etc/passwd")]),
    "symlink to here": archive({}, [member("x", tarfile.SYMTYPE, "weights.tflite")]),
    "hardlink": archive({}, [member("x", tarfile.LNKTYPE, "weights.tflite")]),
    "character device": archive({}, [member("x", tarfile.CHRTYPE)]),
    "block device": archive({}, [member("x", tarfile.BLKTYPE)]),
    "pipe": archive({}, [member("x", tarfile.FIFOTYPE)]),
    "folder": archive({}, [member("x", tarfile.DIRTYPE)]),
    "contiguous": archive({}, [member("x", tarfile.CONTTYPE)]),
    "sparse": archive({}, [member("x", tarfile.GNUTYPE_SPARSE)]),
    "setuid": archive({"weights.tflite": lambda one: setattr(one, "mode", 0o4755)}),
    "executable": archive({"weights.tflite": lambda one: setattr(one, "mode", 0o755)}),
    "owned": archive({"weights.tflite": lambda one: setattr(one, "uid", 1000)}),
    "named owner": archive({"weights.tflite": lambda one: setattr(one, "uname", "root")}),
    "dated": archive({"weights.tflite": lambda one: setattr(one, "mtime", 1)}),
    "long name, pax": archive({}, [member("x" * 300)], format=tarfile.PAX_FORMAT),
    "long name, GNU": archive({}, [member("x" * 300)], format=tarfile.GNU_FORMAT),
    "long name, prefix": archive({}, [member("x" * 80 + "/" + "y" * 80)]),
    "pax header": archive({}, format=tarfile.PAX_FORMAT, pax_headers={"path": "../out"}),
    "the standard library's padding": archive({}),
    "twice": ours(MANIFEST, WEIGHTS, WEIGHTS),
    "manifest twice": ours(MANIFEST, MANIFEST, WEIGHTS),
    "out of order": ours(WEIGHTS, MANIFEST),
    "case": ours(("Model.toml", b""), MANIFEST, WEIGHTS),
    "case of a folder": ours(MANIFEST, ("sub/a", b""), ("subs/a", b""), ("Sub/b", b"")),
    "file and folder": ours(MANIFEST, WEIGHTS, ("weights.tflite/x", b"")),
    "NUL in a name": changed(0, b"mo\0el.toml"),
    "NUL and then more": changed(50, b"more"),
    "bytes that are no ASCII": changed(0, "môdel".encode()),
    "hidden": ours((".hidden", b""), MANIFEST, WEIGHTS),
    "space": ours(MANIFEST, ("way out", b""), WEIGHTS),
    "backslash": ours(MANIFEST, ("way\\out", b""), WEIGHTS),
    "dot": ours(MANIFEST, ("text/./x", b""), WEIGHTS),
    "double slash": ours(MANIFEST, ("text//x", b""), WEIGHTS),
    "percent": ours(("%2e%2e", b""), MANIFEST, WEIGHTS),
    "full-width": GOOD.replace(b"model.toml", "mod\uff0e.t".encode()),
    "size that lies": changed(124, b"77777777777"),
    "size below zero": changed(124, b"-0000000001"),
    "size in base 256": changed(124, b"\x80" + bytes(10)),
    "checksum": GOOD[:148] + b"000000\0 " + GOOD[156:],
    "many": ours(*((f"f{number:07}", b"") for number in range(256)), MANIFEST),
    "truncated in a header": GOOD[:700],
    "truncated in a file": GOOD[: 3 * ustar.BLOCK + 3],
    "truncated in the padding": GOOD[: 4 * ustar.BLOCK - 1],
    "without an end": GOOD[: -len(ustar.END)],
    "with half an end": GOOD[: -ustar.BLOCK],
    "trailing byte": GOOD + b"\0",
    "trailing archive": GOOD + GOOD,
    "padding that is none": GOOD[:1000] + b"x" + GOOD[1001:],
    "no manifest": ours(WEIGHTS),
    "a file that the manifest does not name": ours(MANIFEST, ("more.onnx", b""), WEIGHTS),
    "without a file that it names": ours(MANIFEST),
    "a manifest that is no TOML": ours(("model.toml", b"\xff"), WEIGHTS),
    "a manifest that is deep": ours(("model.toml", b"a = " + b"[" * 100_000), WEIGHTS),
    "a manifest that is huge": ours(("model.toml", b"#" * (2 << 20)), WEIGHTS),
    "a manifest that names a number": ours(("model.toml", b"[[file]]\npath = 3\n"), WEIGHTS),
}  # fmt: skip
