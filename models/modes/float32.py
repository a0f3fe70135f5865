"""float32: TensorFlow's converter, or the ONNX graph. Every other mode starts from this file."""

from dataclasses import replace

from models.mode import Mode

TFLITE = Mode(
    order=0,
    weights=("float32",),
    activations="float32",
    ratio=(0.98, 1.02),
    agreement=99.7,
    mean_logit_error=1e-4,
    max_logit_error=1e-3,
)
MODE = replace(TFLITE, variants={"onnx": TFLITE})
