"""A program that tries delegates with a model of one matrix product, a JSON line for each.

    python -m edge_runtime.backends.probe tflite xnnpack cpu

That a runtime can be imported proves nothing: a wheel for another processor dies with SIGILL at
the first kernel, and tflite-runtime beside numpy 2 at the first interpreter. So this runs in a
process of its own, and says what it found before it goes on to the next delegate.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from edge_runtime.errors import DelegateError, MissingExtraError, ModelLoadError

from .onnx import Onnx
from .tflite import TFLite

_FOLDER = Path(__file__).parent
_INPUT = np.arange(8, dtype=np.float32)[None]
_OUTPUT = np.roll(_INPUT, 1) + 1
_TOLERANCE = 0.05  # accelerators may compute in half precision


def main(words: list[str]) -> None:
    """Probe the delegates `words[1:]` of the format `words[0]`."""
    for delegate in words[1:]:
        state, runtime, detail = probe(words[0], delegate)
        line = {"delegate": delegate, "state": state, "runtime": runtime, "detail": detail}
        sys.stdout.write(f"{json.dumps(line)}\n")
        sys.stdout.flush()


def probe(kind: str, delegate: str) -> tuple[str, str, str]:
    """Load and run the probe model: state, runtime, and why not.

    The state is `ok`; `missing`, a package or library is not here; or `fail`.
    """
    make = Onnx if kind == "onnx" else TFLite
    backend = make(path=_FOLDER / f"probe.{kind}", delegate=delegate)
    try:
        backend.open()
        found = backend.run([_INPUT])[0]
    except MissingExtraError as exc:
        absent = isinstance(exc.__cause__, ModuleNotFoundError)
        return "missing" if absent else "fail", "", str(exc)
    except DelegateError as exc:
        return "missing", backend.runtime, str(exc)
    except ModelLoadError as exc:
        return "fail", backend.runtime, str(exc)
    finally:
        backend.close()
    if not np.allclose(found, _OUTPUT, atol=_TOLERANCE):
        return "fail", backend.runtime, f"computes {found.tolist()}, not {_OUTPUT.tolist()}"
    return "ok", backend.runtime, ""


if __name__ == "__main__":
    main(sys.argv[1:])
