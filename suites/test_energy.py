"""Claim: a text takes no more energy than the device's profile allows.

Joules of the whole board, idle power included, a text, over the same queries that are timed: from
the board's own meter (RAPL, an INA sensor) or from the log of an external one (`--power-log`).
Asked only of a board whose profile has a budget and that can be measured; elsewhere the report says
that energy was not measured.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devices.profile import Profile
from fixtures.matrix import Target
from fixtures.measurement import Measured
from reports.check import Check
from reports.verdict import Estimate


@pytest.mark.only(emulated=False)
def test_energy_a_tweet(
    target: Target,
    device: Profile,
    measured: Callable[[Target], Measured],
    metered: None,
    check: Check,
) -> None:
    """Joules over the timed part, by the number of its queries."""
    del metered
    found = measured(target)
    if fault := found.fault or found.energy.fault:
        check.invalid(fault)
    assert found.energy.joules is not None
    estimate = Estimate(found.energy.joules, "J a text", f"mean, {found.energy.source}")
    check.at_most("energy", estimate, device.budget.energy_j)
