"""What goes wrong on the workstation; exit codes beside those of `edge_runtime.errors`."""

from __future__ import annotations

from edge_runtime.errors import EdgeRunError


class ConversionError(EdgeRunError):
    """This model cannot be converted this way; the message names the layer and the way out."""

    exit_code = 3


class MisfitError(ConversionError):
    """The contract is not this model's; the message says what the model has."""

    exit_code = 2


class GateError(EdgeRunError):
    """What was converted is not good enough to be shipped; nothing was written."""

    exit_code = 4
