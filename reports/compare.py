"""What differs between two runs, case by case."""

from typing import Any

from reports import aggregate
from reports.schema import ReportError, VerdictFile
from reports.table import aligned
from reports.verdict import number

# Facts that are times or rates: comparable only on the same board.
TIMES = ("p90_ms", "inference_p90_ms", "texts_per_s", "load_ms")
# Facts that depend on the accuracy reference or the texts, and those read from the file.
FIGURES = (
    "size_bytes",
    "ratio_weights",
    "ratio_training_checkpoint",
    "accuracy",
    "balanced_accuracy",
    "drop",
    "drop_upper",
    "balanced_drop",
    "balanced_drop_upper",
    "agreement",
    "memory_mb",
    "operators",
    "dtypes",
    "texts",
    "truncated",
)


def compare(one: VerdictFile, other: VerdictFile) -> str:
    """A table of what differs. ReportError if the two have no target in common.

    Times of different boards are left out, and it says so.
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
        for fact in (*FIGURES, *(TIMES if comparable else ())):
            before, after = a["metrics"].get(fact), b["metrics"].get(fact)
            if before != after:
                rows.append([name, fact, *_pair(before, after)])
    lines = [
        f"run metadata: {field} differs: {one['metadata'].get(field)!r} / "
        f"{other['metadata'].get(field)!r}"
        for field in sorted(one["metadata"].keys() | other["metadata"].keys())
        if one["metadata"].get(field) != other["metadata"].get(field)
    ]
    if not comparable:
        lines.append(
            "TIMES NOT COMPARED: the machine infos differ or are not stated; milliseconds of "
            "different boards say nothing about the candidate"
        )
    if not rows:
        return "\n".join([*lines, "no difference in verdicts or figures"])
    return "\n".join([*lines, *aligned([["target", "figure", "A", "B", "change"], *rows], left=2)])


def same_board(one: VerdictFile, other: VerdictFile) -> bool:
    """Whether both runs state the same machine info."""
    stated = one["metadata"].get("machine_info")
    return bool(stated) and stated == other["metadata"].get("machine_info")


def _pair(before: Any, after: Any) -> list[str]:
    """Both figures and the change: percent where it has a meaning, of lists what came and went."""
    if isinstance(before, list | dict) and isinstance(after, list | dict):
        return ["", "", changes(before, after)]
    shown = ["–" if value is None else _shown(value) for value in (before, after)]
    if _is_number(before) and _is_number(after) and before:
        return [*shown, f"{100 * (after - before) / abs(before):+.1f}%"]
    return [*shown, ""]


def changes(before: list[Any] | dict[str, Any], after: list[Any] | dict[str, Any]) -> str:
    """`-GELU v1 +GELU v2`: what is only before, and what is only after."""
    old, new = (
        {f"{k}: {v}" for k, v in side.items()} if isinstance(side, dict) else set(map(str, side))
        for side in (before, after)
    )
    gone, come = sorted(old - new), sorted(new - old)
    listed = [*(f"-{entry}" for entry in gone), *(f"+{entry}" for entry in come)]
    return ", ".join(listed) or "the same, in another number or order"


def _shown(value: Any) -> str:
    return number(value) if _is_number(value) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
