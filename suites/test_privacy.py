"""Claim: all data stays on the device.

While it classifies, the worker has no network: a network namespace without interfaces where the
kernel permits one, else an audit hook that sees Python code alone; the report says which. It may
write nothing. What it tried against either is counted, and one attempt is a miss.
"""

from __future__ import annotations

from collections.abc import Callable

from data.dataset import Dataset
from fixtures.matrix import Target
from fixtures.target import OpenWorker
from reports.check import Check


def test_tweets_stay_on_the_device(
    target: Target,
    worker_of: OpenWorker,
    sample_of: Callable[[Target], tuple[list[int], Dataset]],
    affordable: Callable[[Target, int], int],
    check: Check,
) -> None:
    """No connection, no file written, no process started, while real texts are classified."""
    with worker_of(target) as worker:
        worker.classify(sample_of(target)[1].texts[: affordable(target, 24)])
        guard = worker.guard()
    check.metrics(guard=guard.network)
    tried = f"under a {guard.network} and {guard.files}, the worker tried: {list(guard.attempts)}"
    check.holds(f"no attempt ({guard.network})", not guard.attempts, tried)
