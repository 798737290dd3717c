"""What was given to convert: its kind, by what it is and not by its name alone."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_runtime import manifest as manifests
from edge_runtime.errors import ConfigError
from edge_runtime.manifest import FileEntry, Manifest

Kind = Literal["keras", "saved-model", "torch", "exported-program", "torchscript", "onnx", "tflite"]

_BY_SUFFIX: dict[str, Kind] = {
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".pt2": "exported-program",
    ".onnx": "onnx",
    ".tflite": "tflite",
}
_PICKLES = (".pt", ".pth", ".ts", ".torchscript", ".ckpt", ".bin", ".pkl", ".pickle")
_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Given:
    """A model to convert. `factory` is the `module:callable` of a PyTorch module, else empty."""

    kind: Kind
    path: Path
    factory: str = ""
    manifest: Manifest | None = None  # of a model directory

    @property
    def title(self) -> str:
        return self.factory or self.path.name


def find(model: str, weights: Path | None = None, *, trust: bool = False) -> Given:
    """What `model` is: a file, a folder, or `module:callable` of `weights`.

    A pickle is a model only for those who `trust` its author. Raises ConfigError.
    """
    if is_callable(model):
        if weights is None:
            raise ConfigError(f"{model}: a PyTorch module needs --weights, its state_dict")
        return Given("torch", weights, model)
    path = Path(model)
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file, folder or module:callable")
    if path.is_dir():
        return _folder(path)
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None and path.suffix.lower() in _PICKLES:
        return _pickle(path, trust=trust)
    if kind is None:
        known = ", ".join((*_BY_SUFFIX, *_PICKLES[:2]))
        raise ConfigError(f"{path}: not a model that is known here; there are {known}, SavedModel")
    return Given(kind, path)


def is_callable(model: str) -> bool:
    """Whether it names what builds a PyTorch module, and no file."""
    return bool(_CALLABLE.fullmatch(model)) and not Path(model).exists()


def _folder(path: Path) -> Given:
    if (path / "saved_model.pb").exists():
        return Given("saved-model", path)
    if not (path / manifests.MANIFEST).exists():
        raise ConfigError(f"{path}: holds neither saved_model.pb nor {manifests.MANIFEST}")
    manifest = manifests.read(path)
    entry = _best(manifest.file)
    return Given(entry.format, manifest.path(entry), manifest=manifest)


def _best(files: tuple[FileEntry, ...]) -> FileEntry:
    """The most precise one, the first of several."""
    order = ("float32", "float16", "mixed", "int16", "int8")
    return min(files, key=lambda entry: order.index(entry.precision))


def _pickle(path: Path, *, trust: bool) -> Given:
    """A TorchScript archive has code in it; all else is weights, or a pickle."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as exc:
        names = []
        with path.open("rb") as file:
            if file.read(2) in (b"", b"PK"):
                raise ConfigError(f"{path}: empty, or an archive that is cut short") from exc
    if any("/code/" in name for name in names):
        return Given("torchscript", path)
    if trust:
        return Given("torch", path)
    raise ConfigError(
        f"{path}: holds weights, or a pickle that runs code when it is read, and no model: name "
        f"what builds it, as in 'edge-convert my_module:build --weights {path.name}', or save the "
        "model with torch.export.save (.pt2); --trust reads a whole pickled model"
    )
