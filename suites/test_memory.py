"""Claim: the classifier fits in the device's memory.

What counts is the peak resident set of a fresh worker that has answered texts of every length,
above that of a worker that has loaded nothing: interpreter, tokenizer, runtime and FlatBuffer
together. The budget is the device profile's. Megabytes are 10^6 bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from data.dataset import Dataset
from devices.boards.board import Board
from devices.boards.emulation import imposed, translations_mb
from devices.measurement.health import swapping
from devices.profile import Profile
from fixtures.matrix import Target
from fixtures.target import OpenWorker
from reports.check import Check
from reports.verdict import Estimate


def test_memory_peak(
    target: Target,
    board_of: Callable[[Target], Board],
    device: Profile,
    worker_of: OpenWorker,
    evaluation: Dataset,
    affordable: Callable[[Target, int], int],
    check: Check,
) -> None:
    """Peak resident set above a bare worker's, every signature used."""
    with worker_of(target) as worker:
        assert worker.loaded is not None
        before = board_of(target).snapshot(worker)
        for length in worker.loaded.lengths:
            worker.classify(evaluation.texts[: affordable(target, 2)], length=length)
        memory = worker.memory()
        after = board_of(target).snapshot(worker)
        emulators_mb = translations_mb(worker.pid) if board_of(target).emulated else 0.0
    check.metrics(memory_mb=memory.peak_mb, bare_memory_mb=memory.bare_mb)
    if swapped := swapping(before, after):
        check.invalid(f"{swapped}: what was swapped out is not resident, and so not counted")
    check.holds(
        "lengths",
        memory.lengths_used == worker.loaded.lengths,
        f"weighed after {memory.lengths_used} of {worker.loaded.lengths} tokens",
    )
    estimate = Estimate(memory.peak_mb, "MB", "peak resident set above a bare worker")
    if board_of(target).emulated:
        check.metrics(memory_imposed=imposed(device))
        least = memory.peak_mb - emulators_mb
        statistic = f"{estimate.statistic}, at most {emulators_mb:.0f} MB of them the emulator's"
        estimate = Estimate(least, "MB", statistic, lower=least, upper=memory.peak_mb)
    check.at_most("memory", estimate, device.budget.memory_mb)
