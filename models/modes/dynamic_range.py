"""dynamic_range: int8 weights. A dense layer quantizes its input at run time.

In TensorFlow Lite there is one scale a tensor, for both runtimes. With one a channel,
tflite-runtime 2.14 returns wrong outputs without an error, or refuses the converter's own file
(FULLY_CONNECTED v12), and ai-edge-litert gains nothing that can be measured
(docs/reference/modes.md).
"""

from models.mode import Context, Mode
from models.tflite import quantizer

RECIPE = (quantizer.rule(8),)


def build(context: Context) -> bytes:
    return quantizer.build(context, RECIPE)


MODE = Mode(
    order=2,
    weights=("int8",),
    activations="float32",
    ratio=(0.24, 0.28),
    agreement=97.0,
    mean_logit_error=0.05,
    max_logit_error=0.5,
    build=build,
    tools=quantizer.TOOLS,
)
