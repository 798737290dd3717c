"""A run of signal samples as an input tensor."""

from __future__ import annotations

import numpy as np

from edge_runtime.ecg.leads import canonical_lead
from edge_runtime.errors import ConfigError, FrameError
from edge_runtime.frame import Array, Frame, Signal
from edge_runtime.interfaces import TensorSpec
from edge_runtime.manifest import InputEntry

from .quantise import blank, input_spec, quantise

_PER_MV = {"mv": 1.0, "uv": 1e3, "v": 1e-3, "raw": 1.0}
_RATE_TOLERANCE = 1e-3


class SignalInput:
    """Writes a signal frame into an input tensor: leads in order, units, layout, quantise.

    Frames are in mV; `units` is what the model wants: "mV", "uV" or "V", or "raw" for a signal
    that is no voltage and goes in as it comes. With `context`, that many samples from the end of
    the frame before stand first; zeros at the start of a source and after a gap. Dimensions of
    1 may follow those of the layout, as 2-D networks have them.

    Raises ConfigError when manifest and file contradict each other.
    """

    def __init__(self, entry: InputEntry, spec: TensorSpec) -> None:
        self._entry = entry
        self._spec = input_spec(entry, spec)
        samples, leads = _signal_shape(entry, self._spec)
        self._new = samples - entry.context
        if self._new < 1:
            raise ConfigError(f"input '{entry.name}': context: leaves no room for new samples")
        self._leads = tuple(canonical_lead(name) for name in entry.leads)
        if self._leads and len(self._leads) != leads:
            raise ConfigError(
                f"input '{entry.name}': leads: names {len(self._leads)}, the tensor has {leads}"
            )
        key = entry.units.lower().replace("µ", "u").replace("μ", "u")
        if key not in _PER_MV:
            raise ConfigError(
                f"input '{entry.name}': units: '{entry.units}' is not mV, uV, V or raw"
            )
        self._factor = np.float32(_PER_MV[key])
        self._window = np.zeros((samples, leads), np.float32)  # real values, in time order
        self._tensor = blank(self._spec)
        self._ordered = self._window.T if entry.layout == "NCT" else self._window
        self._tails: dict[str, tuple[int, Signal]] = {}  # by source: the seq that follows, samples
        self._columns: dict[tuple[str, ...], list[int]] = {}

    def __call__(self, frame: Frame) -> tuple[Array, None]:
        """Fill the tensor.

        Raises:
            ConfigError: the stream has other leads or another rate; that does not pass.
            FrameError: this frame has another length, or a NaN.
        """
        columns = self._checked(frame)
        context = self._entry.context
        self._window[:context] = self._tail(frame)
        new = self._window[context:]
        np.multiply(frame.data[:, columns], self._factor, out=new)
        if not np.isfinite(new).all():
            self._tails.pop(frame.source, None)
            raise FrameError(f"{frame.source}: the signal holds a NaN")
        if context:
            self._tails[frame.source] = (frame.seq + 1, self._window[-context:].copy())
        self._tensor[...] = quantise(self._ordered, self._spec).reshape(self._tensor.shape)
        return self._tensor, None

    def _tail(self, frame: Frame) -> Signal | float:
        following, tail = self._tails.get(frame.source, (-1, None))
        return tail if tail is not None and following == frame.seq else 0.0

    def _checked(self, frame: Frame) -> list[int]:
        """The wanted columns of a frame that fits."""
        if frame.leads not in self._columns:
            self._columns[frame.leads] = self._choose(frame)
        rate_hz, wanted_hz = frame.rate_hz or 0.0, self._entry.rate_hz
        if abs(rate_hz - wanted_hz) > _RATE_TOLERANCE * wanted_hz:
            raise ConfigError(
                f"{frame.source}: {rate_hz:g} samples a second, the model takes {wanted_hz:g}: "
                "add the step 'resample'"
            )
        columns = self._columns[frame.leads]
        if (
            frame.data.ndim != 2
            or len(frame.data) != self._new
            or frame.data.shape[1] <= max(columns)
        ):
            raise FrameError(
                f"{frame.source}: frame is {frame.data.shape}, the model takes {self._new} samples "
                f"of {len(columns)} leads: the step 'window' cuts them"
            )
        return columns

    def _choose(self, frame: Frame) -> list[int]:
        if not self._leads:
            columns = frame.data.shape[1] if frame.data.ndim == 2 else 0
            if columns != self._window.shape[1]:
                raise ConfigError(
                    f"{frame.source}: {columns} leads, the model takes {self._window.shape[1]}"
                )
            return list(range(columns))
        there = [canonical_lead(name) for name in frame.leads]
        missing = [name for name in self._leads if name not in there]
        if missing:
            has = ", ".join(there) or "no named lead"
            raise ConfigError(
                f"{frame.source}: has no lead {', '.join(missing)}, which the model takes; "
                f"it has {has}"
            )
        return [there.index(name) for name in self._leads]


def _signal_shape(entry: InputEntry, spec: TensorSpec) -> tuple[int, int]:
    """Samples and leads. Raises ConfigError when the tensor is not of that layout."""
    sizes = [size or 0 for size in spec.shape]
    rank = len(entry.layout)
    if len(sizes) < rank or min(sizes, default=0) < 1 or any(size != 1 for size in sizes[rank:]):
        raise ConfigError(f"input '{entry.name}': shape: {sizes} is not {entry.layout}")
    if entry.layout == "NT":
        return sizes[1], 1
    if entry.layout == "NTC":
        return sizes[1], sizes[2]
    return sizes[2], sizes[1]
