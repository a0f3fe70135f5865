"""Claim: all data stays on the device.

While it classifies, the worker has no network: a network namespace without interfaces where the
kernel permits one, else an audit hook that sees Python code alone; the report says which. It may
write nothing. Attempts at either are counted, and one is a miss.
"""

from __future__ import annotations

from fixtures.target import Target
from reports.check import Check


def test_texts_stay_on_the_device(target: Target, check: Check) -> None:
    """No connection, no file written, no process started, while real texts are classified."""
    with target.worker() as worker:
        worker.classify(target.texts.texts[: target.affordable(24)])
        guard = worker.guard()
    check.metrics(guard=guard.network)
    tried = f"under a {guard.network} and {guard.files}, the worker tried: {list(guard.attempts)}"
    check.holds(f"no attempt ({guard.network})", not guard.attempts, tried)
