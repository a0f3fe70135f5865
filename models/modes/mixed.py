"""mixed: 8, 4 or 2 bits a layer, as few as a budget permits, by the checkpoint's ``mixed.json``.

`models.tflite.mixed_precision` measures that file.
"""

from typing import Any

from data.dataset import Dataset
from models.checkpoints.checkpoint import Checkpoint
from models.mode import Context, Mode
from models.tflite import mixed_precision, quantizer


def build(context: Context) -> bytes:
    return quantizer.build(context, mixed_precision.recipe_of(context.checkpoint, context.float32))


def inputs(checkpoint: Checkpoint, calibration: Dataset | None) -> dict[str, Any]:
    """Return the bits of each group of layers."""
    return {"bits": mixed_precision.load(checkpoint).bits}


MODE = Mode(
    order=6,
    weights=("int8", "int4", "int2"),
    activations="float32",
    ratio=(0.06, 0.16),
    agreement=95.0,
    mean_logit_error=0.15,
    max_logit_error=1.0,
    build=build,
    inputs=inputs,
    tools=quantizer.TOOLS,
)
