"""Latency as MLPerf states it: single stream, 90th percentile, early stopping.

Source: MLPerf Inference rules, appendix "Early Stopping Criterion", and LoadGen's
`early_stopping.cc`. A query is *over* when it takes longer than the true percentile p; of n queries
each is over with probability 1 - p. With t the largest number of overs that is still improbable,

    P[Binomial(n, 1 - p) <= t] <= 1 - confidence,

the (n - t + 1)-th shortest latency is, with that confidence, no less than the true percentile.
LoadGen wants t >= 1, hence at least 64 queries for p90, 130 for p95 and 662 for p99.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.99
# A change within this share of the other's time is none: what `ratio_of_medians` is held against.
SAME_SPEED = 1.05
# Of a comparison of two: each with processes of its own (devices.measurement.interleaved).
SESSIONS = 2
WARM_UP = 5


@dataclass(frozen=True)
class Preset:
    """How long to measure.

    Attributes:
        queries, seconds: at least so many.
        cooldown: seconds for which the machine may cool before, at most.
        sustained: minutes of load on a board, for the claim of that name.
        warm_up: queries before those that count.
    """

    queries: int
    seconds: float
    cooldown: float
    sustained: float
    warm_up: int = WARM_UP


# MLPerf's mobile app; see the module's docstring for why 64 is the least.
PRESETS = {
    "smoke": Preset(queries=64, seconds=6, cooldown=0, sustained=0),
    "quick": Preset(queries=128, seconds=10, cooldown=60, sustained=10),
    "full": Preset(queries=1024, seconds=60, cooldown=300, sustained=30),
}


@dataclass(frozen=True)
class Percentile:
    """A percentile with early stopping.

    `seconds` is the `rank`-th shortest of `queries` latencies: an upper bound of the true
    percentile with the stated confidence. `observed` is the plain percentile, without confidence.
    """

    seconds: float
    observed: float
    rank: int
    queries: int
    percentile: float
    confidence: float


def overs_allowed(queries: int, percentile: float, confidence: float = CONFIDENCE) -> int:
    """t: the most overs whose binomial tail stays within 1 - confidence; -1 if not even none."""
    over = 1.0 - percentile
    tail = 0.0
    for t in range(queries + 1):
        tail += math.exp(
            math.lgamma(queries + 1)
            - math.lgamma(t + 1)
            - math.lgamma(queries - t + 1)
            + t * math.log(over)
            + (queries - t) * math.log(percentile)
        )
        if tail > 1.0 - confidence:
            return t - 1
    return queries


def queries_needed(percentile: float, confidence: float = CONFIDENCE) -> int:
    """The least number of queries that early stopping accepts: p90 64, p95 130, p99 662."""
    queries = 1
    while overs_allowed(queries, percentile, confidence) < 1:
        queries += 1
    return queries


def percentile_90(seconds: Iterable[float]) -> Percentile:
    """The 90th percentile of latencies in seconds, with early stopping at confidence 0.99.

    Of 100 queries it is the 98th shortest, of 1024 the 945th. ValueError for fewer than 64 queries,
    or for a latency that is not a finite positive number.
    """
    ordered = sorted(float(value) for value in seconds)
    if not all(math.isfinite(value) and value > 0 for value in ordered):
        raise ValueError("latencies must be finite and above zero")
    allowed = overs_allowed(len(ordered), 0.9)
    if allowed < 1:
        raise ValueError(
            f"{len(ordered)} queries are too few for a 90th percentile with confidence "
            f"{CONFIDENCE}: at least {queries_needed(0.9)}"
        )
    rank = len(ordered) - allowed + 1
    return Percentile(
        seconds=ordered[rank - 1],
        observed=ordered[math.ceil(0.9 * len(ordered)) - 1],
        rank=rank,
        queries=len(ordered),
        percentile=0.9,
        confidence=CONFIDENCE,
    )


@dataclass(frozen=True)
class Ratio:
    """A ratio of median latencies, and its two one-sided 95% bounds."""

    value: float
    lower: float
    upper: float


def ratio_of_medians(
    ours: np.ndarray, theirs: np.ndarray, *, sessions: int = 1, seed: int = 0
) -> Ratio:
    """How many times as long ours took as theirs; both float64 (blocks, queries), seconds.

    Blocks were measured interleaved, in so many sessions of as many blocks each, and block n of
    both answered the same texts. The figure of a session is the median over blocks of the ratio of
    their medians, so that long texts and a slow minute of the machine cancel out; that of all is
    their geometric mean, so that what clings to one session's processes does. The bounds are a
    bootstrap's over the blocks of each session. ValueError for other shapes, or fewer than eight
    blocks."""
    blocks = len(ours)
    if ours.shape != theirs.shape or ours.ndim != 2 or blocks < 8 or blocks % sessions:
        raise ValueError(
            f"blocks of {ours.shape} and {theirs.shape}: alike, at least 8, and {sessions} sessions"
        )
    logs = np.log(np.median(ours, axis=1) / np.median(theirs, axis=1)).reshape(sessions, -1)
    size = logs.shape[1]
    drawn = np.random.default_rng(seed).integers(0, size, (2000, sessions, size))
    again = np.take_along_axis(np.broadcast_to(logs, drawn.shape), drawn, axis=2)
    lower, upper = np.percentile(np.median(again, axis=2).mean(axis=1), [5, 95])
    value = np.median(logs, axis=1).mean()
    return Ratio(*(float(np.exp(x)) for x in (value, lower, upper)))


class VirtualClock:
    """A timer for pytest-benchmark that stands still until it is told how long something took.

    `@pytest.mark.benchmark(timer=CLOCK)` makes pytest-benchmark record the worker's own clock, and
    not the round trip to it; see `replay`.
    """

    # pytest-benchmark names a timer by these two in its report.
    __name__ = "VirtualClock"

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def replay(benchmark: Any, clock: VirtualClock, seconds: Sequence[float]) -> None:
    """Record latencies, one a round, through pytest-benchmark's fixture, whose timer is `clock`."""
    latencies = iter(seconds)
    benchmark.pedantic(
        lambda: clock.advance(float(next(latencies))),
        rounds=len(seconds),
        iterations=1,
        warmup_rounds=0,
    )
