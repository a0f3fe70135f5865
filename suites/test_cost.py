"""Claim: what a tweet costs an emulated board is known to the instruction, so a gate can hold it.

Counted is what the board's CPU model executes from a tweet's text to its label, in one thread, by
the length that the tweet fills. It is the same on every machine and however busy that is:
`python -m reports gate` finds a change of 2%, which no shared runner's milliseconds show.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devices.cost import Cost
from devices.emulation import qemu, qemu_version
from fixtures.cases import Case
from models.store import Store
from reports.decision import Estimate
from reports.judge import Judge

# A quarter of what the gate is to find.
MAX_SPREAD = 0.005


@pytest.mark.only(emulated=True)
def test_instructions_repeat(
    case: Case, cost_of: Callable[[Case], Cost], store: Store, judge: Judge
) -> None:
    """The shortest length counted twice."""
    cost = cost_of(case)
    counted = {str(length): n for length, n in cost.instructions.items()}
    major, minor = qemu_version(qemu(store.root))
    judge.facts(instructions=counted, emulator=f"QEMU {major}.{minor}")
    estimate = Estimate(cost.spread, "of a tweet's instructions", "two counts in one runner")
    judge.at_most("difference between two counts", estimate, MAX_SPREAD)
