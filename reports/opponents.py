"""What else could ship: model files and other classifiers of the same texts, in one table.

An entry is *dominated* if another is at least as good in size, in both drops, in time and in
memory, and better in one of them. Of the others, each is held against its cheaper neighbour: the
points that it gains for each megabyte and each millisecond.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from common import atomic
from reports.schema import ReportError

# Points that may be lost of both measures, and megabytes: 1,000, 500 and 100 times smaller than
# BERT-large's float32 weights.
ROWS = ((1000, 4.1), (500, 2.0), (100, 0.5))


@dataclass(frozen=True)
class Bounded:
    """A figure with its one-sided 95% bounds."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Entry:
    """A classifier as it was measured.

    Attributes:
        name: what it is.
        mode: of a model file; empty for what is none.
        bytes: of all that ships: model and tokenizer.
        accuracy, balanced_accuracy: in percent, on all evaluation texts.
        drop, balanced_drop: against the accuracy reference, in points, paired.
        p50_ms, p90_ms: of one text end to end, tokenization included.
        memory_mb: peak above that of a bare process.
        instructions: by board, millions for a text, the mean over the texts' own lengths.
        gain, balanced_gain: points more than its cheaper neighbour, paired; None without one.
        cheaper: that neighbour.
    """

    name: str
    mode: str
    bytes: int
    accuracy: Bounded
    balanced_accuracy: Bounded
    drop: Bounded
    balanced_drop: Bounded
    p50_ms: float
    p90_ms: float
    memory_mb: float
    instructions: dict[str, float] = field(default_factory=dict)
    gain: Bounded | None = None
    balanced_gain: Bounded | None = None
    cheaper: str = ""

    @property
    def label(self) -> str:
        """Name and mode."""
        return f"{self.name} {self.mode}".strip()

    @property
    def worst(self) -> float:
        """The larger upper bound of both drops."""
        return max(self.drop.upper, self.balanced_drop.upper)


@dataclass(frozen=True)
class Race:
    """Entries that classified the same texts on the same machine.

    Attributes:
        about: machine, date, texts, accuracy reference, versions, settings.
        base_bytes: BERT-large's float32 weights.
        entries: the smallest first.
    """

    about: dict[str, str]
    base_bytes: int
    entries: tuple[Entry, ...]

    def dominated(self) -> dict[str, str]:
        """Return the label of each dominated entry with that of one that dominates it."""
        return {
            one.label: by.label
            for one in self.entries
            if (by := next((other for other in self.entries if _dominates(other, one)), None))
        }

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        atomic.write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def read(path: Path) -> Race:
    """Return a race that was saved.

    Raises:
        ReportError: there is none, or it is damaged.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(map(_entry, body["entries"]))
        return Race(body["about"], body["base_bytes"], entries)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReportError(f"{path}: no race of opponents ({error}); make it again") from None


_BOUNDED = {each.name for each in fields(Entry) if "Bounded" in str(each.type)}


def _entry(body: dict[str, Any]) -> Entry:
    given: dict[str, Any] = {k: Bounded(**v) if k in _BOUNDED and v else v for k, v in body.items()}
    return Entry(**given)


def _dominates(one: Entry, other: Entry) -> bool:
    keys = [
        (x.bytes, x.drop.value, x.balanced_drop.value, x.p50_ms, x.memory_mb) for x in (one, other)
    ]
    return all(a <= b for a, b in zip(*keys, strict=True)) and keys[0] != keys[1]


def table(race: Race) -> str:
    """Return a race as Markdown: the table, the gains over the neighbours, and the rows reached."""
    boards = sorted({board for entry in race.entries for board in entry.instructions})
    heads = ["classifier", "MB", "smaller", "accuracy", "balanced", "drop", "balanced drop"]
    heads += ["p50 ms", "p90 ms", "memory MB", *(f"{board} M instructions" for board in boards)]
    dominated = race.dominated()
    rows = [
        [
            f"{entry.label}{' (dominated)' if entry.label in dominated else ''}",
            f"{entry.bytes / 1e6:.2f}",
            f"{race.base_bytes / entry.bytes:,.0f}x" if entry.bytes else "–",
            *(_cell(x) for x in (entry.accuracy, entry.balanced_accuracy)),
            *(f"{x.value:.2f} (≤ {x.upper:.2f})" for x in (entry.drop, entry.balanced_drop)),
            f"{entry.p50_ms:.2f}",
            f"{entry.p90_ms:.2f}",
            f"{entry.memory_mb:.0f}",
            *(
                f"{entry.instructions[board]:.1f}" if board in entry.instructions else "–"
                for board in boards
            ),
        ]
        for entry in race.entries
    ]
    parts = [_markdown(heads, rows)]
    gains = [
        [
            entry.label,
            entry.cheaper,
            _cell(entry.gain),
            _cell(entry.balanced_gain),
            *_prices(entry, next(x for x in race.entries if x.label == entry.cheaper)),
        ]
        for entry in race.entries
        if entry.gain and entry.balanced_gain
    ]
    if gains:
        heads = ["classifier", "over", "accuracy gained", "balanced gained"]
        parts.append(_markdown([*heads, "points for each MB", "points for each ms"], gains))
    parts += [f"{one} is dominated by {by}." for one, by in dominated.items()]
    parts += _reached(race)
    return "\n\n".join(parts)


def _reached(race: Race) -> list[str]:
    sentences = []
    for ratio, points in ROWS:
        small = [x for x in race.entries if 0 < x.bytes * ratio <= race.base_bytes]
        inside = ", ".join(x.label for x in small if x.worst <= points) or "none"
        best = min(small, key=lambda x: x.worst, default=None)
        near = f"; the best of that size has {best.worst:.2f} ({best.label})" if best else ""
        sentences.append(
            f"{ratio:,}x smaller ({race.base_bytes / ratio / 1e6:.2f} MB), upper bounds of both "
            f"drops at most {points} points: {inside}{near}."
        )
    return sentences


def _cell(found: Bounded | None) -> str:
    return f"{found.value:.2f} ({found.lower:.2f} to {found.upper:.2f})" if found else "–"


def _prices(entry: Entry, cheaper: Entry) -> tuple[str, str]:
    assert entry.gain
    megabytes = (entry.bytes - cheaper.bytes) / 1e6
    time = entry.p50_ms - cheaper.p50_ms
    return (
        f"{entry.gain.value / megabytes:.2f}" if megabytes > 0 else "–",
        f"{entry.gain.value / time:.2f}" if time > 0 else "no slower",
    )


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, marks, *rows))


def plot(race: Race, path: Path) -> None:
    """Draw the worse drop of each entry against its size, with its bound; dominated ones hollow.

    Raises:
        ReportError: there is no matplotlib to draw it with.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
        from matplotlib.ticker import FixedLocator, NullLocator
    except ImportError as error:
        raise ReportError(f"{path}: {error}; python -m pip install --group docs") from None
    dominated = race.dominated()
    sized = [entry for entry in race.entries if entry.bytes]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "opponents", "font.size": 9}):
        figure = Figure(figsize=(8.5, 5.5), layout="constrained")
        axes = figure.add_subplot()
        sizes = [entry.bytes / 1e6 for entry in sized]
        rows = [race.base_bytes / ratio / 1e6 for ratio, _ in ROWS]
        axes.set_xscale("log")
        axes.set_xlim(0.8 * min(*sizes, *rows), 1.6 * max(*sizes, *rows))
        axes.xaxis.set_major_locator(FixedLocator([0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        for number, name in enumerate(dict.fromkeys(entry.name for entry in sized)):
            for entry in (x for x in sized if x.name == name):
                at, drop = entry.bytes / 1e6, max(entry.drop.value, entry.balanced_drop.value)
                fill = "white" if entry.label in dominated else f"C{number}"
                bar: Any = [[0.0], [entry.worst - drop]]
                axes.errorbar(at, drop, bar, fmt="o", color=f"C{number}", mfc=fill)
                axes.annotate(
                    entry.mode or name, (at, drop), xytext=(5, 3), textcoords="offset points"
                )
            axes.plot([], [], "o", color=f"C{number}", label=name)
        for ratio, points in ROWS:
            size = race.base_bytes / ratio / 1e6
            axes.plot([axes.get_xlim()[0], size, size], [points, points, 0], "--", color="0.5")
            axes.annotate(f"{ratio:,}×", (size, points), ha="right", va="bottom")
        axes.set_xlabel("MB that ship, tokenizer counted")
        axes.set_ylabel("the larger of both drops, points; bars to the upper 95% bound")
        axes.set_ylim(bottom=min(0.0, *(x.drop.value for x in sized)))
        axes.grid(alpha=0.25)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    atomic.write_text(path, "".join(f"{row.rstrip()}\n" for row in svg.getvalue().splitlines()))
