"""dynamic_range: weights of 8 bits. A dense layer quantizes its input at run time.

In TensorFlow Lite there is one scale a tensor, for both runtimes. With one a channel,
tflite-runtime 2.14 returns wrong outputs without an error, or refuses the converter's own file
(FULLY_CONNECTED v12), and ai-edge-litert gains nothing that can be measured
(docs/reference/modes.md). In ONNX it is ONNX Runtime's own dynamic quantization.
"""

from dataclasses import replace

from models.mode import Context, Mode
from models.onnx import quantizer as onnx_quantizer
from models.tflite import quantizer

RECIPE = (quantizer.rule(8),)


def build(context: Context) -> bytes:
    return quantizer.build(context, RECIPE)


TFLITE = Mode(
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
# Its embedding is uint8: tables that are looked up take the activations' dtype. All else that is
# promised is the same. Measured with mobilebert-brands: 0.265 of float32's size; on 200
# evaluation texts a mean error of 0.0044, a maximum of 0.024 and an agreement of 100%.
ONNX = replace(
    TFLITE,
    weights=("int8", "uint8"),
    build=onnx_quantizer.dynamic,
    tools=onnx_quantizer.TOOLS,
)
MODE = replace(TFLITE, variants={"onnx": ONNX})
