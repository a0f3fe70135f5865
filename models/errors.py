"""One typed exception a stage, so that a declared failure can name the stage it fails at."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be judged; the message says what is wrong and what to do."""


class SaveError(RuntimeError):
    """A file of a checkpoint could not be written; what was there before is still whole."""


class CardError(ValueError):
    """A card that is missing, edited, or about other tweets or weights."""


class ConvertError(RuntimeError):
    """TensorFlow Lite's converter made no FlatBuffer, or not the one asked for."""


class QuantizeError(RuntimeError):
    """A mode could not be made from the float32 FlatBuffer."""


class FlatBufferError(ValueError):
    """A file that is not a whole FlatBuffer, or does not contain what its mode promises."""


class BundleError(ValueError):
    """A bundle that is not whole, or is at odds with itself."""
