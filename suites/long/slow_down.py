"""A pytest plugin that slows a mode down: `-p suites.long.slow_down`.

`SLOW_MODE` names the mode and `SLOW_DOWN` the share of each query's time that is added.
"""

from __future__ import annotations

import os
from functools import partialmethod

from devices.client import Worker
from fixtures import target as targets
from fixtures.measurement import Measurement
from fixtures.target import Target

_measured = targets.measure


def _measure(target: Target) -> Measurement:
    share = float(os.environ["SLOW_DOWN"]) if target.mode == os.environ["SLOW_MODE"] else 0.0
    plain = Worker.measure
    Worker.measure = partialmethod(plain, slow_down=share)  # type: ignore[method-assign,assignment]
    try:
        return _measured(target)
    finally:
        Worker.measure = plain  # type: ignore[method-assign]


targets.measure = _measure
