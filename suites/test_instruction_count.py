"""Claim: the instructions that a text takes on an emulated board are known exactly.

Counted is what the board's CPU model executes from a text to its label, in one thread, by the
length that the text fills. The count is the same on every machine, however busy. So
`python fit.py gate` finds a change of 2%, which milliseconds on a shared CI machine do not show.
"""

from __future__ import annotations

import pytest

from devices.boards.emulation import qemu, qemu_version
from fixtures.target import Target
from reports.check import Check
from reports.verdict import Estimate

# A quarter of what the gate is to find.
MAX_SPREAD = 0.005


@pytest.mark.only(emulated=True)
def test_instructions_repeat(target: Target, check: Check) -> None:
    """The shortest length counted twice."""
    count = target.instruction_count
    counted = {str(length): n for length, n in count.instructions.items()}
    major, minor = qemu_version(qemu(target.run.cache.root))
    check.metrics(instructions=counted, emulator=f"QEMU {major}.{minor}")
    estimate = Estimate(count.spread, "of a text's instructions", "two counts in one worker")
    check.at_most("difference between two counts", estimate, MAX_SPREAD)
