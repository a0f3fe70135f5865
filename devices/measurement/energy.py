"""Energy of a timed part, in joules of the whole board, from what measures it.

Either the board has meters, files that are read while it is timed: counters of energy (RAPL, in
most PCs) or sensors of power (INA2xx or INA3221, as hwmon or as the Jetson's). Or an external meter
wrote a log, a CSV with a header `timestamp,watts`: seconds since 1970 (or ISO 8601) by the clock of
the machine that runs pytest, and the power drawn.

What a board draws when idle is not subtracted: that is what a text costs it.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from devices.boards.detection import Read
from devices.errors import EnergyError

# Longest time between two samples of a log within a measurement, and at its ends.
LONGEST_GAP_S = 2.0
# How long after a measurement its last sample is waited for.
WRITTEN_WITHIN_S = 10.0
_RAPL = "/sys/class/powercap/intel-rapl:{}/"
_HWMON = "/sys/class/hwmon/hwmon{}/"
_JETSON = "/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power0_input"

# Seconds since the beginning, and the texts of a meter's files.
Readings = Sequence[tuple[float, Sequence[str | None]]]


@dataclass(frozen=True)
class Meter:
    """What a board offers. `files` are to be read while it is timed.

    `unit_j`: joules, or watts of a sensor, that one of the files' numbers stands for. `wraps`: for
    counters, the number at which each begins again; nothing for sensors.
    """

    name: str
    files: tuple[str, ...]
    unit_j: float
    wraps: tuple[int, ...] = ()


def find(read: Read) -> Meter | None:
    """The board's own meter: energy counters before sensors of power; None if there is none."""
    packages = [n for n in _numbered(read, _RAPL + "name", 8) if _is_package(read, n)]
    files = [_RAPL.format(n) + "energy_uj" for n in packages]
    texts = [read(path) or "" for path in files]
    wraps = [read(_RAPL.format(n) + "max_energy_range_uj") or "" for n in packages]
    if files and all(text.strip().isdigit() for text in [*texts, *wraps]):
        return Meter("RAPL, CPU packages", tuple(files), 1e-6, tuple(map(int, wraps)))
    for number in _numbered(read, _HWMON + "name", 16):
        name = (read(_HWMON.format(number) + "name") or "").strip()
        file = _HWMON.format(number) + "power1_input"
        if name.startswith("ina") and (read(file) or "").strip().isdigit():
            return Meter(f"hwmon, {name}", (file,), 1e-6)
    if (read(_JETSON) or "").strip().isdigit():
        return Meter("INA3221, 5 V input", (_JETSON,), 1e-3)
    return None


def joules(meter: Meter, readings: Readings) -> float:
    """What the board took between the first reading and the last.

    Raises:
        EnergyError: a file could not be read, there are too few readings of a sensor, or they come
            to nothing.
    """
    rows = [[_number(text, meter) for text in texts] for _, texts in readings]
    times = [at for at, _ in readings]
    if len(rows) < 2 or not all(rows):
        raise EnergyError(f"{meter.name}: {len(rows)} readings; two at least")
    if not meter.wraps:
        whole = _integral(times, [meter.unit_j * sum(row) for row in rows])
        return _above_zero(whole, meter.name)
    steps = [
        (after - before) % wrap
        for one, other in pairwise(rows)
        for before, after, wrap in zip(one, other, meter.wraps, strict=True)
    ]
    return _above_zero(meter.unit_j * sum(steps), meter.name)


def read_log(path: Path) -> list[tuple[float, float]]:
    """Time and watts of each sample of an external meter's log, in order of time.

    It may still be written: a last line that does not end is none yet.

    Raises:
        EnergyError: no such file, another header, a line that is no sample, or no sample at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
        if rows.fieldnames != ["timestamp", "watts"]:
            raise EnergyError(f"{path}: the header must be timestamp,watts")
        samples = [_sample(f"{path}, line {rows.line_num}", row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EnergyError(f"{path}: {error}") from error
    if not samples:
        raise EnergyError(f"{path}: no sample yet: start the meter's log before pytest")
    return sorted(samples)


def logged_joules(path: Path, began: float, ended: float) -> float:
    """What the external meter saw between two moments, by time.time().

    A log that does not reach the end yet is waited for, `WRITTEN_WITHIN_S` after it at most.

    Raises:
        EnergyError: as `read_log`, the log does not cover that time, or it comes to nothing.
    """
    while (samples := read_log(path))[-1][0] < ended and time.time() < ended + WRITTEN_WITHIN_S:
        time.sleep(0.2)
    within = [sample for sample in samples if began < sample[0] < ended]
    before = max((sample for sample in samples if sample[0] <= began), default=None)
    after = min((sample for sample in samples if sample[0] >= ended), default=None)
    whole = [*([before] if before else []), *within, *([after] if after else [])]
    times = [began, *(at for at, _ in within), ended]
    gap = max(later - earlier for earlier, later in pairwise(times))
    if len(whole) < 2 or gap > LONGEST_GAP_S:
        raise EnergyError(
            f"{path}: no sample for {gap:.1f} s of a measurement of {ended - began:.1f} s that "
            f"ended at {ended:.1f}; {LONGEST_GAP_S:g} s at most. Is its clock this machine's, and "
            "does its writer flush each line?"
        )
    watts = np.interp(times, [at for at, _ in whole], [power for _, power in whole])
    return _above_zero(_integral(times, watts.tolist()), str(path))


def _above_zero(joules: float, meter: str) -> float:
    if joules > 0:
        return joules
    raise EnergyError(
        f"{meter}: it measured {joules:g} J, and no board runs on nothing: is the meter connected, "
        "and does it measure this board?"
    )


def _integral(times: Sequence[float], watts: Sequence[float]) -> float:
    """Of power over time, by trapezoids."""
    pairs = zip(
        zip(times, watts, strict=True), zip(times[1:], watts[1:], strict=True), strict=False
    )
    return sum((b - a) * (lower + upper) / 2 for (a, lower), (b, upper) in pairs)


def _sample(where: str, row: dict[str, str]) -> tuple[float, float]:
    try:
        stamp = row["timestamp"]
        try:
            at = float(stamp)
        except ValueError:
            at = datetime.fromisoformat(stamp).astimezone().timestamp()
        watts = float(row["watts"])
        if not 0 <= watts < 10_000:
            raise ValueError(f"{watts} W")
    except (ValueError, TypeError, KeyError) as error:
        raise EnergyError(f"{where}: no sample: {error}") from None
    return at, watts


def _number(text: str | None, meter: Meter) -> int:
    if text is None or not text.strip().isdigit():
        raise EnergyError(f"{meter.name}: read {text!r} where a number was before")
    return int(text)


def _numbered(read: Read, pattern: str, most: int) -> list[int]:
    """The numbers that have such a file; there may be gaps."""
    return [number for number in range(most) if read(pattern.format(number))]


def _is_package(read: Read, number: int) -> bool:
    return (read(_RAPL.format(number) + "name") or "").startswith("package")
