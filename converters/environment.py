"""Families of frameworks, each in an environment of its own where their versions clash.

A family's packages are an extra of setup.cfg of the same name. Its Python is, first found first:
the one that the variable EDGE_CONVERT_<FAMILY> names, this one when it has the packages, or that of
the environment that `edge-convert setup FAMILY` made under ~/.cache/edge-run/convert.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

from edge_runtime.errors import ConfigError

from .errors import ConversionError


@dataclass(frozen=True, slots=True)
class Family:
    """What one environment is for, and the modules by which it is known to be there."""

    extra: str
    what: str
    modules: tuple[str, ...]
    python: tuple[int, int] = (3, 10)  # at least


OWN = "convert"  # goes where edge-convert itself is
FAMILIES = {
    OWN: Family(
        "convert",
        "precisions of ONNX and TFLite files",
        ("onnx", "onnxruntime", "onnxslim", "ai_edge_quantizer"),
    ),
    "keras": Family(
        "convert-keras", "Keras and SavedModel", ("tensorflow", "keras", "tf2onnx"), (3, 11)
    ),
    "torch": Family(
        "convert-torch", "PyTorch to ONNX", ("torch", "onnxscript", "onnxslim"), (3, 11)
    ),
    "litert-torch": Family("convert-litert-torch", "PyTorch to TFLite", ("litert_torch",), (3, 11)),
    "onnx2tf": Family("convert-onnx2tf", "ONNX to TFLite", ("onnx2tf",), (3, 12)),
}


def find(family: str) -> Path | None:
    """The Python of a family, or None when it is not installed."""
    named = os.environ.get(_variable(family))
    if named:
        return Path(named)
    if all(find_spec(module) for module in FAMILIES[family].modules):
        return Path(sys.executable)
    return _folder(family) / "bin" / "python" if _whole(family) else None


def need(family: str, what: str) -> Path:
    """The Python of a family. Raises ConfigError that says how to install it."""
    found = find(family)
    if found is None:
        extra = FAMILIES[family].extra
        setup = "" if family == OWN else f"'edge-convert setup {family}', or "
        raise ConfigError(
            f"{what} needs the [{extra}] extra: {setup}pip install 'edge-runtime[{extra}]'"
        )
    if not found.exists():
        raise ConfigError(f"{_variable(family)}: {found}: there is no such program")
    return found


def packages(family: str) -> list[str]:
    """What pip is to install for a family, as setup.cfg has it."""
    mark = re.compile(rf"""extra\s*==\s*['"]{re.escape(FAMILIES[family].extra)}['"]""")
    found = []
    for text in requires("edge-runtime") or []:
        name, _, marker = text.partition(";")
        if mark.search(marker):
            rest = re.sub(rf"\s*(and\s+)?{mark.pattern}\s*", "", marker).strip(" ()")
            found.append(f"{name.strip()}; {rest}" if rest else name.strip())
    return found


def make(family: str, python: str = "") -> Path:
    """Build a family's environment and give its Python; `python` is the one to build it with.

    One that is there, with the packages that are wanted now, is kept.

    Raises ConversionError when pip fails (its last line tells why), ConfigError without a Python
    that is new enough.
    """
    folder = _folder(family)
    if _whole(family):
        return folder / "bin" / "python"
    builder = python or _builder(FAMILIES[family].python)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    # torch by itself first: a range that another package names would take the CUDA build.
    wanted = packages(family)
    first = [name for name in wanted if name.startswith("torch==")]
    commands = [[builder, "-m", "venv", str(folder)], [*pip, "--upgrade", "pip"]]
    commands += [[*pip, *names] for names in (first, wanted) if names]
    for command in commands:
        done = subprocess.run(command, check=False, text=True, stderr=subprocess.PIPE)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
            raise ConversionError(f"setup {family}: {' '.join(command[:4])}: {last}")
    (folder / _WHOLE).write_text("\n".join(wanted), encoding="utf-8")
    return folder / "bin" / "python"


_WHOLE = "packages.txt"  # written last, so that half an environment is none


def _whole(family: str) -> bool:
    """Whether a family's environment is there, with the packages that are wanted now."""
    said = _folder(family) / _WHOLE
    return said.exists() and said.read_text(encoding="utf-8") == "\n".join(packages(family))


def _folder(family: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edge-run" / "convert" / family


def _variable(family: str) -> str:
    return f"EDGE_CONVERT_{family.upper().replace('-', '_')}"


def _builder(least: tuple[int, int]) -> str:
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 4):
        found = shutil.which(f"python{least[0]}.{minor}")
        if found:
            return found
    wanted = f"{least[0]}.{least[1]}"
    raise ConfigError(f"needs Python {wanted} or newer: name one with --python")
