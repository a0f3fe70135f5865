"""ai-edge-quantizer, as it is asked here: rules in, a FlatBuffer out, in seconds."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import QuantizeError
from models.tflite.calibration import Samples
from models.tflite.contents import masked_scores, unpack

# One rule of a recipe, by the tool's own names; a later rule overrides an earlier one.
Rule = Mapping[str, Any]
# What each tensor reaches, by its name: "min" and "max".
Ranges = Mapping[str, Mapping[str, np.ndarray]]
# With fixed scales, how far below the least score of all a masked one is: exp(-12) is 6e-6.
MASKED_BELOW = 12.0


def rule(
    bits: int,
    *,
    granularity: str = "TENSORWISE",
    algorithm: str = "min_max_uniform_quantize",
    operation: str = "*",
    activation_bits: int | None = None,
    where: str = ".*",
) -> Rule:
    """Weights of ``bits``, for an operation or all that can be quantized.

    Activations: of ``activation_bits`` with a fixed scale, from calibration; or int8 by a scale
    taken while it runs (dynamic range). Of 16 bits the weights are float16. ``where``: a regular
    expression, searched for in the names of what the operation computes.
    """
    floats = bits == 16
    config: dict[str, Any] = {
        "weight_tensor_config": {
            "num_bits": bits,
            "symmetric": True,
            "granularity": granularity,
            "dtype": "FLOAT" if floats else "INT",
        },
        "compute_precision": "FLOAT" if floats else "INTEGER",
        "explicit_dequantize": floats,
    }
    if activation_bits:
        config["activation_tensor_config"] = {
            "num_bits": activation_bits,
            "symmetric": activation_bits == 16,
            "granularity": "TENSORWISE",
            "dtype": "INT",
        }
    return {
        "regex": where,
        "operation": operation,
        "algorithm_key": "float_casting" if floats else algorithm,
        "op_config": config,
    }


def quantize(source: Path, recipe: Sequence[Rule], ranges: Ranges | None = None) -> bytes:
    """A float32 FlatBuffer quantized; ``ranges`` of its tensors where a rule needs them.

    Raises:
        QuantizeError: the tool refused.
    """
    from ai_edge_quantizer import quantizer

    with _asking():
        tool = quantizer.Quantizer(str(source), [dict(r) for r in recipe])
        return bytes(tool.quantize(dict(ranges) if ranges else None).quantized_model)


def calibrate(source: Path, samples: Samples) -> Ranges:
    """The least and the greatest value that each tensor of a float32 FlatBuffer reaches.

    Each sample counts alike: the tool's own default, a moving average of both, forgets all but the
    last few, and cuts off what the others reach. A tensor has one range in all signatures, so that
    one answers like the other and biases, which are in units of scales, are stored once. Masked
    scores are cut off `MASKED_BELOW` the least one without a mask: real ones keep the steps.

    Raises:
        QuantizeError: the tool refused.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    with _asking():
        asked = calibrator.Calibrator(
            str(source),
            num_threads=os.cpu_count() or 1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=qsv_utils.min_max_update,
        )
        asked.calibrate(samples, None)
        found = dict(asked.get_model_qsvs())
    model = unpack(source.read_bytes(), source)
    # The converter lays every signature out alike, and only numbers the names again.
    for names in zip(
        *([t.name.decode() for t in graph.tensors] for graph in model.subgraphs), strict=True
    ):
        known = [found[name] for name in names if name in found]
        if known:
            least = np.min([one["min"] for one in known], axis=0)
            most = np.max([one["max"] for one in known], axis=0)
            found |= {name: {"min": least, "max": most} for name in names}
    for scores, masked in masked_scores(model):
        least = found[scores.name.decode()]["min"] - MASKED_BELOW
        name = masked.name.decode()
        found[name] = {"min": np.maximum(found[name]["min"], least), "max": found[name]["max"]}
    return found


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    # Signatures share weights, and the tool warns of each one it meets again; its bars are its own.
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:  # the tool raises its own many types
        raise QuantizeError(f"ai-edge-quantizer: {error}") from error
    finally:
        root.setLevel(level)
