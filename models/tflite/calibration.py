"""Calibration: which ranges the activations of a FlatBuffer reach on real texts.

The texts are of the calibration split, which no model learned from and on which no verdict rests.
Inputs are bound by name. Fed by position, and in the wrong order, they ruin the scales of every
layer without an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common.checksum import file_sha256
from common.framing import Framing
from models.checkpoints import tokenizer as tokenizers
from models.contents import Signature, inspect
from models.errors import QuantizeError
from models.tflite.quantizer import TOOLS as QUANTIZER
from models.tflite.quantizer import Rule, calibrate, quantize

if TYPE_CHECKING:
    from data.dataset import Dataset
    from models.checkpoints.checkpoint import Checkpoint
    from models.mode import Context

# Texts drawn, and how many of them each signature is shown.
SAMPLES = 128
PER_LENGTH = 32
TOOLS = (*QUANTIZER, "ai-edge-litert")

# By signature, the inputs of one invocation after another, each int32 (1, tokens), by name.
Samples = dict[str, list[dict[str, np.ndarray]]]


def build(context: Context, recipe: Sequence[Rule]) -> bytes:
    """Return the float32 model file quantized by ``recipe``, with ranges from calibration texts.

    Every int8 layer gets a bias, and whatever is equal is stored once.

    Raises:
        QuantizeError: the tool refused, or there are no calibration texts.
    """
    from models.tflite import transformations

    if context.calibration is None:
        raise QuantizeError("there are no calibration texts")
    texts = sample(context.calibration).texts
    signatures = inspect(context.float32).signatures
    ranges = calibrate(context.float32, samples(signatures, context.checkpoint.tokenizer, texts))
    content = transformations.with_biases(quantize(context.float32, recipe, ranges))
    return content if context.keep_names else transformations.share(content)


def inputs(checkpoint: Checkpoint, calibration: Dataset | None) -> dict[str, Any]:
    """Return which texts a mode is calibrated with, for the cache's key.

    Raises:
        QuantizeError: there are none.
    """
    if calibration is None:
        raise QuantizeError("there are no calibration texts")
    chosen = sample(calibration)
    return {
        "calibration": {
            "source": chosen.name,
            "samples": len(chosen),
            "sha256": chosen.checksum(),
            "tokenizer": file_sha256(checkpoint.tokenizer),
        }
    }


def sample(dataset: Dataset, without: Dataset | None = None) -> Dataset:
    """Return `SAMPLES` of the calibration split, stratified by class; none that ``without`` has."""
    if without:
        others = set(without.texts)
        dataset = dataset.take([i for i, text in enumerate(dataset.texts) if text not in others])
    return dataset.take(dataset.stratified(min(SAMPLES, len(dataset))))


def samples(signatures: Sequence[Signature], tokenizer: Path, texts: Sequence[str]) -> Samples:
    """Return the samples for each signature: of the texts that fit it, the `PER_LENGTH` longest.

    At run time too, shorter texts go to a shorter signature. A signature that few texts fit also
    gets longer ones, cut off at its length.
    """
    framing = tokenizers.framing(tokenizer)
    encoded = sorted(tokenizers.token_ids(tokenizer, texts), key=len, reverse=True)
    by_signature: Samples = {}
    for signature in signatures:
        (length,) = {shape[1] for _, shape in signature.inputs.values()}
        assert length is not None, "the shapes of a FlatBuffer are static"
        fitting = [ids for ids in encoded if len(ids) <= length]
        cut = [framing.cut(ids, length) for ids in encoded if len(ids) > length]
        chosen = (fitting + cut)[:PER_LENGTH]
        by_signature[signature.key] = [_inputs(ids, framing, length) for ids in chosen]
    return by_signature


def _inputs(ids: list[int], framing: Framing, length: int) -> dict[str, np.ndarray]:
    tokens = np.array([framing.filled(ids, length)], np.int32)
    mask = np.zeros_like(tokens)
    mask[0, : len(ids)] = 1
    return {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
