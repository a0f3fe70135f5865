"""The frontier as an SVG, the same text for the same lines. Needs matplotlib: group `docs`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import atomic
from reports.pareto import BOUNDS, Line, to_csv
from reports.schema import ReportError


def plot(lines: Sequence[Line], path: Path) -> None:
    """Draw drop against size, a colour for each checkpoint.

    A filled mark is accuracy, an open one balanced accuracy. The bar above each ends at the upper
    one-sided 95% bound.

    Raises:
        ReportError: there is nothing to draw, or no matplotlib to draw it with.
    """
    if not lines:
        raise ReportError(f"{path}: no line to draw")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ReportError(f"{path}: {error}; python -m pip install --group docs") from None
    # Text stays text, ids are hashes of what they name, and no date or version is written.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "frontier", "font.size": 9}):
        figure = Figure(figsize=(8.5, 6), layout="constrained")
        axes = figure.add_subplot()
        _scales(axes, lines)
        _bounds(axes, lines)
        checkpoints = list(dict.fromkeys((x.checkpoint, x.weights_sha256) for x in lines))
        for number, (name, weights) in enumerate(checkpoints):
            twice = [other for other, _ in checkpoints].count(name) > 1
            label = f"{name} ({weights[:8]})" if twice else name
            _marks(axes, [x for x in lines if x.weights_sha256 == weights], lines, number, label)
        _modes(axes, lines)
        title = "filled: accuracy; open: balanced accuracy; bars: up to the upper 95% bounds"
        figure.legend(loc="outside lower center", ncols=2, frameon=False, title=title)
        svg = io.StringIO()
        about = {"Description": drawn_of(lines), "Date": None, "Creator": None}
        figure.savefig(svg, format="svg", metadata=about)
    atomic.write_text(path, "".join(f"{row.rstrip()}\n" for row in svg.getvalue().splitlines()))


def drawn_of(lines: Sequence[Line]) -> str:
    """Return what a plot states about its lines, so that an outdated one is recognised."""
    return f"drawn of lines with sha256 {hashlib.sha256(to_csv(lines).encode()).hexdigest()}"


def _base(lines: Sequence[Line]) -> float:
    """Return the size of BERT-large's float32 weights, MB."""
    return lines[0].bytes / 1e6 * lines[0].smaller_than_bert_large_weights


def _highest(line: Line) -> float:
    return max(line.drop_upper_95, line.balanced_drop_upper_95)


def _scales(axes: Any, lines: Sequence[Line]) -> None:
    lowest = min(0, *(min(x.drop, x.balanced_drop) for x in lines))
    axes.set_ylim(lowest, max(map(_highest, lines)) + 1.3)  # room for the names of the modes
    axes.set_ylabel(f"drop against {lines[0].accuracy_reference}, points")
    smallest, largest = 3, 1.2 * max(x.bytes for x in lines) / 1e6
    _logarithmic(axes, (smallest, largest), [3, 4, 5, 8, 10, 15, 20, 30, 50, 100, 200], "{x:g}")
    axes.set_xlabel("size of the model file, MB")
    axes.grid(alpha=0.25)
    ratios, base = axes.twiny(), _base(lines)
    _logarithmic(ratios, (base / smallest, base / largest), [15, 25, 50, 100, 160, 300], "{x:g}×")
    ratios.set_xlabel("smaller than BERT-large's float32 weights")


def _logarithmic(axes: Any, limits: tuple[float, float], ticks: list[float], form: str) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(form)


def _bounds(axes: Any, lines: Sequence[Line]) -> None:
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    for ratio, points in BOUNDS:
        megabytes = _base(lines) / ratio
        axes.plot([left, megabytes, megabytes], [points, points, bottom], "--", color="0.45", lw=1)
        axes.annotate(
            f"{ratio}×: {megabytes:.2f} MB\n{points} points",
            (left, points),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
            fontsize=8,
        )


def _marks(axes: Any, own: Sequence[Line], lines: Sequence[Line], number: int, label: str) -> None:
    """Draw one checkpoint. Equal sizes are moved 2.5% apart, the two measures by 1%."""
    for shift, field, fill, marker, name in (
        (0.995, "drop", f"C{number}", "o", label),
        (1.005, "balanced_drop", "white", "s", None),
    ):
        at = []
        for x in own:
            alike = [other.weights_sha256 for other in lines if other.bytes == x.bytes]
            place = alike.index(x.weights_sha256) - (len(alike) - 1) / 2
            at.append(shift * 1.025**place * x.bytes / 1e6)
        drops = [getattr(x, field) for x in own]
        up = [getattr(x, f"{field}_upper_95") - drop for x, drop in zip(own, drops, strict=True)]
        axes.errorbar(
            at,
            drops,
            yerr=[[0] * len(up), up],
            fmt=marker,
            ms=5,
            color=f"C{number}",
            mfc=fill,
            elinewidth=0.9,
            capsize=2,
            label=name,
        )


def _modes(axes: Any, lines: Sequence[Line]) -> None:
    """Write the names of the modes above the lines; those of sizes within 4% together."""
    groups: list[list[Line]] = []
    for x in sorted(lines, key=lambda line: line.bytes):
        if groups and x.bytes < 1.04 * groups[-1][0].bytes:
            groups[-1].append(x)
        else:
            groups.append([x])
    for group in groups:
        names = "\n".join(dict.fromkeys(x.mode for x in group))
        middle = (group[0].bytes * group[-1].bytes) ** 0.5 / 1e6
        axes.annotate(
            names,
            (middle, max(map(_highest, group))),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            rotation=90,
            fontsize=8,
        )
