"""Quantization with ai-edge-quantizer: a float32 FlatBuffer and rules in, a FlatBuffer out."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import QuantizeError
from models.tflite.flatbuffer import masked_scores, unpack

if TYPE_CHECKING:
    from models.mode import Context
    from models.tflite.calibration import Samples

# One rule of a recipe, by the tool's own names; a later rule overrides an earlier one.
Rule = Mapping[str, Any]
# By tensor name, its "min" and its "max".
Ranges = Mapping[str, Mapping[str, np.ndarray]]
TOOLS = ("ai-edge-quantizer",)
# With fixed scales, how far a masked score is below the lowest real one: exp(-12) is 6e-6.
MASKED_BELOW = 12.0
# The logits stay float32 where the graph computes in integers.
FLOAT_LOGITS: Rule = {
    "regex": ".*",
    "operation": "OUTPUT",
    "algorithm_key": "no_quantize",
    "op_config": {},
}


def rule(
    bits: int,
    *,
    granularity: str = "TENSORWISE",
    algorithm: str = "min_max_uniform_quantize",
    operation: str = "*",
    activation_bits: int | None = None,
    where: str = ".*",
) -> Rule:
    """Return a rule for weights of ``bits``; of 16 bits they are float16.

    Args:
        bits: of a weight.
        granularity: "TENSORWISE" or "CHANNELWISE": what shares a scale.
        algorithm: how the scales are found.
        operation: the operation it is for; "*" for all that can be quantized.
        activation_bits: of activations with a fixed scale, which comes from calibration. None: a
            dense layer computes in int8 with a scale taken at run time (dynamic range).
        where: a regular expression, searched for in the names of what the operation computes.
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


def build(context: Context, recipe: Sequence[Rule]) -> bytes:
    """Return the float32 model file quantized by ``recipe``, with whatever is equal stored once.

    Raises:
        QuantizeError: the tool refused.
    """
    from models.tflite import transformations

    content = quantize(context.float32, recipe)
    return content if context.keep_names else transformations.share(content)


def quantize(source: Path, recipe: Sequence[Rule], ranges: Ranges | None = None) -> bytes:
    """Return a float32 FlatBuffer quantized.

    Args:
        source: the float32 FlatBuffer.
        recipe: the rules.
        ranges: of its tensors, where a rule has ``activation_bits``.

    Raises:
        QuantizeError: the tool refused.
    """
    from ai_edge_quantizer import quantizer

    with _tool():
        tool = quantizer.Quantizer(str(source), [dict(r) for r in recipe])
        return bytes(tool.quantize(dict(ranges) if ranges else None).quantized_model)


def calibrate(source: Path, samples: Samples) -> Ranges:
    """Return the minimum and the maximum that each tensor of a float32 FlatBuffer reaches.

    All samples count alike. The tool's own default is a moving average, which forgets all but the
    last few samples and clips the others. A tensor has one range in all signatures, so that they
    agree with each other, and so that biases, which are in units of scales, are stored once.
    Masked scores are cut off `MASKED_BELOW` the lowest unmasked one: real scores keep the steps.

    Raises:
        QuantizeError: the tool refused.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    with _tool():
        tool = calibrator.Calibrator(
            str(source),
            num_threads=os.cpu_count() or 1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=qsv_utils.min_max_update,
        )
        tool.calibrate(samples, None)
        ranges = dict(tool.get_model_qsvs())
    model = unpack(source.read_bytes(), source)
    # The converter lays every signature out alike, and only numbers the names again.
    for names in zip(
        *([t.name.decode() for t in graph.tensors] for graph in model.subgraphs), strict=True
    ):
        known = [ranges[name] for name in names if name in ranges]
        if known:
            lower = np.min([one["min"] for one in known], axis=0)
            upper = np.max([one["max"] for one in known], axis=0)
            ranges |= {name: {"min": lower, "max": upper} for name in names}
    for scores, masked in masked_scores(model):
        lower = ranges[scores.name.decode()]["min"] - MASKED_BELOW
        name = masked.name.decode()
        ranges[name] = {"min": np.maximum(ranges[name]["min"], lower), "max": ranges[name]["max"]}
    return ranges


@contextlib.contextmanager
def _tool() -> Iterator[None]:
    # Signatures share weights, and the tool warns of each that it meets again. It has progress
    # bars too.
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
