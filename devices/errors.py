"""One typed exception a stage, so that a declared failure can name the stage it fails at."""


class DeviceError(ValueError):
    """An unknown device, a profile that cannot be read, the wrong machine, or an unusable spec."""


class NoRuntimeError(RuntimeError):
    """A board has not the runtime, and perhaps cannot have it."""


class ProvisionError(RuntimeError):
    """An environment could not be made: a tool, a network or a source is missing here, which says
    nothing of the board."""


class LoadError(RuntimeError):
    """The runtime refuses the FlatBuffer or crashes on it, or it is no text classifier."""


class InvokeError(RuntimeError):
    """The FlatBuffer loaded; then it failed."""


class SilentlyWrongError(RuntimeError):
    """The classifier answers without an error, and the answers are wrong, such as constant zeros.

    Nothing in this room raises it: only a suite knows what the right answers are.
    """


class RunnerError(RuntimeError):
    """The runner did not start, died, broke off, or missed its deadline.

    `signal` is the name of the signal it died of, where that is known.
    """

    def __init__(self, message: str, signal: str | None = None) -> None:
        super().__init__(message)
        self.signal = signal


class OutOfMemoryError(RunnerError):
    """The board has too little memory: Python got none, or the kernel killed for want of it."""


class EnergyError(ValueError):
    """A meter or its log that does not say what a timed part took."""
