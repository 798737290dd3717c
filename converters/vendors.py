"""Programs of vendors, called where they are installed; else what is missing is told.

`trtexec` (NVIDIA) makes a TensorRT engine of an ONNX file. An engine runs only on the GPU and the
TensorRT that it was built with, so it is built on the Jetson. From TensorRT 11 on the precision
is that of the file itself: FP16 tensors, or INT8 with QDQ nodes (docs.nvidia.com, Migrating
trtexec Usage from TensorRT 10.x to 11.x); 10 does so with --stronglyTyped. Older ones take the
file's precision as permission, and a calibration cache for INT8 where the file has no QDQ nodes.

`edgetpu_compiler` (Google) maps a fully integer TFLite file to an Edge TPU; x86-64 Debian only
(coral.ai/docs/edgetpu/compiler).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import ConfigError
from edge_runtime.manifest import Precision

from .errors import ConversionError

_STRONGLY_TYPED = 10  # the first TensorRT whose trtexec is told so
_ALWAYS_TYPED = 11
_MISSING = {
    "trtexec": "it comes with TensorRT (JetPack: /usr/src/tensorrt/bin): put it on PATH, and build "
    "on the board that will run the engine",
    "edgetpu_compiler": "see coral.ai/docs/edgetpu/compiler; the program exists for x86-64 Debian",
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """What an Edge TPU file holds: operators that the TPU runs, and those left to the CPU."""

    path: Path
    on_tpu: int
    on_cpu: tuple[str, ...]  # operator and the compiler's reason


def missing(program: str) -> str:
    """Why a program cannot be called; "" when it can."""
    return "" if shutil.which(program) else f"{program} is not installed: {_MISSING[program]}"


def tensorrt(
    source: Path,
    out: Path,
    precision: Precision,
    cache: Path | None = None,
    timeout_s: float = 3600,
) -> Path:
    """Build an engine of an ONNX file. Raises ConfigError without trtexec, ConversionError."""
    _need("trtexec")
    banner = _run(["trtexec", "--help"], 60, check=False)
    typed = _tensorrt_flags(_major(banner), precision, cache)
    _run(["trtexec", f"--onnx={source}", f"--saveEngine={out}", *typed], timeout_s)
    if not out.exists() or out.stat().st_size == 0:
        raise ConversionError(f"trtexec: ended well and wrote no {out}")
    return out


def edgetpu(source: Path, folder: Path, timeout_s: float = 3600) -> Mapped:
    """Compile an INT8 TFLite file. Raises ConfigError without the program, ConversionError."""
    _need("edgetpu_compiler")
    said = _run(["edgetpu_compiler", "-s", "-o", str(folder), str(source)], timeout_s)
    made = folder / f"{source.stem}_edgetpu.tflite"
    if not made.exists():
        raise ConversionError(f"edgetpu_compiler: ended well and wrote no {made}")
    return mapped(made, said)


def mapped(made: Path, said: str) -> Mapped:
    """Read the compiler's table: lines of operator, count and status."""
    rows = re.findall(r"^([A-Z][A-Z0-9_]+)\s+(\d+)\s+(.+?)\s*$", said, re.MULTILINE)
    on_tpu = sum(int(count) for _, count, status in rows if status == "Mapped to Edge TPU")
    left = [f"{n} x {op}: {why}" for op, n, why in rows if why != "Mapped to Edge TPU"]
    if not on_tpu:
        raise ConversionError(f"{made.name}: no operator runs on the Edge TPU: {'; '.join(left)}")
    return Mapped(made, on_tpu, tuple(left))


def _tensorrt_flags(major: int, precision: Precision, cache: Path | None) -> list[str]:
    if major >= _ALWAYS_TYPED or (major == _STRONGLY_TYPED and cache is None):
        if cache is not None:
            raise ConfigError(
                f"TensorRT {major} takes no calibration cache: give it an ONNX file with QDQ nodes "
                "(--to onnx:int8)"
            )
        return [] if major >= _ALWAYS_TYPED else ["--stronglyTyped"]
    allowed = {"float16": ["--fp16"], "int8": ["--int8", "--fp16"]}.get(precision, [])
    return [*allowed, *([f"--calib={cache}"] if cache else [])]


def _major(banner: str) -> int:
    """`TensorRT v8602`, `[TensorRT v101300]`: the version without its dots, two digits each."""
    found = re.search(r"TensorRT[ .]v(\d+)", banner)
    if not found:
        raise ConversionError("trtexec: does not say its version")
    digits = found[1]
    return int(digits) // (10_000 if len(digits) > len("8602") else 1000)


def _need(program: str) -> None:
    why = missing(program)
    if why:
        raise ConfigError(why)


def _run(command: list[str], timeout_s: float, *, check: bool = True) -> str:
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as exc:
        raise ConversionError(f"{command[0]}: was stopped after {timeout_s:g} s") from exc
    said = done.stdout + done.stderr
    if check and done.returncode:
        last = [line for line in said.splitlines() if line.strip()][-1:] or ["it said nothing"]
        raise ConversionError(f"{command[0]}: ended with status {done.returncode}: {last[0]}")
    return said
