"""Every error of edge-run, named after the reaction to it.

    EdgeRunError
    |-- ConfigError            the user changes the configuration          exit 2
    |   `-- MissingExtraError  the user installs a package                 exit 2
    |-- SourceLostError        capture closes, backs off, reopens          exit 1
    |-- FrameError             counted, dropped; N in a row: reopened      exit 1 when recorded
    |   `-- LeadOffError       a published state until samples come again  never ends the run
    |-- ModelLoadError         this model cannot run                       exit 3
    |   `-- DelegateError      the next listed delegate is tried           exit 3
    |-- SinkError              the outbox holds what was not delivered     exit 1
    `-- UpdateError
        |-- DownloadError      later                                       exit 1
        |-- RefusedError       the gate: not on this device; quarantined   exit 3
        |-- VerificationError  never retried; an alarm                     exit 4
        `-- ActivationError    rolled back                                 exit 5

`EndOfStream` is not an error: a recorded source has nothing more to give. Any other exception is
a bug: traceback, exit 1, the supervisor restarts.
"""

from __future__ import annotations


class EdgeRunError(Exception):
    """The base of all errors that a user can act on. The message is one line."""

    exit_code = 1


class ConfigError(EdgeRunError):
    """The run file, an option or a model directory says something impossible."""

    exit_code = 2


class MissingExtraError(ConfigError):
    """A component needs a package that is not installed.

    Args:
        what: the component that asked, for example "source camera".
        extra: the extra of edge-runtime that brings the package.
        cause: the import error, told because a broken install is not a missing one.
    """

    def __init__(self, what: str, extra: str, cause: ImportError) -> None:
        super().__init__(
            f"{what} needs the [{extra}] extra ({cause}): pip install 'edge-runtime[{extra}]'"
        )


class BadOptionError(ValueError):
    """A constructor refuses an option; whoever read the option adds file and line.

    Args:
        key: the option's name.
        message: what is wrong with it and what would do.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")
        self.key = key
        self.message = message


class EndOfStream(Exception):  # noqa: N818 - a signal, not an error
    """A recorded source is at its end."""


class SourceLostError(EdgeRunError):
    """A source stopped giving frames: unplugged, closed, unreadable."""


class FrameError(EdgeRunError):
    """One frame cannot be used; the stream goes on."""


class LeadOffError(FrameError):
    """An electrode is off: a source says so once, and gives nothing until it is on again."""


class ModelLoadError(EdgeRunError):
    """A model file or directory cannot be used on this device."""

    exit_code = 3


class DelegateError(ModelLoadError):
    """A delegate cannot run this model here; another one may."""


class SinkError(EdgeRunError):
    """Results could not be delivered."""


class UndeliveredError(SinkError):
    """Results could not be delivered yet: the outbox holds them, and the next start sends them."""


class UpdateError(EdgeRunError):
    """A model update failed; the active model is untouched.

    Args:
        message: one line for a person.
        reason: a word for programs, such as "expired", "rollback", "hash", "too-slow".
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class DownloadError(UpdateError):
    """The bytes could not be had; try again later."""


class RefusedError(UpdateError):
    """The candidate does not do its work on this device."""

    exit_code = 3


class VerificationError(UpdateError):
    """The bytes are not what the signer released."""

    exit_code = 4


class ActivationError(UpdateError):
    """The new model was put live and taken back."""

    exit_code = 5
