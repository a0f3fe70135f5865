"""Claim: the classifier fits in the device's memory.

What counts is the peak resident set of a fresh worker that has classified texts of every length,
above that of a worker that has loaded nothing: runtime, tokenizer and model file together. The
budget is the device profile's. Megabytes are 10^6 bytes.
"""

from __future__ import annotations

from devices.boards.emulation import imposed, translations_mb
from devices.measurement.health import swapping
from fixtures.target import Target
from reports.check import Check
from reports.verdict import Estimate


def test_memory_peak(target: Target, check: Check) -> None:
    """Peak resident set above a bare worker's, every signature used."""
    texts = target.evaluation.texts[: target.affordable(2)]
    with target.worker() as worker:
        assert worker.loaded is not None
        before = target.board.snapshot(worker)
        phases = {"loaded": worker.memory().resident_mb}
        worker.classify(texts[:1])
        phases["first text"] = worker.memory().resident_mb
        for length in worker.loaded.lengths:
            worker.classify(texts, length=length)
        memory = worker.memory()
        after = target.board.snapshot(worker)
        emulators_mb = translations_mb(worker.pid) if target.emulated else 0.0
    check.metrics(
        memory_mb=memory.peak_mb,
        bare_memory_mb=memory.bare_mb,
        memory_by_phase=phases | {"peak": memory.peak_mb},
    )
    if swapped := swapping(before, after):
        check.invalid(f"{swapped}: what was swapped out is not resident, and so not counted")
    check.holds(
        "lengths",
        memory.lengths_used == worker.loaded.lengths,
        f"measured after {memory.lengths_used} of {worker.loaded.lengths} tokens",
    )
    estimate = Estimate(memory.peak_mb, "MB", "peak resident set above a bare worker")
    if target.emulated:
        check.metrics(memory_imposed=imposed(target.profile))
        least = memory.peak_mb - emulators_mb
        statistic = f"{estimate.statistic}, at most {emulators_mb:.0f} MB of them the emulator's"
        estimate = Estimate(least, "MB", statistic, lower=least, upper=memory.peak_mb)
    check.at_most("memory", estimate, target.profile.budget.memory_mb)
