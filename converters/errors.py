"""What goes wrong on the workstation; exit codes beside those of `edge_runtime.errors`."""

from __future__ import annotations

from edge_runtime.errors import EdgeRunError


class ConversionError(EdgeRunError):
    """This model cannot be converted this way; the message names the layer and the way out."""

    exit_code = 3


class GateError(EdgeRunError):
    """What was converted is not good enough to be shipped; nothing was written."""

    exit_code = 4
