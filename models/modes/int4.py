"""int4: weights of 4 bits, the embedding included.

Scales that clip rare values (OCTAV) keep more predictions than scales by the largest weight.
"""

from models.mode import Context, Mode
from models.tflite import quantizer

RECIPE = (quantizer.rule(4, granularity="CHANNELWISE", algorithm="OCTAV"),)


def build(context: Context) -> bytes:
    return quantizer.build(context, RECIPE)


MODE = Mode(
    order=5,
    weights=("int4",),
    activations="float32",
    ratio=(0.12, 0.16),
    agreement=97.0,
    mean_logit_error=0.07,
    max_logit_error=0.6,
    build=build,
    tools=quantizer.TOOLS,
)
