"""Where does the level of a series change? A test with a stated false-alarm rate.

The greatest standardized rank sum over all cuts (Wilcoxon's statistic, as in Pettitt's test) is
compared with that of the same values in random order. So nothing is assumed of their
distribution, only that without a change any order is as likely as another. A change that is found
cuts the series in two, and each part is tested again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Fewer values on either side of a cut are no level.
LEAST = 3
# Orders that are tried first, and how many more are tried for a small probability.
_FIRST, _MORE = 999, 20


def changes(values: NDArray[np.float64], alarm_rate: float) -> list[int]:
    """Return the indices at which a new level begins, in ascending order.

    Args:
        values: the series, shape (n,).
        alarm_rate: how often a series without a change may give one, at most; 0 to 1.
    """
    found: list[int] = []
    parts = [(0, len(values))]
    while parts:
        start, end = parts.pop()
        cut = _change(values[start:end], alarm_rate)
        if cut is not None:
            found.append(start + cut)
            parts += [(start, start + cut), (start + cut, end)]
    return sorted(found)


def _change(values: NDArray[np.float64], alarm_rate: float) -> int | None:
    """Return where the level changes; None if it does not, or too few values could show it."""
    if len(values) < 2 * LEAST or np.ptp(values) == 0:
        return None
    ranks = _ranks(values)
    scores = _scores(ranks[None])[0]
    random = np.random.default_rng(0)
    beyond, tried, size = 1, 1, _FIRST
    while True:
        orders = random.permuted(np.broadcast_to(ranks, (size, len(ranks))), axis=1)
        beyond += int((_scores(orders).max(axis=1) >= scores.max() - 1e-9).sum())
        tried += size
        if beyond / tried > 3 * alarm_rate + 10 / tried:
            return None
        if tried >= _MORE / alarm_rate:
            break
        size = min(20_000, int(_MORE / alarm_rate))
    return _place(values) if beyond / tried <= alarm_rate else None


def _place(values: NDArray[np.float64]) -> int:
    """Return the cut with the greatest standardized difference of means, outliers clipped."""
    middle = np.median(values)
    far = 5 * np.median(np.abs(values - middle))
    clipped = np.clip(values, middle - far, middle + far) if far else values
    return int(_scores((clipped - clipped.mean())[None])[0].argmax()) + LEAST


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks with a mean of 0; equal values share theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle = ends - (counts - 1) / 2
    return np.asarray(middle[places] - (len(values) + 1) / 2)


def _scores(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standardized sum before each cut, of shape (orders, cuts)."""
    count = centred.shape[1]
    before = np.arange(LEAST, count - LEAST + 1)
    sums = np.abs(np.cumsum(centred, axis=1)[:, before - 1])
    return np.asarray(sums / np.sqrt(before * (count - before)))
