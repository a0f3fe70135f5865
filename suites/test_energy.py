"""Claim: a tweet takes no more energy than the device's profile allows.

Joules of the whole board, idle power included, a tweet, over the same queries that are timed: from
the board's own meter (RAPL, an INA sensor) or from the log of an external one (`--power-log`).
Asked only of a board whose profile has a budget and that can be measured; elsewhere the report says
that energy was not measured.
"""

from __future__ import annotations

from collections.abc import Callable

from devices.profile import Profile
from fixtures.cases import Case
from fixtures.measured import Measured
from reports.decision import Estimate
from reports.judge import Judge


def test_energy_a_tweet(
    case: Case, device: Profile, measured: Callable[[Case], Measured], metered: None, judge: Judge
) -> None:
    """Joules over the timed part, by the number of its queries."""
    del metered
    found = measured(case)
    if fault := found.fault or found.energy.fault:
        judge.invalid(fault)
    assert found.energy.joules is not None
    estimate = Estimate(found.energy.joules, "J a tweet", f"mean, {found.energy.source}")
    judge.at_most("energy", estimate, device.budget.energy_j)
