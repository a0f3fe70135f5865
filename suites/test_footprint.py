"""Claim: the model file is as small, and as quantized, as its mode promises.

Bytes are those of the file. The size reference is BERT-large, whose bytes are counted from its
configuration, on two bases that are never mixed: its weights (4 bytes a parameter) and its training
checkpoint (12 bytes a parameter). "160x smaller" is the claim of arXiv 2310.03971 for its own
model in TensorFlow Lite's dynamic range quantization; only the training checkpoint can be meant. It
is demanded of the checkpoint that this project ships. Any other states its ratios.
"""

from __future__ import annotations

import pytest

from fixtures.target import Target
from models.checkpoints.checkpoint import parameter_count
from models.size_reference import reference_bytes
from reports.check import Check
from reports.verdict import Estimate

PAPER_RATIO = 160


def test_size_is_what_the_mode_promises(target: Target, check: Check) -> None:
    """Bytes as a share of four bytes a parameter, from both sides: too small is a fault too."""
    contents, checkpoint = target.contents, target.checkpoint
    reference = reference_bytes(len(checkpoint.label_names))
    check.metrics(
        size_bytes=contents.size_bytes,
        tokenizer_bytes=checkpoint.tokenizer.stat().st_size,  # ships with it
        ratio_weights=reference["weights"] / contents.size_bytes,
        ratio_training_checkpoint=reference["training_checkpoint"] / contents.size_bytes,
        operators=list(contents.operators),
    )
    # A model file without its checkpoint says itself how many numbers it holds.
    config = checkpoint.config
    parameters = parameter_count(config) if config else contents.numbers
    share = contents.size_bytes / (4 * parameters)
    least, most = target.promises.ratio
    estimate = Estimate(share, "of float32 weights", "bytes of the file")
    check.at_most("size", estimate, most)
    check.at_least("size", estimate, least)


def test_dtypes_are_what_the_mode_promises(target: Target, check: Check) -> None:
    """Every large constant, the embedding included, has the mode's dtype; so have activations."""
    contents = target.contents
    check.metrics(dtypes={"weights": contents.large_weights, "activations": contents.activations})
    faults = target.promises.dtype_faults(contents)
    for what in ("weights", "activations"):
        check.holds(what, what not in faults, faults.get(what, f"{target.mode}'s own"))


@pytest.mark.only(mode="dynamic_range", format="tflite", shipped=True)
def test_160x_smaller_than_the_training_checkpoint_of_bert_large(
    target: Target, check: Check
) -> None:
    """The paper's size claim, on the one basis on which it can hold."""
    reference = reference_bytes(len(target.checkpoint.label_names))["training_checkpoint"]
    estimate = Estimate(reference / target.contents.size_bytes, "x", "bytes of the file")
    check.at_least("size ratio to BERT-large's training checkpoint", estimate, PAPER_RATIO)
