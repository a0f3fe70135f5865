"""The table of modes: the one place that says what each promises and which tool makes it.

A mode is named as TensorFlow Lite names it. What it promises is checked against the file itself
(`models.flatbuffer.inspect`), whichever tool made it.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.checkpoint import Checkpoint
from models.convert import FLATBUFFER, convert, converter, saved_model
from models.errors import QuantizeError
from models.flatbuffer import share_vectors
from models.store import Artifact, Store


@dataclass(frozen=True)
class Recipe:
    """How a mode is made for one runtime.

    Attributes:
        tool: who makes the FlatBuffer.
        why: why this tool and form for this runtime.
        make: (checkpoint, store) → the FlatBuffer's artifact.
    """

    tool: str
    why: str
    make: Callable[[Checkpoint, Store], Artifact]


@dataclass(frozen=True)
class Mode:
    """What a mode promises.

    Attributes:
        weights: dtype of every constant of at least `models.flatbuffer.SMALL` elements.
        activations: dtype of what the operators compute.
        ratio: (least, most) bytes of the file as a share of four bytes a parameter.
        agreement: least share of tweets (percent) answered as the checkpoint's PyTorch model does.
        logit_distance: most mean distance of its logits from that model's, as a share of their
            spread (`devices.answers.logit_distance`).
        recipes: runtime → how it is made for that runtime.
    """

    weights: str
    activations: str
    ratio: tuple[float, float]
    agreement: float
    logit_distance: float
    recipes: dict[str, Recipe]


def flatbuffer(mode: str, runtime: str, checkpoint: Checkpoint, store: Store) -> Path:
    """The FlatBuffer of ``checkpoint`` in ``mode`` for ``runtime``, built unless it is there.

    Raises:
        QuantizeError: no such mode, or none for this runtime, or its tool failed.
        ConvertError: TensorFlow Lite's converter failed.
    """
    if mode not in MODES:
        raise QuantizeError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    if runtime not in MODES[mode].recipes:
        raise QuantizeError(f"{mode}: no recipe for runtime {runtime!r}")
    return MODES[mode].recipes[runtime].make(checkpoint, store).path / FLATBUFFER


def _float32(checkpoint: Checkpoint, store: Store) -> Artifact:
    source = saved_model(checkpoint, store, lookup=True)

    def build(folder: Path) -> None:
        (folder / FLATBUFFER).write_bytes(convert(converter(source)))

    return store.artifact("float32", {"from": source.path.name}, build)


def _quantized(name: str, **weights: Any) -> Callable[[Checkpoint, Store], Artifact]:
    """Made from the float32 FlatBuffer by ai-edge-quantizer, in seconds."""

    def make(checkpoint: Checkpoint, store: Store) -> Artifact:
        source = _float32(checkpoint, store)
        inputs = {
            "from": source.path.name,
            "ai-edge-quantizer": version("ai-edge-quantizer"),
            "recipe": weights,
        }

        def build(folder: Path) -> None:
            content = _quantize(source.path / FLATBUFFER, weights)
            (folder / FLATBUFFER).write_bytes(share_vectors(content))

        return store.artifact(name, inputs, build)

    return make


def _quantize(source: Path, weights: dict[str, Any]) -> bytes:
    from ai_edge_quantizer import quantizer

    recipe = [
        {
            "regex": ".*",
            "operation": "*",
            "algorithm_key": weights["algorithm"],
            "op_config": {
                "weight_tensor_config": {
                    "num_bits": weights["bits"],
                    "symmetric": True,
                    "granularity": weights["granularity"],
                    "dtype": weights["dtype"],
                },
                "compute_precision": weights["compute"],
                "explicit_dequantize": weights["compute"] == "FLOAT",
            },
        }
    ]
    # Signatures share weights, and the tool warns of each one it meets again; its bars are its own.
    silenced = logging.getLogger()
    level = silenced.level
    silenced.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return bytes(quantizer.Quantizer(str(source), recipe).quantize().quantized_model)
    except Exception as error:  # the tool raises its own many types
        raise QuantizeError(f"ai-edge-quantizer: {error}") from error
    finally:
        silenced.setLevel(level)


def _per_tensor_dynamic_range(checkpoint: Checkpoint, store: Store) -> Artifact:
    import tensorflow as tf

    source = saved_model(checkpoint, store, lookup=False)

    def build(folder: Path) -> None:
        make = converter(source)
        make.optimizations = [tf.lite.Optimize.DEFAULT]
        make._experimental_disable_per_channel_quantization_for_dense_layers = True
        (folder / FLATBUFFER).write_bytes(convert(make))

    return store.artifact("dynamic_range-per_tensor", {"from": source.path.name}, build)


_CONVERTED = Recipe("TensorFlow's converter", "every mode starts from this file", _float32)
_FLOAT16 = Recipe(
    "ai-edge-quantizer",
    "float16 constants, widened once at load",
    _quantized(
        "float16", algorithm="float_casting", bits=16, dtype="FLOAT",
        granularity="TENSORWISE", compute="FLOAT",
    ),
)  # fmt: skip

MODES: dict[str, Mode] = {
    "float32": Mode(
        "float32", "float32", (0.98, 1.02), 99.9, 1e-4,
        {"ai-edge-litert": _CONVERTED, "tflite-runtime": _CONVERTED},
    ),
    "float16": Mode(
        "float16", "float32", (0.49, 0.53), 99.5, 5e-3,
        {"ai-edge-litert": _FLOAT16, "tflite-runtime": _FLOAT16},
    ),
    "dynamic_range": Mode(
        "int8", "float32", (0.24, 0.28), 97.0, 0.05,
        {
            "ai-edge-litert": Recipe(
                "ai-edge-quantizer",
                "per-channel scales; the embedding table too, read by EMBEDDING_LOOKUP",
                _quantized(
                    "dynamic_range", algorithm="min_max_uniform_quantize", bits=8, dtype="INT",
                    granularity="CHANNELWISE", compute="INTEGER",
                ),
            ),
            "tflite-runtime": Recipe(
                "TensorFlow's converter, per tensor, from the kept SavedModel",
                "2.14 refuses the per-channel form (FULLY_CONNECTED v12) and answers zeros to "
                "ai-edge-quantizer's",
                _per_tensor_dynamic_range,
            ),
        },
    ),
}  # fmt: skip
