"""The table of modes: the one place that says what each promises and which tool makes it.

A mode is named as TensorFlow Lite names it. What it promises is checked against the file itself
(`models.tflite.contents.inspect`), whichever tool made it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from inspect import getsource
from pathlib import Path
from types import MappingProxyType
from typing import Any

from common.cache import Cache
from data.dataset import Dataset
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import file_sha256
from models.errors import QuantizeError
from models.tflite import calibration, mixed_precision, quantizer
from models.tflite import contents as contents
from models.tflite.contents import MODEL_FILE, Contents, inspect
from models.tflite.convert import float32
from models.tflite.quantizer import Ranges, Rule, calibrate, quantize, rule

# What leaves the graph stays float32 where the graph computes in integers.
FLOAT_LOGITS: Rule = {
    "regex": ".*",
    "operation": "OUTPUT",
    "algorithm_key": "no_quantize",
    "op_config": {},
}


@dataclass(frozen=True)
class Mode:
    """What a mode promises, and how it is made.

    Attributes:
        weights: dtypes that tables of at least `models.tflite.contents.SMALL` elements may have.
        activations: dtype of every product that it computes.
        ratio: (least, most) bytes of the file as a share of four bytes a parameter.
        agreement: least share of texts (percent) answered as the checkpoint's PyTorch model does.
        mean_logit_error: most mean distance of its logits from that model's, as a share of their
            spread (`devices.measurement.numerics.mean_logit_error`).
        max_logit_error: the same of any one logit of any one text.
        recipe: what ai-edge-quantizer is asked for; empty: the converter's own float32 file, or
            for mixed the checkpoint's own recipe (`models.tflite.mixed_precision`).
        why: why this tool and this recipe.
    """

    weights: tuple[str, ...]
    activations: str
    ratio: tuple[float, float]
    agreement: float
    mean_logit_error: float
    max_logit_error: float
    recipe: tuple[Rule, ...]
    why: str

    @property
    def is_calibrated(self) -> bool:
        """Whether its activations' scales come from calibration texts."""
        return any("activation_tensor_config" in rule["op_config"] for rule in self.recipe)

    def dtype_faults(self, found: Contents) -> dict[str, str]:
        """What in the file is not as promised, in a sentence each: "weights", "activations"."""
        large, computed = found.large_weights, found.activations
        faults = {}
        if not large or not set(large) <= set(self.weights):
            promised = " or ".join(self.weights)
            faults["weights"] = f"{promised} is promised; the file's large constants: {large}"
        if set(computed) != {self.activations}:
            faults["activations"] = f"{self.activations} is promised; the file computes {computed}"
        return faults


def model_file(
    mode: str, checkpoint: Checkpoint, cache: Cache, dataset: Dataset | None = None
) -> Path:
    """The FlatBuffer of ``checkpoint`` in ``mode``, built unless it is there.

    ``texts``: the calibration split, for the modes that are calibrated.

    Raises:
        QuantizeError: no such mode, no calibration texts, or its tool failed.
        ConvertError: TensorFlow Lite's converter failed.
    """
    if mode not in MODES:
        raise QuantizeError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    if mode == "mixed":
        mixed_precision.load(checkpoint)  # told before minutes of conversion
    source = float32(checkpoint, cache)
    recipe = recipe_of(mode, checkpoint, source.path / MODEL_FILE)
    if not recipe:
        return source.path / MODEL_FILE
    from models.tflite import transformations

    inputs: dict[str, Any] = {
        "from": source.path.name,
        "ai-edge-quantizer": version("ai-edge-quantizer"),
        "recipe": recipe,
        "code": hashlib.sha256(
            (getsource(quantizer) + getsource(transformations)).encode()
        ).hexdigest(),
    }
    chosen = None
    if MODES[mode].is_calibrated:
        if dataset is None:
            raise QuantizeError(f"{mode} is calibrated, and there are no calibration texts")
        chosen = calibration.sample(dataset)
        code = getsource(calibration) + getsource(contents)
        inputs["calibration"] = {
            "source": chosen.name,
            "dataset": len(chosen),
            "sha256": chosen.checksum(),
            "tokenizer": file_sha256(checkpoint.tokenizer),
            "ai-edge-litert": version("ai-edge-litert"),
            "code": hashlib.sha256(code.encode()).hexdigest(),
        }

    def build(folder: Path) -> None:
        print(f"quantizing {checkpoint.name}: {mode}", flush=True)
        ranges: Ranges | None = None
        if chosen:
            signatures = inspect(source.path / MODEL_FILE).signatures
            samples = calibration.samples(signatures, checkpoint.tokenizer, chosen.texts)
            ranges = calibrate(source.path / MODEL_FILE, samples)
        content = quantize(source.path / MODEL_FILE, recipe, ranges)
        if chosen:
            content = transformations.with_biases(content)
        (folder / MODEL_FILE).write_bytes(transformations.share(content))
        if mode == "mixed":
            mixed_precision.load(checkpoint).save(folder / mixed_precision.RECIPE)

    return cache.artifact(mode, inputs, build).path / MODEL_FILE


def recipe_of(mode: str, checkpoint: Checkpoint, source: Path) -> tuple[Rule, ...]:
    """What ai-edge-quantizer is asked for to make ``mode`` of ``source``, a float32 FlatBuffer.

    Raises:
        QuantizeError: mode mixed, and the checkpoint has no recipe of its own.
    """
    if mode == "mixed":
        return mixed_precision.rules(source, mixed_precision.load(checkpoint).bits)
    return MODES[mode].recipe


# What is judged unless other modes are named; the rest are cells of the matrix in tox.ini.
DEFAULT = ("float32", "float16", "dynamic_range")

MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "float32": Mode(
            ("float32",),
            "float32",
            (0.98, 1.02),
            99.7,
            1e-4,
            1e-3,
            (),
            "TensorFlow's converter; every other mode starts from this file",
        ),
        "float16": Mode(
            ("float16",),
            "float32",
            (0.49, 0.53),
            99.5,
            5e-3,
            0.05,
            (rule(16),),
            "float16 constants, widened by DEQUANTIZE when loaded",
        ),
        "dynamic_range": Mode(
            ("int8",),
            "float32",
            (0.24, 0.28),
            97.0,
            0.05,
            0.5,
            (rule(8),),
            "one scale a tensor, for both runtimes: with one a channel tflite-runtime 2.14 answers "
            "wrongly, without an error, or refuses the converter's own (FULLY_CONNECTED v12), and "
            "ai-edge-litert gains nothing that can be measured (docs/modes.md)",
        ),
        "full_integer": Mode(
            ("int8",),
            "int8",
            (0.24, 0.30),
            97.0,
            0.12,
            0.8,
            (
                rule(8, granularity="CHANNELWISE", activation_bits=8),
                rule(8, operation="EMBEDDING_LOOKUP"),
                FLOAT_LOGITS,
            ),
            "activations' scales from calibration texts, one for all lengths; the embedding has "
            "no such form and is looked up as in dynamic_range",
        ),
        "int16x8": Mode(
            ("int8",),
            "int16",
            (0.24, 0.30),
            99.0,
            0.02,
            0.1,
            (
                rule(8, granularity="CHANNELWISE", activation_bits=16),
                rule(8, operation="EMBEDDING_LOOKUP"),
                FLOAT_LOGITS,
            ),
            "as full_integer, with activations of 16 bits: nearly float32's answers, by kernels "
            "that take ten times as long",
        ),
        "int4": Mode(
            ("int4",),
            "float32",
            (0.12, 0.16),
            97.0,
            0.07,
            0.6,
            (rule(4, granularity="CHANNELWISE", algorithm="OCTAV"),),
            "scales that clip what is rare (OCTAV) keep more answers than the largest weight does",
        ),
        "mixed": Mode(
            ("int8", "int4", "int2"),
            "float32",
            (0.06, 0.16),
            95.0,
            0.15,
            1.0,
            (),
            "8, 4 or 2 bits a layer, as few as a budget permits: the checkpoint's mixed.json",
        ),
    }
)


def mode_of(found: Contents) -> str | None:
    """The mode whose dtypes a FlatBuffer has; of several, the first in the table."""
    return next((name for name, mode in MODES.items() if not mode.dtype_faults(found)), None)
