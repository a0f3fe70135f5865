"""Two runners timed in turn, so that what the machine does meanwhile meets both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from devices.gateway import Runner
from devices.latency import WARM_UP

BLOCK = 8  # queries, before the other's turn


@dataclass(frozen=True)
class Turns:
    """Latencies text→label of both, float64 [blocks, `BLOCK`] in seconds, for
    `latency.ratio_of_medians`; and the CPU seconds that they took."""

    ours: np.ndarray
    theirs: np.ndarray
    cpu_seconds: float


def warm_up(runner: Runner, texts: Sequence[str], queries: int = WARM_UP) -> None:
    """Answer as many queries as a tier asks for, and one of each length that the texts need."""
    runner.measure(texts, min_queries=BLOCK, min_seconds=0, warm_up=queries)


def in_turn(ours: Runner, theirs: Runner, texts: Sequence[str], *, slow_down: float = 0.0) -> Turns:
    """Both answer the texts, a block at a time; the runners are warm.

    `slow_down`: a planted regression of ours.
    """
    sides: tuple[tuple[Runner, float, list[np.ndarray]], ...]
    sides = (ours, slow_down, []), (theirs, 0.0, [])
    cpu = 0.0
    for start in range(0, len(texts) - len(texts) % BLOCK, BLOCK):
        # Whoever is second finds a warmer machine, so they take turns in that as well.
        for runner, planted, blocks in sides[:: -1 if start // BLOCK % 2 else 1]:
            found = runner.measure(
                texts[start : start + BLOCK], min_queries=BLOCK, min_seconds=0, warm_up=0,
                slow_down=planted,
            )  # fmt: skip
            blocks.append(found.seconds)
            cpu += found.cpu_seconds
    return Turns(np.array(sides[0][2]), np.array(sides[1][2]), cpu)
