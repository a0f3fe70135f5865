"""What differs between two runs, target by target. The metrics are rows of `reports.metrics`."""

from typing import Any

from reports import aggregate
from reports.metrics import METRICS
from reports.schema import ReportError, VerdictFile
from reports.table import aligned
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
    rows = []
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
            if before != after and (comparable or not metric.is_timing):
                rows.append([name, metric.key, *_pair(before, after)])
    lines = [
        f"run metadata: {field} differs: {one['metadata'].get(field)!r} / "
        f"{other['metadata'].get(field)!r}"
        for field in sorted(one["metadata"].keys() | other["metadata"].keys())
        if one["metadata"].get(field) != other["metadata"].get(field)
    ]
    if not comparable:
        lines.append(
            "TIMES NOT COMPARED: the machine infos differ or are not stated, so a difference in "
            "time or memory would say nothing about the candidate"
        )
    if not rows:
        return "\n".join([*lines, "no difference in verdicts or figures"])
    return "\n".join([*lines, *aligned([["target", "figure", "A", "B", "change"], *rows], left=2)])


def same_board(one: VerdictFile, other: VerdictFile) -> bool:
    """Return whether both runs state the same machine info."""
    stated = one["metadata"].get("machine_info")
    return bool(stated) and stated == other["metadata"].get("machine_info")


def _pair(before: Any, after: Any) -> list[str]:
    """Return both figures and the change: in percent, or what came and went in a list."""
    if isinstance(before, list | dict) and isinstance(after, list | dict):
        return ["", "", changes(before, after)]
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
