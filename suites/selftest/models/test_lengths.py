"""Lengths of the signatures are chosen for the texts, and recorded with the reference outputs."""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from common import argtypes
from data.splits import split
from models.checkpoints import lengths
from models.checkpoints.checkpoint import OUTPUTS, open_checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.errors import CheckpointError, ReferenceOutputsError
from suites.selftest import synthetic

ZOO = Path(__file__).parents[3] / "models" / "zoo"


def computed(chosen: tuple[int, ...], counts: list[int]) -> int:
    """Tokens that these texts take."""
    return sum(next((end for end in chosen if end >= n), chosen[-1]) for n in counts)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_lengths_pad_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.clip(rng.lognormal(3.2, 0.5, 300), 3, 90).astype(int).tolist()
    chosen = lengths.choose(counts, 512)
    assert len(chosen) == lengths.SIGNATURES
    assert all(length % lengths.STEP == 0 for length in chosen)
    others = combinations(range(8, chosen[-1], lengths.STEP), lengths.SIGNATURES - 1)
    least = min(computed((*other, chosen[-1]), counts) for other in others)
    assert computed(chosen, counts) == least


def test_the_longest_holds_999_of_1000_texts_or_ends_with_the_positions() -> None:
    counts = [20] * 600 + [300] * 399 + [9000]
    assert lengths.choose(counts, 512) == (24, 304)
    assert lengths.choose([*counts, 9000], 512) == (24, 304, 512)
    assert lengths.choose(counts, 100) == (24, 100)


def test_texts_of_one_length_leave_room_for_longer_ones() -> None:
    assert lengths.choose([12] * 50, 512) == (16, 32)
    assert lengths.choose([12] * 50, 20) == (16, 20)


def test_the_report_says_what_is_padding_and_what_is_cut() -> None:
    said = lengths.describe((8, 16), [4, 8, 16, 20])
    assert said == (
        "8, 16 tokens; 8.3% of the tokens that the evaluation texts take are padding; 1 of 4 texts "
        "(25.00%) are cut at 16"
    )


@pytest.mark.parametrize("said", ["", "24,forty", "1,24", "-8"])
def test_what_is_no_length_is_told(said: str) -> None:
    assert argtypes.lengths("64, 24,40,24") == (24, 40, 64)
    with pytest.raises(argparse.ArgumentTypeError, match=r"lengths in tokens, .* 24,40,64,128"):
        argtypes.lengths(said)


@pytest.mark.parametrize("name", ["mobilebert-brands", "mobilebert-12-8k-brands"])
def test_outputs_that_say_no_lengths_were_recorded_for_the_default(name: str) -> None:
    assert open_checkpoint(str(ZOO / name)).lengths == (24, 40, 64, 128)


def test_outputs_serve_other_lengths_only_if_texts_are_cut_at_the_same(tmp_path: Path) -> None:
    folder, _ = synthetic.write_checkpoint(tmp_path, "bert")
    shipped = ReferenceOutputs.load(ZOO / "mobilebert-brands" / OUTPUTS)
    replace(shipped, lengths=(16, 48, 320)).save(folder / OUTPUTS)
    assert open_checkpoint(str(folder)).lengths == (16, 48, 320)
    other = open_checkpoint(str(folder), lengths=(24, 320))
    assert other.lengths == (24, 320)
    assert other.reference_outputs().lengths == (16, 48, 320)
    with pytest.raises(ReferenceOutputsError, match=r"cut at 320 .* --lengths 24,328"):
        open_checkpoint(str(folder), lengths=(24, 328)).reference_outputs()
    with pytest.raises(CheckpointError, match="ends with 600 tokens, and it reads at most 512"):
        open_checkpoint(str(folder), lengths=(24, 600))


def test_lengths_are_recorded_for_the_texts_or_as_given(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="recording needs PyTorch")
    from models.training.recording import record_checkpoint

    folder, _ = synthetic.write_checkpoint(tmp_path, "distilbert")
    splits = split(synthetic.dataset().take(range(200)))
    chosen = record_checkpoint(str(folder), splits)
    assert open_checkpoint(str(folder)).lengths == chosen.lengths
    assert chosen.lengths[-1] < 100
    given = record_checkpoint(str(folder), splits, lengths=(4, 6))
    assert open_checkpoint(str(folder)).lengths == given.lengths == (4, 6)
    assert given.logits != chosen.logits, "the texts were cut at 6 tokens"
    with pytest.raises(CheckpointError, match="end with 512 or less"):
        record_checkpoint(str(folder), splits, lengths=(4, 600))
