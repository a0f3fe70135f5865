"""The memory of the runs before: an append-only folder of verdict files, and the page of it.

A file's name holds when the run was made, the commit that it judged and the first digits of the
run's own checksum. Runs of other machines, texts or candidates are series of their own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import atomic
from reports import aggregate, gate, metrics, page, schema
from reports.metrics import METRICS
from reports.schema import ReportError, TargetVerdict, VerdictFile
from reports.verdict import number

FOLDER = Path("reports/history")
NAME = "history.html"
# How often a page of series without a change shows one, at most.
ALARM_RATE = 0.05
_FILE = re.compile(r"(\d{8}T\d{6}Z)-(\w+)-[0-9a-f]{8}\.json")
_NO_COMMIT = "none"


@dataclass(frozen=True)
class Entry:
    """A run of the history.

    Attributes:
        file: its verdict file.
        commit: what was judged; empty if nobody said.
        run: what the file holds.
    """

    file: Path
    commit: str
    run: VerdictFile


@dataclass(frozen=True)
class Point:
    """A value of a series, and the run that it is of."""

    value: float
    entry: Entry


@dataclass(frozen=True)
class Change:
    """A new level of a series.

    Attributes:
        index: of the first point of the new level.
        before, after: medians of the level before and of the new one.
        entry: the first run of the new level.
    """

    index: int
    before: float
    after: float
    entry: Entry


@dataclass(frozen=True)
class Series:
    """One metric of one target on one machine, in the order of the runs.

    Attributes:
        machine: what the board was; series of other machines are others.
        about: the candidate and the texts.
        target: the target's name.
        key: the metric, as the gate calls it; with the length in tokens where it has one.
        unit: of the values.
        is_exact: the same files give the same value, so any other value is a change.
        points: at least one.
        changes: of level.
    """

    machine: str
    about: str
    target: str
    key: str
    unit: str
    is_exact: bool
    points: list[Point]
    changes: list[Change]


def add(run: Path, folder: Path, commit: str | None) -> tuple[Path, bool]:
    """Copy a verdict file into the history.

    Args:
        run: verdicts.json, or its folder.
        folder: the history; it is made if it is missing.
        commit: what was judged; None: what GITHUB_SHA or git says of the working folder.

    Returns:
        The file, and whether it is new. A run is added once.

    Raises:
        ReportError: no verdict file, or not a commit's name.
    """
    data = aggregate.read(run)
    commit = _commit() if commit is None else commit
    if not re.fullmatch(r"[0-9A-Za-z]{1,64}", commit):
        raise ReportError(f"--commit {commit}: letters and digits alone are a commit's name")
    made = datetime.fromisoformat(data["created"]).astimezone(UTC)
    digits = schema.checksum(data)[:8]
    if known := sorted(folder.glob(f"*-{digits}.json")):
        return known[0], False
    out = folder / f"{made:%Y%m%dT%H%M%SZ}-{commit[:12]}-{digits}.json"
    source = run / "verdicts.json" if run.is_dir() else run
    atomic.write_bytes(out, source.read_bytes())
    return out, True


def _commit() -> str:
    if stated := os.environ.get("GITHUB_SHA"):
        return stated
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return _NO_COMMIT
    return done.stdout.strip() or _NO_COMMIT


def read(folder: Path) -> list[Entry]:
    """Return the runs of a history, the oldest first.

    Raises:
        ReportError: there is none, or a file of it is damaged or was edited.
    """
    named = {file: _FILE.fullmatch(file.name) for file in folder.glob("*.json")}
    if not named:
        raise ReportError(f"{folder}: no run is there; add one with `python fit.py history add`")
    entries = []
    for file, parts in sorted(named.items()):
        if parts is None:
            raise ReportError(f"{file}: not a name of the history: move it elsewhere")
        commit = "" if parts[2] == _NO_COMMIT else parts[2]
        entries.append(Entry(file, commit, aggregate.read(file)))
    return sorted(entries, key=lambda entry: datetime.fromisoformat(entry.run["created"]))


def series(entries: Sequence[Entry]) -> list[Series]:
    """Return the series of all runs, with the changes of level.

    A value that the same files always give is exact: each other value is a change. Of the others
    `reports.changes` finds the changes, and all of them together raise a false alarm in at most
    `ALARM_RATE` of histories without a change.
    """
    points: dict[tuple[str, str, str, str], list[Point]] = {}
    for entry in entries:
        for found in entry.run["targets"]:
            where = (_machine(entry.run, found), _about(entry.run), aggregate.name(found["target"]))
            for key, value in _figures(found):
                points.setdefault((*where, key), []).append(Point(value, entry))
    timed = sum(not _is_exact(where[-1]) for where in points)
    out = []
    for (machine, about, target, key), of_series in points.items():
        exact, rate = _is_exact(key), ALARM_RATE / max(1, timed)
        changed = _changes(of_series, exact, rate)
        unit = _metric(key).unit
        out.append(Series(machine, about, target, key, unit, exact, of_series, changed))
    return out


def _machine(run: VerdictFile, found: TargetVerdict) -> str:
    """Return the machine info of a target's board, as text that is equal for equal machines."""
    info: Any = run["metadata"].get("machine_info", "unknown")
    device = found["target"]["device"]
    if isinstance(info, dict) and isinstance(info.get(device), dict):
        info = info[device]
    return info if isinstance(info, str) else json.dumps(info, sort_keys=True)


def _about(run: VerdictFile) -> str:
    about = run["metadata"]
    named = about.get("checkpoint") or about.get("model_file", "").partition(",")[0] or "unknown"
    texts = about.get("splits", {}).get("evaluation", "").rpartition("sha256 ")[2][:8]
    return f"{named} on {about.get('dataset', 'unknown')} {texts}".strip()


def _figures(found: TargetVerdict) -> Iterator[tuple[str, float]]:
    """Yield the figures that the gate compares, and memory."""
    for key, value in {**gate.figures(found), **_memory(found)}.items():
        if isinstance(value, int | float):
            yield key, float(value)
        elif isinstance(value, dict) and _metric(key).kind == dict[str, int]:
            yield from ((f"{key}, {length} tokens", float(n)) for length, n in value.items())


def _memory(found: TargetVerdict) -> dict[str, float]:
    value = found["metrics"].get("memory_mb")
    return {} if value is None else {"memory_mb": value}


def _metric(key: str) -> metrics.Metric:
    key = key.partition(",")[0]
    return metrics.gated().get(key) or METRICS[key]


def _is_exact(key: str) -> bool:
    return not _metric(key).is_timing


def _changes(points: Sequence[Point], exact: bool, rate: float) -> list[Change]:
    import numpy as np

    from reports.changes import changes

    values = np.array([point.value for point in points])
    steps: list[int] = (np.flatnonzero(np.diff(values)) + 1).tolist()
    places = steps if exact else changes(values, rate)
    ends = [0, *places, len(values)]
    return [
        Change(
            index,
            float(np.median(values[start:index])),
            float(np.median(values[index:end])),
            points[index].entry,
        )
        for start, index, end in zip(ends, places, ends[2:], strict=False)
    ]


def sentence(change: Change, of: Series) -> str:
    """Return what changed, from what to what, and with which run."""
    share = f" ({100 * (change.after / change.before - 1):+.1f}%)" if change.before else ""
    commit = f", commit {change.entry.commit}" if change.entry.commit else ""
    return (
        f"{of.target}: {of.key} {number(change.before)} → {number(change.after)} {of.unit}".rstrip()
        + f"{share} with the run of {change.entry.run['created']}{commit}"
    )


def render(entries: Sequence[Entry]) -> str:
    """Return the page: a line for each target and metric, with its changes.

    Raises:
        ModuleNotFoundError: jinja2 is not installed.
    """
    found = series(entries)
    groups: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for one in found:
        of_target = groups.setdefault((one.about, one.machine), {}).setdefault(one.target, [])
        of_target.append(_row(one))
    return page.from_template(
        "history.html.j2",
        {
            "runs": len(entries),
            "first": entries[0].run["created"],
            "last": entries[-1].run["created"],
            "alarm_rate": f"{100 * ALARM_RATE:g}%",
            "changes": [sentence(change, one) for one in found for change in one.changes],
            "groups": [
                {"about": about, "machine": machine, "targets": targets}
                for (about, machine), targets in groups.items()
            ],
        },
    )


def _row(one: Series) -> dict[str, Any]:
    """Return what the template needs of a series: its points in a box of 300 x 40."""
    values = [point.value for point in one.points]
    low, high = min(values), max(values)
    across = 290 / max(1, len(values) - 1)
    places = [
        (round(5 + index * across, 1), round(35 - 30 * (value - low) / ((high - low) or 1), 1))
        for index, value in enumerate(values)
    ]
    return {
        "key": one.key,
        "unit": one.unit,
        "count": len(values),
        "last": number(values[-1]),
        "low": number(low),
        "high": number(high),
        "path": " ".join(f"{x},{y}" for x, y in places),
        "marks": [places[change.index] for change in one.changes],
        "end": places[-1],
        "changes": [sentence(change, one) for change in one.changes],
    }
