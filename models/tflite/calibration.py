"""Calibration: what the activations of a FlatBuffer reach while it answers real texts.

The texts are of the calibration split, which no model learned from and on which no verdict rests.
Inputs are bound by name: fed by position, and in the wrong order, they ruin the scales of every
layer without an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.framing import Framing
from data.dataset import Dataset
from models.tflite.contents import Signature

# Texts drawn, and of these those that each signature is shown.
SAMPLES = 128
A_LENGTH = 32

# By signature, the inputs of one invocation after another, each int32 (1, tokens), by name.
Samples = dict[str, list[dict[str, np.ndarray]]]


def sample(dataset: Dataset, without: Dataset | None = None) -> Dataset:
    """`SAMPLES` of the calibration split, stratified by class; none that ``without`` holds."""
    if without:
        others = set(without.texts)
        dataset = dataset.take([i for i, text in enumerate(dataset.texts) if text not in others])
    return dataset.take(dataset.stratified(min(SAMPLES, len(dataset))))


def samples(signatures: Sequence[Signature], tokenizer: Path, texts: Sequence[str]) -> Samples:
    """What each signature is shown: of the texts that fit it, the `A_LENGTH` longest.

    Those are what it will meet: shorter ones have a shorter signature. One that is shown fewer is
    shown texts cut off at its length too.
    """
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(str(tokenizer))
    framing = Framing(encoder)
    encoded = sorted((e.ids for e in encoder.encode_batch(list(texts))), key=len, reverse=True)
    shown: Samples = {}
    for signature in signatures:
        (length,) = {shape[1] for _, shape in signature.inputs.values()}
        fitting = [ids for ids in encoded if len(ids) <= length]
        cut = [framing.cut(ids, length) for ids in encoded if len(ids) > length]
        chosen = (fitting + cut)[:A_LENGTH]
        shown[signature.key] = [_inputs(ids, framing, length) for ids in chosen]
    return shown


def _inputs(ids: list[int], framing: Framing, length: int) -> dict[str, np.ndarray]:
    tokens = np.array([framing.filled(ids, length)], np.int32)
    real = np.zeros_like(tokens)
    real[0, : len(ids)] = 1
    return {"input_ids": tokens, "attention_mask": real, "token_type_ids": np.zeros_like(tokens)}
