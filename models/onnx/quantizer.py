"""ONNX Runtime's own dynamic quantization, as it documents it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from models.errors import QuantizeError

if TYPE_CHECKING:
    from models.mode import Context

TOOLS = ("onnxruntime", "onnx")


def dynamic(context: Context) -> bytes:
    """Return the float32 ONNX model with weights of 8 bits, one scale a tensor, tables included.

    The input of a dense layer is quantized at run time. Products of two activations stay float32.

    Raises:
        QuantizeError: onnxruntime is not installed, or refused.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else it reports to Microsoft what it is used for
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise QuantizeError(
            f"{error}: install the dependency group build of pyproject.toml"
        ) from None
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises to fold constants first, of which there are none
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "quantized.onnx"
            # Given a path instead, it would write next to that file.
            quantize_dynamic(onnx.load(context.float32), path, weight_type=QuantType.QInt8)
            return path.read_bytes()
    except Exception as error:  # the tool raises its own many types
        raise QuantizeError(f"onnxruntime: {error}") from error
    finally:
        root.setLevel(level)
