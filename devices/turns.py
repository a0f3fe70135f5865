"""Two classifiers timed in turn, so that what the machine does meanwhile meets both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import numpy as np

from devices import health
from devices.gateway import Runner
from devices.latency import SITTINGS, WARM_UP

BLOCK = 8  # queries, before the other's turn

Open = Callable[[], AbstractContextManager[Runner]]


@dataclass(frozen=True)
class Turns:
    """Latencies text→label of both, float64 [blocks, `BLOCK`] in seconds, sitting by sitting, for
    `latency.ratio_of_medians`; and why the machine was not fit to measure, or None."""

    ours: np.ndarray
    theirs: np.ndarray
    fault: str | None


def in_turn(
    ours: Open,
    theirs: Open,
    texts: Sequence[str],
    *,
    snapshot: Callable[[Runner], health.Snapshot],
    warm_up: int = WARM_UP,
    slow_down: float = 0.0,
) -> Turns:
    """Both answer the texts, a block at a time, in fresh runners with a classifier loaded.

    Whichever is loaded first is a few percent slower on some machines, and where a process's memory
    comes to lie is drawn anew with each: so there are `SITTINGS`, each with runners of its own and
    its share of the texts, that load first what the one before loaded second.

    `snapshot`: the state of the board of a runner. `slow_down`: a planted regression of ours.
    """
    texts = texts[: len(texts) - len(texts) % (SITTINGS * BLOCK)]
    blocks: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    faults = []
    for sitting, part in enumerate(np.array_split(np.array(texts, object), SITTINGS)):
        with ExitStack() as stack:
            order = (0, 1) if sitting % 2 == 0 else (1, 0)
            runners = {side: stack.enter_context((ours, theirs)[side]()) for side in order}
            for side in order:
                runners[side].measure(list(part), min_queries=BLOCK, min_seconds=0, warm_up=warm_up)
            before, cpu = snapshot(runners[0]), 0.0
            for start in range(0, len(part), BLOCK):
                # Whoever is second finds a warmer machine, so they take turns in that as well.
                for side in (0, 1) if start // BLOCK % 2 == 0 else (1, 0):
                    found = runners[side].measure(
                        list(part[start : start + BLOCK]), min_queries=BLOCK, min_seconds=0,
                        warm_up=0, slow_down=0.0 if side else slow_down,
                    )  # fmt: skip
                    blocks[side].append(found.seconds)
                    cpu += found.cpu_seconds
            faults.append(health.verdict(before, snapshot(runners[0]), runner_cpu_s=cpu))
    fault = next(filter(None, faults), None)
    return Turns(np.array(blocks[0]), np.array(blocks[1]), fault)
