"""Claim: all data stays on the device.

While it classifies, the runner has no network: a network namespace without interfaces where the
kernel permits one, else an audit hook that sees Python code alone; the report says which. It may
write nothing. What it tried against either is counted, and one attempt is a miss.
"""

from __future__ import annotations

from collections.abc import Callable

from fixtures.cases import Case
from fixtures.runners import OpenRunner
from reports.judge import Judge
from tweets.corpus import Corpus


def test_tweets_stay_on_the_device(
    case: Case, runner_of: OpenRunner, judged_tweets: Callable[[Case], tuple[list[int], Corpus]],
    affordable: Callable[[Case, int], int], judge: Judge,
) -> None:  # fmt: skip
    """No connection, no file written, no process started, while real tweets are classified."""
    with runner_of(case) as runner:
        runner.classify(judged_tweets(case)[1].texts[: affordable(case, 24)])
        guard = runner.guard()
    judge.facts(guard=guard.network)
    tried = f"under a {guard.network} and {guard.files}, the runner tried: {list(guard.attempts)}"
    judge.holds(f"no attempt ({guard.network})", not guard.attempts, tried)
