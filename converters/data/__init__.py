"""Calibration and evaluation data, prepared by the code that will prepare frames on the device."""

from .cases import Cases, Truth
from .leak import refuse_leak
from .reader import read

__all__ = ["Cases", "Truth", "read", "refuse_leak"]
