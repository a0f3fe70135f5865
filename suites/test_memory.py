"""Claim: the classifier fits in the device's memory.

What counts is the peak resident set of a fresh runner that has answered tweets of every length,
above that of a runner that has loaded nothing: interpreter, tokenizer, runtime and FlatBuffer
together. The budget is the device profile's. Megabytes are 10^6 bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from devices.board import Board
from devices.emulation import imposed, translations_mb
from devices.health import swapping
from devices.profile import Profile
from fixtures.cases import Case
from fixtures.runners import OpenRunner
from reports.decision import Estimate
from reports.judge import Judge
from tweets.corpus import Corpus


def test_memory_peak(
    case: Case, board_of: Callable[[Case], Board], device: Profile, runner_of: OpenRunner,
    evaluation: Corpus, affordable: Callable[[Case, int], int], judge: Judge,
) -> None:  # fmt: skip
    """Peak resident set above a bare runner's, every signature used."""
    with runner_of(case) as runner:
        assert runner.loaded is not None
        before = board_of(case).snapshot(runner)
        for length in runner.loaded.lengths:
            runner.classify(evaluation.texts[: affordable(case, 2)], length=length)
        memory = runner.memory()
        after = board_of(case).snapshot(runner)
        emulators_mb = translations_mb(runner.pid) if board_of(case).emulated else 0.0
    judge.facts(memory_mb=memory.peak_mb, bare_memory_mb=memory.bare_mb)
    if swapped := swapping(before, after):
        judge.invalid(f"{swapped}: what was swapped out is not resident, and so not counted")
    judge.holds(
        "lengths", memory.lengths_used == runner.loaded.lengths,
        f"weighed after {memory.lengths_used} of {runner.loaded.lengths} tokens",
    )  # fmt: skip
    estimate = Estimate(memory.peak_mb, "MB", "peak resident set above a bare runner")
    if board_of(case).emulated:
        judge.facts(memory_imposed=imposed(device))
        least = memory.peak_mb - emulators_mb
        statistic = f"{estimate.statistic}, at most {emulators_mb:.0f} MB of them the emulator's"
        estimate = Estimate(least, "MB", statistic, low=least, high=memory.peak_mb)
    judge.at_most("memory", estimate, device.budget.memory_mb)
