"""Claim: what a text costs an emulated board is known to the instruction, so a gate can hold it.

Counted is what the board's CPU model executes from a text's text to its label, in one thread, by
the length that the text fills. It is the same on every machine and however busy that is:
`python fit.py gate` finds a change of 2%, which no shared worker's milliseconds show.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.cache import Cache
from devices.boards.emulation import qemu, qemu_version
from devices.measurement.instruction_count import InstructionCount
from fixtures.matrix import Target
from reports.check import Check
from reports.verdict import Estimate

# A quarter of what the gate is to find.
MAX_SPREAD = 0.005


@pytest.mark.only(emulated=True)
def test_instructions_repeat(
    target: Target,
    instructions_of: Callable[[Target], InstructionCount],
    cache: Cache,
    check: Check,
) -> None:
    """The shortest length counted twice."""
    cost = instructions_of(target)
    counted = {str(length): n for length, n in cost.instructions.items()}
    major, minor = qemu_version(qemu(cache.root))
    check.metrics(instructions=counted, emulator=f"QEMU {major}.{minor}")
    estimate = Estimate(cost.spread, "of a text's instructions", "two counts in one worker")
    check.at_most("difference between two counts", estimate, MAX_SPREAD)
