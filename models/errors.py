"""One typed exception a stage, so that an expected failure can name the stage it fails at.

`verdict` is what such an error says of a target. An error without one is *invalid*: nothing valid
was measured.
"""


class CheckpointError(ValueError):
    """A checkpoint that cannot be judged; the message says what is wrong and what to do."""


class SaveError(RuntimeError):
    """A file of a checkpoint could not be written; what was there before is still whole."""


class ReferenceOutputsError(ValueError):
    """Reference outputs that is missing, edited, or about other texts or weights."""


class ConvertError(RuntimeError):
    """TensorFlow Lite's converter made no FlatBuffer, or not the one asked for."""

    verdict = "cannot run"


class QuantizeError(RuntimeError):
    """A mode could not be made from the float32 FlatBuffer."""

    verdict = "cannot run"


class ModelFileError(ValueError):
    """A file that is not a whole FlatBuffer, or does not contain what its mode promises."""


class BundleError(ValueError):
    """A bundle that is not whole, or is at odds with itself."""
