"""Claim: all data stays on the device.

While it classifies, the runner has no network: a network namespace without interfaces where the
kernel permits one, else an audit hook that sees Python code alone; the report says which. It may
write nothing. What it tried against either is counted, and one attempt is a miss.
"""

from __future__ import annotations

from fixtures.cases import Case
from fixtures.runners import OpenRunner
from fixtures.verdicts import Judge
from tweets.corpus import Corpus


def test_tweets_stay_on_the_device(
    case: Case, runner_of: OpenRunner, evaluation: Corpus, judge: Judge
) -> None:
    """No connection, no file written, no process started, while real tweets are classified."""
    with runner_of(case) as runner:
        runner.classify(evaluation.texts[:64])
        guard = runner.guard()
    judge.facts(guard=guard.network)
    judge.holds("a guard is in force", bool(guard.network), f"guard: {guard.network or 'none'}")
    judge.holds("no attempt", not guard.attempts, f"the runner tried: {list(guard.attempts)}")
