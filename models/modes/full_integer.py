"""full_integer: int8 weights and int8 activations.

The scales of activations come from calibration texts, one for all lengths. The embedding has no
such form and is looked up as in dynamic_range.
"""

from models.mode import Context, Mode
from models.tflite import calibration
from models.tflite.quantizer import FLOAT_LOGITS, rule

RECIPE = (
    rule(8, granularity="CHANNELWISE", activation_bits=8),
    rule(8, operation="EMBEDDING_LOOKUP"),
    FLOAT_LOGITS,
)


def build(context: Context) -> bytes:
    return calibration.build(context, RECIPE)


MODE = Mode(
    order=3,
    weights=("int8",),
    activations="int8",
    ratio=(0.24, 0.30),
    agreement=97.0,
    mean_logit_error=0.12,
    max_logit_error=0.8,
    calibrated=True,
    build=build,
    inputs=calibration.inputs,
    tools=calibration.TOOLS,
)
