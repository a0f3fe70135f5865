"""The files that `fit.py profile --out` and `fit.py layers --out` write, as the page shows them."""

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


class LayerErrors(TypedDict):
    """How far a mode drifts from float32, by layer, in percent of the signal."""

    title: str
    errors: dict[str, float]


def read(path: Path) -> OperatorProfile:
    """Read a profile.

    Raises:
        ReportError: it is missing, or no profile of this version.
    """
    return OperatorProfile(**_read(path, OperatorProfile, "profile"))  # type: ignore[typeddict-item]


def read_errors(path: Path) -> LayerErrors:
    """Read the errors of layers.

    Raises:
        ReportError: they are missing, or of another version.
    """
    return LayerErrors(**_read(path, LayerErrors, "layers"))  # type: ignore[typeddict-item]


def _read(path: Path, kind: Any, command: str) -> dict[str, Any]:
    data = read_json(path)
    try:
        conform(data, kind, "$")
    except ReportError as error:
        raise ReportError(
            f"{path}: {error}; write the file with `python fit.py {command} --out`"
        ) from error
    return dict(data)


def view(found: OperatorProfile) -> dict[str, Any]:
    """Return what the template fills in: rows of name, cost and share, the dearest first."""
    return {
        **found,
        "operators": _rows(found["by_operator"], found["unit"]),
        "layers": _rows(found["by_layer"], found["unit"]),
        "adds_up": f"{100 * found['share_of_whole']:.1f}%",
        "delegate": f"{100 * found['delegated']:.1f}%",
    }


def view_errors(found: LayerErrors) -> dict[str, Any]:
    """Return what the template fills in: rows of layer, error and what the layer adds."""
    most, before, rows = max([*found["errors"].values(), 1e-9]), 0.0, list[dict[str, Any]]()
    for name, error in found["errors"].items():
        added = f"{error - before:+.2f}"
        wide = round(100 * max(0.0, error) / most, 1)
        rows.append({"name": name, "error": f"{error:.2f}", "added": added, "wide": wide})
        before = error
    return {"title": found["title"], "rows": rows}


def _rows(costs: Mapping[str, float], unit: str) -> Sequence[Mapping[str, Any]]:
    total = sum(costs.values()) or 1.0
    form = "{:,.0f}" if unit == "instructions" else "{:.3f}"
    dearest = sorted(costs.items(), key=lambda item: -item[1])[:MOST]
    return [
        {"name": name, "cost": form.format(cost), "share": round(100 * cost / total, 1)}
        for name, cost in dearest
    ]
