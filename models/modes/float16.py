"""float16: constants of 16 bits, which the runtime widens to float32 when it loads them."""

from models.mode import Context, Mode
from models.tflite import quantizer

RECIPE = (quantizer.rule(16),)


def build(context: Context) -> bytes:
    return quantizer.build(context, RECIPE)


MODE = Mode(
    order=1,
    weights=("float16",),
    activations="float32",
    ratio=(0.49, 0.53),
    agreement=99.5,
    mean_logit_error=5e-3,
    max_logit_error=0.05,
    build=build,
    tools=quantizer.TOOLS,
)
