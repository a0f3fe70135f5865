"""The file that `python fit.py profile --out` writes, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from reports.schema import ReportError, conform, read_json

# Operators and layers that are shown.
MOST = 30


class OperatorProfile(TypedDict):
    """Costs of one signature of a model file, in `unit`, by operator and by layer."""

    title: str
    unit: str
    tokens: int
    whole: float
    share_of_whole: float
    delegated: float
    by_operator: dict[str, float]
    by_layer: dict[str, float]
    kinds: list[Any]


def read(path: Path) -> OperatorProfile:
    """Read a profile.

    Raises:
        ReportError: it is missing, or no profile of this version.
    """
    data = read_json(path)
    try:
        conform(data, OperatorProfile, "$")
    except ReportError as error:
        raise ReportError(
            f"{path}: no profile: {error}; write one with `python fit.py profile --out`"
        ) from error
    return OperatorProfile(**data)  # type: ignore[typeddict-item]


def view(found: OperatorProfile) -> dict[str, Any]:
    """Return what the template fills in: rows of name, cost and share, the dearest first."""
    return {
        **found,
        "operators": _rows(found["by_operator"], found["unit"]),
        "layers": _rows(found["by_layer"], found["unit"]),
        "adds_up": f"{100 * found['share_of_whole']:.1f}%",
        "delegate": f"{100 * found['delegated']:.1f}%",
    }


def _rows(costs: Mapping[str, float], unit: str) -> Sequence[Mapping[str, Any]]:
    total = sum(costs.values()) or 1.0
    form = "{:,.0f}" if unit == "instructions" else "{:.3f}"
    dearest = sorted(costs.items(), key=lambda item: -item[1])[:MOST]
    return [
        {"name": name, "cost": form.format(cost), "share": round(100 * cost / total, 1)}
        for name, cost in dearest
    ]
