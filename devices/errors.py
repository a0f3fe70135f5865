"""One typed exception a stage, so that an expected failure can name the stage it fails at.

`verdict` is what such an error says of a target. An error without one is *invalid*: nothing valid
was measured.
"""


class DeviceError(ValueError):
    """An unknown device, a profile that cannot be read, the wrong machine, or an unusable spec."""


class NoRuntimeError(RuntimeError):
    """A board has not the runtime, and perhaps cannot have it."""

    verdict = "cannot run"


class ProvisionError(RuntimeError):
    """An environment could not be made: a tool, a network or a source is missing here, which says
    nothing of the board."""


class LoadError(RuntimeError):
    """The runtime refuses the FlatBuffer or crashes on it, or it is no text classifier."""

    verdict = "cannot run"


class InvokeError(RuntimeError):
    """The FlatBuffer loaded; then it failed."""

    verdict = "cannot run"


class SilentlyWrongError(RuntimeError):
    """The classifier answers without an error, and they are wrong, such as constant zeros."""

    verdict = "cannot run"


class WorkerError(RuntimeError):
    """The worker did not start, died, broke off, or missed its deadline.

    `signal` is the name of the signal it died of, where that is known.
    """

    def __init__(self, message: str, signal: str | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class OutOfMemoryError(WorkerError):
    """The board has too little memory: Python got none, or the kernel killed for want of it."""

    verdict = "cannot run"


class EnergyError(ValueError):
    """A meter or its log that does not say what a timed part took."""
