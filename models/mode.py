"""What a mode is: what it promises, and how it is built. The modes are in `models/modes/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import QuantizeError

if TYPE_CHECKING:
    from data.dataset import Dataset
    from models.checkpoints.checkpoint import Checkpoint
    from models.contents import Contents

TFLITE = "tflite"


@dataclass(frozen=True)
class Context:
    """What a mode can be built from.

    Attributes:
        checkpoint: the candidate.
        float32: its float32 model file, in the same format.
        calibration: the calibration split; None where there is none.
        keep_names: leave tensors named as in ``float32``, so that both can be compared layer by
            layer. A tool that cannot do that ignores it.
    """

    checkpoint: Checkpoint
    float32: Path
    calibration: Dataset | None = None
    keep_names: bool = False


def _no_inputs(checkpoint: Checkpoint, calibration: Dataset | None) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Mode:
    """What a mode promises of a model file, and how that is built.

    Attributes:
        order: its place in tables.
        weights: dtypes that tables of at least `models.contents.SMALL` elements may have.
        activations: dtype of every matrix product.
        ratio: minimum and maximum size of the file, as a share of four bytes a parameter.
        agreement: minimum percent of texts with the prediction of the checkpoint in PyTorch.
        mean_logit_error: maximum of the mean normalized logit error
            (`devices.measurement.numerics.mean_logit_error`).
        max_logit_error: maximum of the same for any one logit of any one text.
        calibrated: whether it is built with calibration texts.
        build: returns the model file's content; None: the float32 file is the model file.
        inputs: returns what else goes into the file, as JSON, for the cache's key. It is asked
            before anything is built, so it also refuses a checkpoint that cannot be built.
        tools: distributions whose versions decide the file.
        variants: by further format, the mode there, with the promises that hold there.
    """

    order: int
    weights: tuple[str, ...]
    activations: str
    ratio: tuple[float, float]
    agreement: float
    mean_logit_error: float
    max_logit_error: float
    calibrated: bool = False
    build: Callable[[Context], bytes] | None = None
    inputs: Callable[[Checkpoint, Dataset | None], Mapping[str, Any]] = _no_inputs
    tools: tuple[str, ...] = ()
    variants: Mapping[str, Mode] = field(default_factory=dict)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that it can be built in."""
        return (TFLITE, *self.variants)

    def in_format(self, format: str) -> Mode:
        """Return the mode with the promises and the tools of ``format``.

        Raises:
            QuantizeError: it is not built in that format.
        """
        if format == TFLITE:
            return self
        if format not in self.variants:
            formats = ", ".join(self.formats)
            raise QuantizeError(f"this mode is not built as {format}; it is built as {formats}")
        return self.variants[format]

    def dtype_faults(self, contents: Contents) -> dict[str, str]:
        """Return what is not as promised, in a sentence each, by "weights" and "activations"."""
        large, computed = contents.large_weights, contents.activations
        faults = {}
        if not large or not set(large) <= set(self.weights):
            promised = " or ".join(self.weights)
            faults["weights"] = f"{promised} is promised; the file's large constants: {large}"
        if set(computed) != {self.activations}:
            faults["activations"] = f"{self.activations} is promised; the file computes {computed}"
        return faults
