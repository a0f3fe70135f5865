"""Two classifiers timed interleaved, so that what the machine does meanwhile meets both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import numpy as np

from devices.client import Worker
from devices.measurement import health
from devices.measurement.latency import SESSIONS, WARM_UP

BLOCK = 8  # queries, before the other's turn

Open = Callable[[], AbstractContextManager[Worker]]


@dataclass(frozen=True)
class Interleaved:
    """Latencies end-to-end of both, float64 [blocks, `BLOCK`] in seconds, session by session, for
    `latency.ratio_of_medians`; and why the machine was not fit to measure, or None."""

    ours: np.ndarray
    theirs: np.ndarray
    fault: str | None


def interleaved_runs(
    ours: Open,
    theirs: Open,
    texts: Sequence[str],
    *,
    snapshot: Callable[[Worker], health.Snapshot],
    warm_up: int = WARM_UP,
    slow_down: float = 0.0,
) -> Interleaved:
    """Both answer the texts, a block at a time, in fresh workers with a classifier loaded.

    Whichever is loaded first is a few percent slower on some machines, and where a process's memory
    comes to lie is drawn again with each: so there are `SESSIONS`, each with workers of its own and
    its share of the texts, that load first what the one before loaded second.

    `snapshot`: the state of the board of a worker. `slow_down`: a planted regression of ours.
    """
    texts = texts[: len(texts) - len(texts) % (SESSIONS * BLOCK)]
    blocks: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    faults = []
    for session, part in enumerate(np.array_split(np.array(texts, object), SESSIONS)):
        with ExitStack() as stack:
            order = (0, 1) if session % 2 == 0 else (1, 0)
            workers = {side: stack.enter_context((ours, theirs)[side]()) for side in order}
            for side in order:
                workers[side].measure(list(part), min_queries=BLOCK, min_seconds=0, warm_up=warm_up)
            before, cpu = snapshot(workers[0]), 0.0
            for start in range(0, len(part), BLOCK):
                # Whoever is second finds a warmer machine, so they take turns in that as well.
                for side in (0, 1) if start // BLOCK % 2 == 0 else (1, 0):
                    found = workers[side].measure(
                        list(part[start : start + BLOCK]),
                        min_queries=BLOCK,
                        min_seconds=0,
                        warm_up=0,
                        slow_down=0.0 if side else slow_down,
                    )
                    blocks[side].append(found.seconds)
                    cpu += found.cpu_seconds
            faults.append(health.verdict(before, snapshot(workers[0]), worker_cpu_s=cpu))
    fault = next(filter(None, faults), None)
    return Interleaved(np.array(blocks[0]), np.array(blocks[1]), fault)
