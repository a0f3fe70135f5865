"""int16x8: as full_integer, with activations of 16 bits.

The outputs are nearly those of float32, from kernels that take ten times as long.
"""

from models.mode import Context, Mode
from models.tflite import calibration
from models.tflite.quantizer import FLOAT_LOGITS, rule

RECIPE = (
    rule(8, granularity="CHANNELWISE", activation_bits=16),
    rule(8, operation="EMBEDDING_LOOKUP"),
    FLOAT_LOGITS,
)


def build(context: Context) -> bytes:
    return calibration.build(context, RECIPE)


MODE = Mode(
    order=4,
    weights=("int8",),
    activations="int16",
    ratio=(0.24, 0.30),
    agreement=99.0,
    mean_logit_error=0.02,
    max_logit_error=0.1,
    calibrated=True,
    build=build,
    inputs=calibration.inputs,
    tools=calibration.TOOLS,
)
