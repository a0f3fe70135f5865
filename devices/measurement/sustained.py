"""Latency under sustained load: windows of queries without a pause.

A board that gets warm lowers its frequency after minutes, which a short run does not see. Each
window asks the same texts, so windows differ by the machine alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from devices.client import Worker
from devices.measurement import health
from devices.measurement.health import Snapshot
from devices.measurement.latency import percentile_90, queries_needed

# A window lasts so many seconds, and longer where it has too few queries for a percentile.
WINDOW_S = 15.0


@dataclass(frozen=True)
class Window:
    """What was measured without a pause.

    Attributes:
        minutes: of load until its end.
        seconds: end-to-end latencies, float64 (queries,).
        state: the board's, at its end.
    """

    minutes: float
    seconds: np.ndarray
    state: Snapshot

    @property
    def p90(self) -> float:
        """90th percentile of its latencies with early stopping, in seconds."""
        return percentile_90(self.seconds).seconds


@dataclass(frozen=True)
class Sustained:
    """Latency under sustained load.

    Attributes:
        windows: in order; the last one ends after the minutes that were asked for.
        fault: why the machine was not fit to measure on, or None. That it was slowed down by its
            own heat is none: it is what is asked for.
    """

    windows: tuple[Window, ...]
    fault: str | None


def sustained_load(
    worker: Worker,
    texts: Sequence[str],
    *,
    minutes: float,
    snapshot: Callable[[Worker], Snapshot],
) -> Sustained:
    """Keep a loaded worker busy for so many minutes.

    Args:
        worker: with a classifier loaded.
        texts: what each window cycles over.
        minutes: of load; there is at least one window.
        snapshot: returns the state of the worker's board.
    """
    before, windows, busy, cpu = snapshot(worker), list[Window](), 0.0, 0.0
    while not windows or busy < 60 * minutes:
        timings = worker.measure(
            texts, min_queries=queries_needed(0.9), min_seconds=WINDOW_S, warm_up=0
        )
        busy += timings.wall_seconds
        cpu += timings.all_cpu_seconds
        windows.append(Window(busy / 60, timings.seconds, snapshot(worker)))
    fault = health.verdict(before, windows[-1].state, worker_cpu_s=cpu, heat_is_fault=False)
    return Sustained(tuple(windows), fault)
