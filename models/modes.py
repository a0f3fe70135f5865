"""The table of modes: the one place that says what each promises and which tool makes it.

A mode is named as TensorFlow Lite names it. What it promises is checked against the file itself
(`models.flatbuffer.inspect`), whichever tool made it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from inspect import getsource
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models import calibration
from models.calibration import Samples
from models.checkpoint import Checkpoint
from models.convert import float32
from models.errors import QuantizeError
from models.flatbuffer import FLATBUFFER, inspect
from models.store import Store
from tweets.corpus import Corpus

# One rule of an ai-edge-quantizer recipe, by its own names; a later rule overrides an earlier one.
Rule = Mapping[str, Any]


def rule(
    bits: int,
    *,
    granularity: str = "TENSORWISE",
    algorithm: str = "min_max_uniform_quantize",
    operation: str = "*",
    activation_bits: int | None = None,
) -> Rule:
    """Weights of ``bits``, for an operation or all that can be quantized.

    Activations: as many bits with a fixed scale, from calibration, as ``activation_bits`` says; or
    int8 by a scale taken while it runs (dynamic range). Of 16 bits the weights are float16.
    """
    floats = bits == 16
    config: dict[str, Any] = {
        "weight_tensor_config": {
            "num_bits": bits, "symmetric": True, "granularity": granularity,
            "dtype": "FLOAT" if floats else "INT",
        },
        "compute_precision": "FLOAT" if floats else "INTEGER",
        "explicit_dequantize": floats,
    }  # fmt: skip
    if activation_bits:
        config["activation_tensor_config"] = {
            "num_bits": activation_bits, "symmetric": activation_bits == 16,
            "granularity": "TENSORWISE", "dtype": "INT",
        }  # fmt: skip
    return {
        "regex": ".*", "operation": operation,
        "algorithm_key": "float_casting" if floats else algorithm, "op_config": config,
    }  # fmt: skip


# What leaves the graph stays float32 where the graph computes in integers.
FLOAT_LOGITS: Rule = {
    "regex": ".*", "operation": "OUTPUT", "algorithm_key": "no_quantize", "op_config": {},
}  # fmt: skip


@dataclass(frozen=True)
class Mode:
    """What a mode promises, and how it is made.

    Attributes:
        weights: dtype of every table of at least `models.flatbuffer.SMALL` elements.
        activations: dtype of what the operators compute.
        ratio: (least, most) bytes of the file as a share of four bytes a parameter.
        agreement: least share of tweets (percent) answered as the checkpoint's PyTorch model does.
        logit_distance: most mean distance of its logits from that model's, as a share of their
            spread (`devices.answers.logit_distance`).
        worst_logit: the same of any one logit of any one tweet, and of what padding may change.
        recipe: what ai-edge-quantizer is asked for; empty: the converter's own float32 file.
        why: why this tool and this recipe.
    """

    weights: str
    activations: str
    ratio: tuple[float, float]
    agreement: float
    logit_distance: float
    worst_logit: float
    recipe: tuple[Rule, ...]
    why: str

    @property
    def is_calibrated(self) -> bool:
        """Whether its activations' scales come from calibration tweets."""
        return any("activation_tensor_config" in rule["op_config"] for rule in self.recipe)


def flatbuffer(
    mode: str, checkpoint: Checkpoint, store: Store, tweets: Corpus | None = None
) -> Path:
    """The FlatBuffer of ``checkpoint`` in ``mode``, built unless it is there.

    ``tweets``: the calibration split, for the modes that are calibrated.

    Raises:
        QuantizeError: no such mode, no calibration tweets, or its tool failed.
        ConvertError: TensorFlow Lite's converter failed.
    """
    if mode not in MODES:
        raise QuantizeError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    source, recipe = float32(checkpoint, store), MODES[mode].recipe
    if not recipe:
        return source.path / FLATBUFFER
    from models import sharing  # needs what a board does without

    inputs: dict[str, Any] = {
        "from": source.path.name,
        "ai-edge-quantizer": version("ai-edge-quantizer"),
        "recipe": recipe,
        "code": hashlib.sha256((getsource(quantize) + getsource(sharing)).encode()).hexdigest(),
    }
    chosen = None
    if MODES[mode].is_calibrated:
        if tweets is None:
            raise QuantizeError(f"{mode} is calibrated, and there are no calibration tweets")
        chosen = calibration.sample(tweets)
        inputs["calibration"] = {
            "source": chosen.name, "tweets": len(chosen), "sha256": chosen.checksum(),
            "code": hashlib.sha256(getsource(calibration).encode()).hexdigest(),
        }  # fmt: skip

    def build(folder: Path) -> None:
        print(f"quantizing {checkpoint.name}: {mode}", flush=True)
        samples: Samples = {}
        if chosen:
            signatures = inspect(source.path / FLATBUFFER).signatures
            samples = calibration.samples(signatures, checkpoint.tokenizer, chosen.texts)
        content = quantize(source.path / FLATBUFFER, recipe, samples)
        (folder / FLATBUFFER).write_bytes(sharing.share(content))

    return store.artifact(mode, inputs, build).path / FLATBUFFER


def quantize(source: Path, recipe: tuple[Rule, ...], samples: Samples | None = None) -> bytes:
    """A float32 FlatBuffer quantized by ai-edge-quantizer, in seconds; calibrated, in a minute.

    Raises:
        QuantizeError: the tool refused.
    """
    from ai_edge_quantizer import quantizer

    # Signatures share weights, and the tool warns of each one it meets again; its bars are its own.
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            tool = quantizer.Quantizer(str(source), [dict(r) for r in recipe])
            found = tool.calibrate(samples, num_threads=os.cpu_count() or 1) if samples else None
            return bytes(tool.quantize(found).quantized_model)
    except Exception as error:  # the tool raises its own many types
        raise QuantizeError(f"ai-edge-quantizer: {error}") from error
    finally:
        root.setLevel(level)


# What is judged unless other modes are named; the rest are cells of the matrix in tox.ini.
DEFAULT = ("float32", "float16", "dynamic_range")

MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "float32": Mode(
            "float32", "float32", (0.98, 1.02), 99.7,
            1e-4,
            1e-3,
            (),
            "TensorFlow's converter; every other mode starts from this file",
        ),
        "float16": Mode(
            "float16", "float32", (0.49, 0.53), 99.5,
            5e-3,
            0.05,
            (rule(16),),
            "float16 constants, widened by DEQUANTIZE when loaded",
        ),
        "dynamic_range": Mode(
            "int8", "float32", (0.24, 0.28), 97.0,
            0.05,
            0.5,
            (rule(8),),
            "one scale a tensor: with one a channel tflite-runtime 2.14 answers zeros, without an "
            "error, and refuses the converter's own (FULLY_CONNECTED v12)",
        ),
        "full_integer": Mode(
            "int8", "int8", (0.24, 0.30), 97.0,
            0.2,
            1.2,
            (
                rule(8, granularity="CHANNELWISE", activation_bits=8),
                rule(8, operation="EMBEDDING_LOOKUP"),
                FLOAT_LOGITS,
            ),
            "activations' scales from calibration tweets; the embedding has no such form and is "
            "looked up as in dynamic_range; biases differ between lengths, as scales do",
        ),
        "int4": Mode(
            "int4", "float32", (0.12, 0.16), 97.0,
            0.07,
            0.6,
            (rule(4, granularity="CHANNELWISE", algorithm="OCTAV"),),
            "scales that clip what is rare (OCTAV) keep more answers than the largest weight does",
        ),
    }
)  # fmt: skip
