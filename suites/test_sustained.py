"""Claim: the device classifies at least one text a second after minutes of load as well.

A board that throttles answers fast at first. So a worker is kept busy for `--sustained` minutes (by
default 10 on a board, none on host), and the latency budget is demanded of the last window of
queries. That the board was slowed down by its own heat is what is measured here, and no fault of
the measurement. Too little voltage, other load and swapping are.
"""

from __future__ import annotations

from typing import Any

import pytest

from devices.measurement.latency import percentile_90
from devices.measurement.sustained import Window
from fixtures.target import Target
from reports.check import Check
from reports.verdict import Estimate


@pytest.mark.only(emulated=False, sustained=True)
def test_sustained_latency(target: Target, check: Check) -> None:
    """p90 of end-to-end in the last window, beside that of the short run."""
    short, found = target.measurement, target.sustained
    last, before = found.windows[-1], percentile_90(short.timings.seconds).seconds
    ratio = last.p90 / before
    check.metrics(
        sustained_p90_ms=1000 * last.p90,
        sustained_ratio=ratio,
        sustained_curve=[_point(window) for window in found.windows],
    )
    if fault := found.fault:
        check.invalid(fault)
    statistic = (
        f"p90 with early stopping, {len(last.seconds)} queries after {last.minutes:.1f} minutes; "
        f"{ratio:.2f} times that of the short run, {1000 * before:.1f} ms"
    )
    estimate = Estimate(1000 * last.p90, "ms", statistic)
    check.at_most("end-to-end latency", estimate, target.profile.budget.latency_ms)


def _point(window: Window) -> dict[str, Any]:
    """Return minutes, p90 in ms, degrees Celsius and MHz; None where the board does not tell."""
    state = window.state
    return {
        "minutes": round(window.minutes, 2),
        "p90_ms": round(1000 * window.p90, 3),
        "temperature_c": state.temperature_c,
        "frequency_mhz": state.frequency_mhz,
    }
