"""What differs between two runs, target by target. The metrics are rows of `reports.metrics`."""

from collections.abc import Iterator, Mapping
from typing import Any

from reports import aggregate
from reports.metrics import METRICS
from reports.schema import ReportError, VerdictFile
from reports.table import aligned, wrapped
from reports.verdict import number


def compare(one: VerdictFile, other: VerdictFile) -> str:
    """Return a table of what differs.

    What is timed or weighed is left out where the machines differ, with a line that says so.

    Raises:
        ReportError: the two have no target in common.
    """
    first = {aggregate.name(found["target"]): found for found in one["targets"]}
    second = {aggregate.name(found["target"]): found for found in other["targets"]}
    if not first.keys() & second.keys():
        raise ReportError("the two runs have no target in common; nothing can be compared")
    comparable = same_board(one, other)
    rows, lists = [], []
    for name in sorted(first.keys() | second.keys()):
        if name not in first or name not in second:
            rows.append(
                [name, "target", *("yes" if name in side else "no" for side in (first, second)), ""]
            )
            continue
        a, b = first[name], second[name]
        if a["verdict"] != b["verdict"]:
            rows.append([name, "verdict", a["verdict"], b["verdict"], ""])
        for metric in METRICS.values():
            before, after = a["metrics"].get(metric.key), b["metrics"].get(metric.key)
            if before == after or (metric.is_timing and not comparable):
                continue
            if isinstance(before, list | dict) and isinstance(after, list | dict):
                lists.append(wrapped(f"{name}: {metric.key}: {changes(before, after)}"))
            else:
                rows.append([name, metric.key, *_pair(before, after)])
    lines = [
        wrapped(f"run metadata: {difference}")
        for difference in _differences(one["metadata"], other["metadata"])
    ]
    if not comparable:
        lines.append(
            wrapped(
                "TIMES NOT COMPARED: the machine infos differ or are not stated, so a difference "
                "in time or memory would say nothing about the candidate"
            )
        )
    if not rows and not lists:
        return "\n".join([*lines, "no difference in verdicts or figures"])
    table = aligned([["target", "figure", "A", "B", "change"], *rows], left=2)
    return "\n".join([*lines, *table, *lists])


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield `field: A / B` of what differs, field by field in a mapping too."""
    for field in sorted(before.keys() | after.keys()):
        a, b = before.get(field), after.get(field)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from (f"{field}.{difference}" for difference in _differences(a, b))
        elif a != b:
            yield f"{field}: {'–' if a is None else a} / {'–' if b is None else b}"


def same_board(one: VerdictFile, other: VerdictFile) -> bool:
    """Return whether both runs state the same machine info."""
    stated = one["metadata"].get("machine_info")
    return bool(stated) and stated == other["metadata"].get("machine_info")


def _pair(before: Any, after: Any) -> list[str]:
    """Return both figures and the change in percent."""
    shown = ["–" if value is None else _shown(value) for value in (before, after)]
    if _is_number(before) and _is_number(after) and before:
        return [*shown, f"{100 * (after - before) / abs(before):+.1f}%"]
    return [*shown, ""]


def changes(before: list[Any] | dict[str, Any], after: list[Any] | dict[str, Any]) -> str:
    """Return what is only before, and what is only after: `-GELU v1, +GELU v2`."""
    old, new = (
        {f"{k}: {v}" for k, v in side.items()} if isinstance(side, dict) else set(map(str, side))
        for side in (before, after)
    )
    removed, added = sorted(old - new), sorted(new - old)
    listed = [*(f"-{entry}" for entry in removed), *(f"+{entry}" for entry in added)]
    return ", ".join(listed) or "the same, in another number or order"


def _shown(value: Any) -> str:
    return number(value) if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
