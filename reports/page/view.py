"""What the page shows, computed from verdict files: words, figures, and places on the charts.

A chart is inline SVG that a template draws from these places: matplotlib weighs more than all that
a board has, and its pictures follow neither a dark page nor a small screen.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from reports import aggregate, metrics, table, why
from reports.metrics import METRICS, MISSING
from reports.page.explain import explain
from reports.recommend import RULE, recommend
from reports.schema import (
    Measurement,
    Record,
    ReportError,
    Target,
    TargetVerdict,
    VerdictFile,
)
from reports.verdict import PASSING, Verdict, number

# A sign for each verdict: never colour alone.
SIGNS = {
    Verdict.SHIPS: "✓",
    Verdict.PASSES: "✓",
    Verdict.CONFORMS: "✓",
    Verdict.INCONCLUSIVE: "?",
    Verdict.DOES_NOT_SHIP: "✗",
    Verdict.FAILS: "✗",
    Verdict.CANNOT_RUN: "⊘",
    Verdict.INVALID: "!",
}
# With more targets than these, each shows its worst slices and the checks that do not pass alone,
# neither its confusion matrix nor its memory: a page of these targets' run has them.
MANY, WORST_SLICES = 40, 5
MEANINGS = {
    "ships": "every required claim is within its budget",
    "conforms": "the same on an emulated board, whose speed is not measured",
    "inconclusive": "a figure is too near to its budget, or a claim was not judged",
    "does not ship": "a budget is exceeded, or a claim does not hold",
    "cannot run": "the runtime refuses the file, crashes, or returns wrong outputs",
    "invalid": "there is no valid measurement",
}


def view(runs: Sequence[VerdictFile]) -> dict[str, Any]:
    """Return what the template fills in.

    Raises:
        ReportError: two runs judge the same target.
    """
    found = [(data, target) for data in runs for target in data["targets"]]
    names = [aggregate.name(target["target"]) for _, target in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ReportError(
            f"two of these runs judge {twice[0]}: show one at a time, or compare them with "
            "`python fit.py compare A B`"
        )
    targets = [target for _, target in found]
    advice = recommend(targets)
    brief = len(found) > MANY
    cards = [_card(index + 1, data, target, brief) for index, (data, target) in enumerate(found)]
    return {
        "title": _title(runs),
        "answer": table.answer(targets),
        "alternatives": [line for one in advice for line in one.alternatives()],
        "rule": RULE,
        "why": why.sentences(targets),
        "brief": brief,
        "notes": _notes(runs),
        "matrix": _matrix(cards),
        "meanings": {word: text for word, text in MEANINGS.items() if _occurs(word, targets)},
        "slug": slug,
        "sign": lambda word: SIGNS[Verdict(word)],
        "cards": cards,
        "troubles": _troubles(cards),
        "frontier": _frontier(cards, advice),
        "runs": [_about(data) for data in runs],
        "every": [_record(r) for data in runs for r in data["records"] if r["target"] is None],
        "emulated": any("projected_p90_ms" in target["metrics"] for target in targets),
        "columns": [m.column for m in METRICS.values() if m.in_terminal],
    }


def slug(word: str) -> str:
    """Return a verdict or name as part of an HTML class or id."""
    return re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-")


def _title(runs: Sequence[VerdictFile]) -> str:
    named = dict.fromkeys(str(data["metadata"].get("checkpoint", "")) for data in runs)
    return ", ".join(name for name in named if name) or "a model file"


def _notes(runs: Sequence[VerdictFile]) -> list[str]:
    notes = [note for data in runs for note in data["metadata"].get("notes", [])]
    caveats = [data["metadata"].get("caveat") for data in runs]
    limits = [limit for data in runs for limit in data["metadata"].get("limits", [])]
    told = [f"Caveat: {caveat}" for caveat in caveats if caveat]
    told += [f"Limit: {limit}" for limit in limits]
    return [*dict.fromkeys(notes), *dict.fromkeys(told)]


def _occurs(word: str, targets: Sequence[TargetVerdict]) -> bool:
    return any(target["verdict"] == word for target in targets)


def _card(index: int, data: VerdictFile, found: TargetVerdict, brief: bool) -> dict[str, Any]:
    """Return all that the page says of one target."""
    target, values = found["target"], found["metrics"]
    records = [r for r in data["records"] if r["target"] in (target, None)]
    own = [_record(r) for r in records if r["target"]]
    columns = [metric.cell(values) for metric in METRICS.values() if metric.in_terminal]
    if bounds := metrics.bounds(METRICS["projected_p90_ms"], values):
        place = [m.key for m in METRICS.values() if m.in_terminal].index("p90_ms")
        columns[place] = f"projected {bounds[0]:.0f}–{bounds[1]:.0f}"
    return {
        "index": index,
        "id": f"target-{index}",
        "target": target,
        "name": aggregate.name(target),
        "verdict": found["verdict"],
        "figures": columns,
        "explanations": explain(found, records, data["required"]),
        "claims": _claims([r for r in own if not brief or Verdict(r["verdict"]) not in PASSING]),
        "bars": [bar for record in own for bar in record["bars"]],
        "records": own,
        "values": values,
        "latency": _latency(values),
        "sustained": [] if brief else _sustained(values),
        "memory": [] if brief else _memory(values),
        "confusion": None if brief else _confusion(values),
        "reliability": None if brief else _reliability(values),
        "flips": values.get("flips") or [],
        "drift": values.get("drift", []),
        "examples": values.get("examples", []),
        "slices": _slices(values)[: WORST_SLICES if brief else None],
        "health": _health(values),
        "command": _command(data, target),
    }


def _troubles(cards: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what does not pass, once for all targets that it is the same of."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for card in cards:
        for one in card["explanations"]:
            key = (one.claim, one.verdict, one.expected, one.why, one.advice)
            group = groups.setdefault(key, {"one": one, "rows": []})
            group["rows"].append({"card": card, "demanded": one.demanded, "found": one.found})
    return list(groups.values())


def _record(record: Record) -> dict[str, Any]:
    bars = [_bar(record, measured) for measured in record["measurements"]]
    test = record["nodeid"].partition("::")[2].partition("[")[0]
    return {**record, "bars": bars, "test": test.removeprefix("test_").replace("_", " ")}


def _claims(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the records by claim, in the order of the file."""
    claims: dict[str, list[Any]] = {}
    for record in records:
        claims.setdefault(record["claim"], []).append(record)
    return [{"claim": claim, "records": found} for claim, found in claims.items()]


def _bar(record: Record, measured: Measurement) -> dict[str, Any]:
    """Return a measurement with the places of value, bounds and budget, in percent of its bar."""
    value, budget = measured["value"], measured["budget"]
    bounds = [b for b in (measured["lower"], measured["upper"]) if b is not None]
    text = MISSING if value is None else f"{number(value)} {measured['unit']}".rstrip()
    bar: dict[str, Any] = {
        "claim": record["claim"],
        "name": measured["name"],
        "verdict": measured["verdict"],
        "expected": record["expected_failure"],
        "text": text,
        "bounds": f"{number(bounds[0])} to {number(bounds[1])}" if len(bounds) == 2 else "",
        "budget": "" if budget is None else f"{measured['comparison']} {number(budget)}",
        "statistic": measured["statistic"],
        "comparison": measured["comparison"],
        "drawn": value is not None and budget is not None,
    }
    if value is not None and budget is not None:
        least = min(0.0, value, budget, *bounds)
        most = max(value, budget, *bounds)
        span = (most - least) * 1.08 or 1.0

        def place(x: float) -> float:
            return round(100 * (x - least) / span, 2)

        low, high = (bounds[0], bounds[-1]) if bounds else (value, value)
        bar |= {
            "zero": place(0.0 if least <= 0 else least),
            "at": place(value),
            "from": place(low),
            "wide": max(0.0, round(place(high) - place(low), 2)),
            "line": place(budget),
        }
    return bar


def _matrix(cards: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each device the modes as rows and the runtimes as columns."""
    devices: dict[str, list[Any]] = {}
    for card in cards:
        devices.setdefault(card["target"]["device"], []).append(card)
    out = []
    for device, own in devices.items():
        runtimes = list(dict.fromkeys(card["target"]["runtime"] for card in own))
        modes = list(dict.fromkeys(card["target"]["mode"] for card in own))
        cells = {(c["target"]["mode"], c["target"]["runtime"]): c for c in own}
        rows = [{"mode": m, "cells": [cells.get((m, r)) for r in runtimes]} for m in modes]
        out.append({"device": device, "runtimes": runtimes, "rows": rows})
    return out


# Charts: a plane of 560 x 300 units with its axes inside.
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 560, 300, 48, 40, 12, 12


def _frontier(cards: Sequence[Mapping[str, Any]], advice: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the charts of drop against size and against time."""
    dominated = {name for one in advice for name in one.dominated}
    taken = {aggregate.name(one.take["target"]) for one in advice if one.take}
    charts = []
    for key, label in (("size_bytes", "size in MB"), ("p90_ms", "p90 in ms")):
        metric = METRICS[key]
        known = [
            card
            for card in cards
            if (card["values"].get(key) or 0) > 0 and card["values"].get("drop_upper") is not None
        ]
        if len(known) < 2:
            continue
        xs = [card["values"][key] * metric.scale for card in known]
        ys = [card["values"]["drop_upper"] for card in known]
        x_ticks, y_ticks = _log_ticks(min(xs), max(xs)), _ticks(min(0.0, *ys), max(4.1, *ys))
        points = [
            {
                "x": _log_place(x, x_ticks),
                "y": _place(y, y_ticks),
                "index": card["index"],
                "name": card["name"],
                "verdict": card["verdict"],
                "dominated": card["name"] in dominated,
                "taken": card["name"] in taken,
                "title": f"{card['name']}: {metric.cell(card['values'])} {metric.column[1]}, "
                f"drop ≤ {y:.1f} points",
            }
            for card, x, y in zip(known, xs, ys, strict=True)
        ]
        charts.append(
            {
                "label": label,
                "points": points,
                "x_ticks": [(_log_place(t, x_ticks), f"{t:g}") for t in x_ticks],
                "y_ticks": [(_place(t, y_ticks), f"{t:g}") for t in y_ticks],
                "budget": _place(4.1, y_ticks),
            }
        )
    return charts


def _log_ticks(least: float, most: float) -> list[float]:
    steps = [m * 10.0**e for e in range(-4, 6) for m in (1, 2, 5)]
    low = max([s for s in steps if s <= least * 0.95], default=steps[0])
    high = min([s for s in steps if s >= most * 1.05], default=steps[-1])
    return [s for s in steps if low <= s <= high]


def _log_place(x: float, ticks: Sequence[float]) -> float:
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (math.log(x) - low) / (high - low), 1)


def _ticks(least: float, most: float) -> list[float]:
    step = next(s for s in (0.5, 1, 2, 5, 10, 20, 50, 100) if (most - least) / s <= 8)
    low, high = math.floor(least / step), math.ceil(most / step)
    return [step * n for n in range(low, high + 1)]


def _place(y: float, ticks: Sequence[float]) -> float:
    share = (y - ticks[0]) / (ticks[-1] - ticks[0])
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share, 1)


def _latency(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return by length the number of queries, percentiles in ms and their places in percent."""
    found: Mapping[str, Sequence[float]] = values.get("latency_by_length") or {}
    most = max([figures[3] for figures in found.values()] or [1.0]) or 1.0
    return [
        {
            "length": length,
            "queries": f"{figures[0]:.0f}",
            "cells": [f"{figure:.1f}" for figure in figures[1:]],
            "from": round(100 * figures[1] / most, 1),
            "wide": round(100 * (figures[3] - figures[1]) / most, 1),
            "median": round(100 * figures[2] / most, 1),
        }
        for length, figures in found.items()
    ]


def _sustained(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return by window of sustained load what its row shows."""
    shown = {"minutes": "{:.1f}", "p90_ms": "{:.1f}", "temperature_c": "{:.0f}"}
    return [
        {
            key: MISSING if point.get(key) is None else form.format(point[key])
            for key, form in {**shown, "frequency_mhz": "{:.0f}"}.items()
        }
        for point in values.get("sustained_curve") or ()
    ]


def _memory(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    phases = dict(values.get("memory_by_phase") or {})
    if not phases:
        return []
    bare = values.get("bare_memory_mb")
    most = max(phases.values()) + (bare or 0.0) or 1.0
    rows = [("bare worker", 0.0)] if bare is not None else []
    return [
        {
            "phase": phase,
            "mb": f"{mb if phase != 'bare worker' else bare:.0f}",
            "bare": round(100 * (bare or 0.0) / most, 1),
            "wide": round(100 * mb / most, 1),
        }
        for phase, mb in [*rows, *phases.items()]
    ]


def _confusion(values: Mapping[str, Any]) -> dict[str, Any] | None:
    matrix = values.get("confusion_matrix")
    if not matrix:
        return None
    before = values.get("float32_confusion_matrix")
    classes = values.get("classes") or [str(n) for n in range(len(matrix))]
    rows = []
    for i, row in enumerate(matrix):
        total = sum(row) or 1
        cells = [
            {
                "count": count,
                "share": round(100 * count / total),
                "change": f"{count - before[i][j]:+d}" if before and count != before[i][j] else "",
            }
            for j, count in enumerate(row)
        ]
        rows.append({"label": classes[i], "cells": cells})
    return {"classes": classes, "rows": rows, "compared": before is not None}


def _reliability(values: Mapping[str, Any]) -> dict[str, Any] | None:
    bins = values.get("reliability")
    if not bins:
        return None

    def path(found: Sequence[Sequence[float]]) -> str:
        return " ".join(f"{20 + 1.6 * x:.1f},{180 - 1.6 * y:.1f}" for _, x, y in found)

    before = values.get("float32_reliability")
    return {
        "path": path(bins),
        "before": path(before) if before else "",
        "points": [(round(20 + 1.6 * x, 1), round(180 - 1.6 * y, 1)) for _, x, y in bins],
        "bins": [[f"{n:.0f}", f"{x:.1f}", f"{y:.1f}"] for n, x, y in bins],
        "error": METRICS["calibration_error"].cell(values),
        "error_before": METRICS["float32_calibration_error"].cell(values),
    }


def _slices(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            **part,
            "accuracy": f"{part['accuracy']:.1f}",
            "bounds": f"{part['lower']:.1f} to {part['upper']:.1f}",
            "drop": _drop(part),
            "from": round(part["lower"], 1),
            "wide": round(part["upper"] - part["lower"], 1),
            "at": round(part["accuracy"], 1),
        }
        for part in values.get("slices") or []
    ]


def _drop(part: Mapping[str, Any]) -> str:
    if "drop" not in part:
        return MISSING
    if "drop_lower" not in part:  # a file of before 0.3
        return f"{part['drop']:.1f}"
    return f"{part['drop']:.1f} ({part['drop_lower']:.1f} to {part['drop_upper']:.1f})"


_HEALTH = {
    "temperature_c": ("temperature", "°C", "{:.0f}"),
    "frequency_mhz": ("slowest core", "MHz", "{:.0f}"),
    "load_1m": ("load over a minute", "", "{:.1f}"),
    "throttled": ("firmware's throttling bits", "", "{:#x}"),
    "swap_used_mb": ("swap in use", "MB", "{:.0f}"),
}


def _health(values: Mapping[str, Any]) -> list[list[str]]:
    found = values.get("health") or {}
    before, after = found.get("before") or {}, found.get("after") or {}
    rows = []
    for key, (label, unit, form) in _HEALTH.items():
        cells = [
            MISSING if state.get(key) is None else f"{form.format(state[key])} {unit}".rstrip()
            for state in (before, after)
        ]
        if cells != [MISSING, MISSING]:
            rows.append([label, *cells])
    return rows


def _about(data: VerdictFile) -> dict[str, Any]:
    """Return where a run's figures come from: rows of name and value, one level deep."""
    rows = []
    for key, value in data["metadata"].items():
        if key in ("notes", "limits", "caveat"):
            continue
        entries = value.items() if isinstance(value, Mapping) else [("", value)]
        for name, entry in entries:
            label = f"{key}: {name}" if name else key
            rows.append([label.replace("_", " "), _plain(entry)])
    return {"created": data["created"], "sha256": data["sha256"], "rows": rows}


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(v)}" for key, v in value.items())
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value)


def _command(data: VerdictFile, target: Target) -> str:
    """Return what is typed to measure a target again."""
    parts = ["pytest", "-m", shlex.quote(target["device"].partition("@")[0])]
    parts += ["--runtime", shlex.quote(target["runtime"]), "--mode", shlex.quote(target["mode"])]
    return " ".join([*parts, str(data["metadata"].get("options", ""))]).strip()
