"""Claim: the classifier fits in the device's memory.

What counts is the peak resident set of a fresh runner that has answered tweets of every length,
above that of a runner that has loaded nothing: interpreter, tokenizer, runtime and FlatBuffer
together. The budget is the device profile's. Megabytes are 10^6 bytes.
"""

from __future__ import annotations

from devices.profile import Profile
from fixtures.cases import Case
from fixtures.runners import OpenRunner
from reports.decision import Estimate
from reports.judge import Judge
from tweets.corpus import Corpus


def test_memory_peak(
    case: Case, device: Profile, runner_of: OpenRunner, evaluation: Corpus, judge: Judge
) -> None:
    """Peak resident set above a bare runner's, every signature used."""
    with runner_of(case) as runner:
        assert runner.loaded is not None
        for length in runner.loaded.lengths:
            runner.classify(evaluation.texts[:2], length=length)
        memory = runner.memory()
    judge.facts(memory_mb=memory.peak_mb, bare_memory_mb=memory.bare_mb)
    judge.holds(
        "lengths", memory.lengths_used == runner.loaded.lengths,
        f"weighed after {memory.lengths_used} of {runner.loaded.lengths} tokens",
    )  # fmt: skip
    estimate = Estimate(memory.peak_mb, "MB", "peak resident set above a bare runner")
    judge.at_most("memory", estimate, device.budget.memory_mb)
