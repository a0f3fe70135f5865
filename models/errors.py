"""The errors of this room: one type for each stage, so that an expected failure can name it.

``verdict`` is the verdict that the error means for a target. Without one it is *invalid*: nothing
valid was measured.
"""


class CheckpointError(ValueError):
    """A checkpoint cannot be judged."""


class SaveError(RuntimeError):
    """A file of a checkpoint could not be written; what was there before is unchanged."""


class ReferenceOutputsError(ValueError):
    """Reference outputs are missing, edited, or of other texts or weights."""


class ConvertError(RuntimeError):
    """The float32 model file could not be made from the checkpoint."""

    verdict = "cannot run"


class QuantizeError(RuntimeError):
    """A mode could not be made from the float32 model file."""

    verdict = "cannot run"


class ModelFileError(ValueError):
    """A model file is damaged, of another format, or cannot be read here."""


class ExportError(ValueError):
    """A checkpoint cannot be written as a file for another client."""


class BundleError(ValueError):
    """A bundle is incomplete, edited, or its parts are about different things."""
