"""Claim: a text takes no more energy than the device's profile allows.

Joules of the whole board for a text, idle power included, over the queries that are timed: from the
board's own meter (RAPL, an INA sensor) or from the log of an external one (`--power-log`). Judged
where the board's profile has a budget and something measures. Elsewhere the report says that energy
was not measured.
"""

from __future__ import annotations

import pytest

from fixtures.target import Target
from reports.check import Check
from reports.verdict import Estimate


@pytest.mark.only(emulated=False, metered=True)
def test_energy_for_a_text(target: Target, check: Check) -> None:
    """Joules over the timed part, divided by the number of its queries."""
    energy = target.measurement.energy
    if fault := target.measurement.fault or energy.fault:
        check.invalid(fault)
    assert energy.joules is not None
    estimate = Estimate(energy.joules, "J a text", f"mean, {energy.source}")
    check.at_most("energy", estimate, target.profile.budget.energy_j)
