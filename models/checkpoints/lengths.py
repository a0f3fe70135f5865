"""Lengths of a model file's signatures, in tokens: chosen for the texts and the checkpoint.

A text goes to the shortest signature that holds it, and what is left of the signature is padding. A
few signatures are enough to pad little, if they are where the texts are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

# Where none were chosen: of the shipped checkpoints, and of outputs recorded before there was a
# choice.
DEFAULT = (24, 40, 64, 128)
SIGNATURES = 4
# Lengths are multiples of this many tokens.
STEP = 8
# The share of the texts that the longest signature holds, unless the positions end before.
COVERED = 0.999
# Texts that are counted; more of them change no length.
SAMPLE = 10_000


def within(lengths: Sequence[int], positions: int) -> tuple[int, ...]:
    """Return the lengths, none beyond a checkpoint's positions."""
    return tuple(sorted({min(length, positions) for length in lengths}))


def choose(counts: Sequence[int], positions: int) -> tuple[int, ...]:
    """Return the lengths that pad least: at most `SIGNATURES`, in ascending order.

    The longest holds `COVERED` of the texts. A dynamic program over the histogram of the texts'
    lengths, in steps of `STEP`, finds the others: the sum of the signatures that the texts go to is
    the smallest there is. Texts of one length alone get a second signature of twice that, for
    longer ones to come.

    Args:
        counts: tokens of each text, with what frames it.
        positions: tokens of the longest text that the checkpoint reads.
    """
    ordered = sorted(counts)
    covered = ordered[math.ceil(COVERED * len(ordered)) - 1]
    texts = Counter(_stepped(min(n, covered), positions) for n in ordered)
    ends = sorted(texts)
    if len(ends) == 1:
        return within((ends[0], 2 * ends[0]), positions)
    below = [0, *accumulate(texts[end] for end in ends)]  # texts of the ends before each
    # By the number of ends that are covered: the least cost, and the lengths that have it.
    best: list[tuple[float, tuple[int, ...]]] = [(0, ()), *[(math.inf, ())] * len(ends)]
    for _ in range(SIGNATURES):
        best = [best[0]] + [
            min(
                best[covered],
                *(
                    (best[i][0] + end * (below[covered] - below[i]), (*best[i][1], end))
                    for i in range(covered)
                ),
                key=lambda found: (found[0], len(found[1])),
            )
            for covered, end in enumerate(ends, start=1)
        ]
    return best[-1][1]


def _stepped(tokens: int, positions: int) -> int:
    return min(STEP * math.ceil(tokens / STEP), positions)


def sample(texts: Sequence[str]) -> list[str]:
    """Return evenly spaced texts, at most `SAMPLE`."""
    return list(texts[:: math.ceil(len(texts) / SAMPLE)])


def describe(lengths: Sequence[int], counts: Sequence[int]) -> str:
    """Return for the report what the lengths cost these texts: padding, and what is cut off."""
    longest = max(lengths)
    cut = sum(n > longest for n in counts)
    computed = sum(next((end for end in lengths if end >= n), longest) for n in counts)
    padding = 1 - sum(min(n, longest) for n in counts) / computed
    return (
        f"{', '.join(map(str, lengths))} tokens; {padding:.1%} of the tokens that the evaluation "
        f"texts take are padding; {cut} of {len(counts)} texts ({cut / len(counts):.2%}) are cut "
        f"at {longest}"
    )


def token_counts(encoder: Any, texts: Sequence[str]) -> list[int]:
    """Return the tokens of each text, by a `tokenizers.Tokenizer`, whose own cutting ends."""
    encoder.no_truncation()
    encoder.no_padding()
    return [len(encoding.ids) for encoding in encoder.encode_batch(list(texts))]
