"""Claim: the FlatBuffer is as small, and as quantized, as its mode promises.

Bytes are those of the file. The size reference is BERT-large, whose bytes are counted from its
configuration, on two bases that are never mixed: its weights (4 bytes a parameter) and its training
checkpoint (12 bytes a parameter). "160x smaller" is the claim of arXiv 2310.03971 for dynamic range
quantization; only the training checkpoint can be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.cases import Case
from models.checkpoint import Checkpoint, parameter_count
from models.flatbuffer import Contents, inspect
from models.modes import MODES
from models.size_reference import reference_bytes
from reports.decision import Estimate
from reports.judge import Judge

PAPER_RATIO = 160


@pytest.fixture
def contents(case: Case, flatbuffer_of: Callable[[Case], Path]) -> Contents:
    """What is in the case's FlatBuffer, read from the file."""
    return inspect(flatbuffer_of(case))


def test_size_is_what_the_mode_promises(
    case: Case, contents: Contents, checkpoint: Checkpoint, judge: Judge
) -> None:
    """Bytes as a share of four bytes a parameter, from both sides: too small is a fault too."""
    reference = reference_bytes(len(checkpoint.label_names))
    judge.facts(
        size_bytes=contents.size_bytes,
        tokenizer_bytes=checkpoint.tokenizer.stat().st_size,  # ships with it
        ratio_weights=reference["weights"] / contents.size_bytes,
        ratio_training_checkpoint=reference["training_checkpoint"] / contents.size_bytes,
        operators=list(contents.operators),
    )
    # One that was brought alone says itself how many numbers it holds.
    known = checkpoint.config
    parameters = parameter_count(known) if known else contents.numbers
    share = contents.size_bytes / (4 * parameters)
    least, most = MODES[case.mode].ratio
    estimate = Estimate(share, "of float32 weights", "bytes of the file")
    judge.at_most("size", estimate, most)
    judge.at_least("size", estimate, least)


def test_dtypes_are_what_the_mode_promises(case: Case, contents: Contents, judge: Judge) -> None:
    """Every large constant, the embedding included, has the mode's dtype; so have activations."""
    judge.facts(dtypes={"weights": contents.large_weights, "activations": contents.activations})
    faults = MODES[case.mode].dtype_faults(contents)
    for what in ("weights", "activations"):
        judge.holds(what, what not in faults, faults.get(what, f"{case.mode}'s own"))


@pytest.mark.only(mode="dynamic_range")
def test_160x_smaller_than_the_training_checkpoint_of_bert_large(
    case: Case, contents: Contents, checkpoint: Checkpoint, judge: Judge
) -> None:
    """The paper's size claim, on the one basis on which it can hold."""
    reference = reference_bytes(len(checkpoint.label_names))["training_checkpoint"]
    estimate = Estimate(reference / contents.size_bytes, "x", "bytes of the file")
    judge.at_least("size ratio to BERT-large's training checkpoint", estimate, PAPER_RATIO)
