"""The one table of metrics: what a check may state of a target, and how it is shown and gated.

A row is all that a new metric needs. The schema of the verdict file, the terminal's table, the
Markdown tables, the comparison, the gate with its tolerances, the frontier's columns and the
reference in the docs all come from `METRICS`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MISSING = "–"

Section = Literal["size", "accuracy", "time", "memory", "other"]


@dataclass(frozen=True)
class Tolerance:
    """How far a metric may get worse than the baseline before the gate calls it a regression.

    Attributes:
        amount: the greatest change that is allowed.
        is_share: `amount` is a share of the baseline's value. Otherwise it is in the metric's unit.
    """

    amount: float
    is_share: bool = False

    def allowed(self, before: float) -> float:
        """Return the change that is allowed from `before`, in the metric's unit."""
        return self.amount * abs(before) if self.is_share else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g}%" if self.is_share else f"{self.amount:g}"


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        key: its name in the verdict file.
        kind: the type of its value, as an annotation.
        meaning: one phrase for a reader.
        unit: of its value in the verdict file.
        heading: of its column. Empty: it has no column, and is in the verdict file only.
        shown_unit: under the heading, where the column scales the value.
        format: of a cell.
        scale: factor between the value and what the cell shows.
        section: the Markdown table that it stands in.
        better: the direction of an improvement. "same": any change is a regression for the gate.
        tolerance: of the gate. None: it is not gated.
        is_timing: it is timed or weighed, and so depends on the processor.
        has_interval: rows `KEY_lower` and `KEY_upper` hold its bounds.
        in_terminal: it has a column in the terminal.
        frontier: its column in the CSV of the frontier, which needs it.
    """

    key: str
    kind: Any
    meaning: str
    unit: str = ""
    heading: str = ""
    shown_unit: str = ""
    format: str = "{}"
    scale: float = 1.0
    section: Section = "other"
    better: Literal["lower", "higher", "same", ""] = ""
    tolerance: Tolerance | None = None
    is_timing: bool = False
    has_interval: bool = False
    in_terminal: bool = False
    frontier: str = ""

    @property
    def is_gated(self) -> bool:
        """Whether the gate holds it against the baseline."""
        return self.tolerance is not None or self.better == "same"

    @property
    def column(self) -> tuple[str, str]:
        """Heading and unit of its column."""
        return self.heading or self.key, self.shown_unit or self.unit

    def cell(self, values: Mapping[str, Any]) -> str:
        """Return what a table shows of `values`, the metrics of a target."""
        value = values.get(self.key)
        if value is None:
            return MISSING
        if self.scale != 1:
            value *= self.scale
        return self.format.format(value)


_SHARE_OF_SIZE = Tolerance(0.005, is_share=True)
_SHARE_OF_TIME = Tolerance(0.15, is_share=True)
_SHARE_OF_INSTRUCTIONS = Tolerance(0.02, is_share=True)
_POINTS = Tolerance(0.5)


def _size(key: str, heading: str, meaning: str, **more: Any) -> Metric:
    """Return a row of bytes, which a column shows in MB."""
    shown: Any = {"shown_unit": "MB", "format": "{:.1f}", "scale": 1e-6, "section": "size"}
    return Metric(key, int, meaning, "bytes", heading, better="lower", **(shown | more))


def _percent(key: str, heading: str, meaning: str, **more: Any) -> Metric:
    shown: Any = {"format": "{:.1f}", "section": "accuracy", "better": "higher"}
    return Metric(key, float, meaning, "%", heading, **(shown | more))


def _points(key: str, heading: str, meaning: str, **more: Any) -> Metric:
    shown: Any = {"format": "{:.1f}", "section": "accuracy", "better": "lower"}
    return Metric(key, float, meaning, "points", heading, **(shown | more))


def _time(key: str, heading: str, meaning: str, unit: str = "ms", **more: Any) -> Metric:
    shown: Any = {"format": "{:.1f}", "section": "time", "better": "lower", "is_timing": True}
    return Metric(key, float, meaning, unit, heading, **(shown | more))


def _memory(key: str, heading: str, meaning: str, **more: Any) -> Metric:
    shown: Any = {"format": "{:.0f}", "section": "memory", "better": "lower", "is_timing": True}
    return Metric(key, float, meaning, "MB", heading, **(shown | more))


_ROWS = (
    _size(
        "size_bytes",
        "size",
        "size of the model file",
        tolerance=_SHARE_OF_SIZE,
        in_terminal=True,
        frontier="bytes",
    ),
    _size(
        "tokenizer_bytes",
        "tokenizer",
        "size of the tokenizer that ships with it",
        format="{:.2f}",
        frontier="tokenizer_bytes",
    ),
    Metric(
        "ratio_weights",
        float,
        "bytes of BERT-large's float32 weights over those of the model file",
        heading="vs weights",
        format="{:.1f}×",
        section="size",
        better="higher",
        frontier="smaller_than_bert_large_weights",
    ),
    Metric(
        "ratio_training_checkpoint",
        float,
        "bytes of BERT-large's training checkpoint over those of the model file",
        heading="vs checkpoint",
        format="{:.1f}×",
        section="size",
        better="higher",
    ),
    Metric(
        "operators", list[str], "operators of the model file, with their versions", better="same"
    ),
    Metric(
        "dtypes", dict[str, Any], "types of the large weights and of the activations", better="same"
    ),
    _percent(
        "accuracy",
        "accuracy",
        "share of the texts with the right label",
        tolerance=_POINTS,
        has_interval=True,
        in_terminal=True,
        frontier="accuracy",
    ),
    _percent("accuracy_lower", "", "lower one-sided 95% bound of the accuracy"),
    _percent("accuracy_upper", "", "upper one-sided 95% bound of the accuracy"),
    _percent(
        "balanced_accuracy",
        "balanced",
        "mean of the classes' recalls",
        tolerance=_POINTS,
        frontier="balanced_accuracy",
    ),
    _percent("macro_f1", "macro F1", "mean of the classes' F1"),
    _percent(
        "agreement",
        "agreement",
        "share of the texts with float32's label",
        tolerance=_POINTS,
        frontier="agreement",
    ),
    _percent("entity_mean_accuracy", "by entity", "mean of the entities' accuracies"),
    _points("drop", "drop", "accuracy lost against the accuracy reference", frontier="drop"),
    _points(
        "drop_upper",
        "drop ≤",
        "upper one-sided 95% bound of the drop",
        in_terminal=True,
        frontier="drop_upper_95",
    ),
    _points(
        "balanced_drop",
        "bal. drop",
        "balanced accuracy lost against the accuracy reference",
        frontier="balanced_drop",
    ),
    _points(
        "balanced_drop_upper",
        "bal. drop ≤",
        "upper one-sided 95% bound of the balanced drop",
        frontier="balanced_drop_upper_95",
    ),
    _percent("reference_accuracy", "", "accuracy of the accuracy reference"),
    Metric("confusion_matrix", list[Any], "texts by label (rows) and prediction (columns)"),
    Metric("float32_confusion_matrix", list[Any], "the same of the checkpoint in PyTorch"),
    Metric("classes", list[str], "names of the classes, in the order of the logits"),
    _points("calibration_error", "calibration", "expected calibration error"),
    _points("float32_calibration_error", "", "the same of the checkpoint in PyTorch"),
    Metric(
        "reliability",
        list[Any],
        "by confidence: texts, mean confidence and accuracy, both in percent",
    ),
    Metric("float32_reliability", list[Any], "the same of the checkpoint in PyTorch"),
    Metric(
        "flips",
        list[Any],
        "by the checkpoint's confidence in percent: texts, and other labels than in PyTorch",
    ),
    Metric(
        "slices",
        list[Any],
        "accuracy with bounds by class, entity, time, length and content, worst first",
    ),
    Metric("examples", list[Any], "texts whose label changed and the surest errors, if asked for"),
    Metric("drift", list[str], "what the slices say of the drop by time and by entity"),
    Metric(
        "texts",
        int,
        "texts that were classified",
        heading="texts",
        section="accuracy",
        frontier="texts",
    ),
    Metric(
        "truncated",
        int,
        "texts longer than the longest signature",
        heading="truncated",
        section="accuracy",
    ),
    Metric("mean_logit_error", float, "mean normalized logit error against the checkpoint"),
    Metric("max_logit_error", float, "greatest normalized logit error against the checkpoint"),
    Metric("probe_error", float, "greatest normalized logit error of the probes"),
    Metric("padding_error", float, "greatest normalized logit error between two lengths"),
    Metric("mean_error_from_host", float, "mean normalized logit error against this machine"),
    Metric("max_error_from_host", float, "greatest normalized logit error against this machine"),
    _time(
        "p90_ms",
        "p90",
        "90th percentile of the end-to-end latency",
        in_terminal=True,
    ),
    _time(
        "p90_share_of_float32",
        "of float32",
        "p90 over float32's on the same runtime in the same run",
        "",
        format="{:.2f}",
        tolerance=_SHARE_OF_TIME,
    ),
    _time("inference_p90_ms", "inference p90", "90th percentile of the inference latency"),
    Metric(
        "latency_by_length",
        dict[str, Any],
        "end-to-end latency in ms by length in tokens: queries, p10, median, p90, greatest",
    ),
    _time(
        "sustained_p90_ms",
        "sustained p90",
        "90th percentile of the end-to-end latency after minutes of load",
    ),
    _time(
        "sustained_ratio", "sustained", "the same over p90 of the short run", "×", format="{:.2f}"
    ),
    Metric(
        "sustained_curve",
        list[Any],
        "by minute of load: p90 in ms, temperature in degrees Celsius, frequency in MHz",
    ),
    Metric("health", dict[str, Any], "state of the board before and after it was timed"),
    _time("texts_per_s", "texts", "texts a second, one after the other", "/s", better="higher"),
    _time(
        "projected_p90_ms",
        "projected p90",
        "end-to-end latency, computed for an emulated board",
        format="{:.0f}",
        has_interval=True,
    ),
    _time("projected_p90_lower_ms", "", "lower end of the projection"),
    _time("projected_p90_upper_ms", "", "upper end of the projection"),
    Metric(
        "instructions",
        dict[str, int],
        "instructions for a text on an emulated board, by its length in tokens",
        better="lower",
        tolerance=_SHARE_OF_INSTRUCTIONS,
    ),
    Metric("emulator", str, "emulator that counted the instructions"),
    _time(
        "median_share_of_baseline",
        "of baseline",
        "median latency over the baseline model's, interleaved",
        "",
        format="{:.2f}",
    ),
    Metric("baseline_sha256", str, "SHA-256 of that baseline model"),
    _time(
        "median_share_of_other_runtime",
        "of other runtime",
        "median latency over the other runtime's, interleaved",
        "",
        format="{:.2f}",
        better="",
        has_interval=True,
    ),
    _time("median_share_of_other_runtime_lower", "", "lower bound of it", "", better=""),
    _time("median_share_of_other_runtime_upper", "", "upper bound of it", "", better=""),
    Metric("other_runtime", str, "the runtime of `--compare-runtime`"),
    _time("load_ms", "load", "time to load the model file in a fresh process", format="{:.0f}"),
    _time("first_text_ms", "first text", "latency of the first text"),
    _time("import_ms", "import", "time to import the runtime", format="{:.0f}"),
    _time("cpu_share", "CPU", "CPU time over wall time", "cores", format="{:.2f}", better=""),
    _time(
        "harness_overhead_ms",
        "harness",
        "what the harness adds to a text",
        format="{:.3f}",
        better="",
    ),
    _time("round_trip_ms", "round trip", "an empty request to the worker and back", better=""),
    _time("cooldown_s", "cooldown", "wait for the board to cool", "s", format="{:.0f}", better=""),
    _memory("memory_mb", "memory", "peak memory of the worker above a bare one", in_terminal=True),
    _memory("bare_memory_mb", "bare worker", "memory of a bare worker", better=""),
    Metric(
        "memory_by_phase",
        dict[str, float],
        "MB above a bare worker: loaded, after the first text, peak",
    ),
    Metric(
        "memory_imposed",
        str,
        "whether the board's own memory was imposed",
        heading="board's memory",
        section="memory",
    ),
    _time(
        "energy_j",
        "energy",
        "energy for one text, of the board",
        "J",
        format="{:.2g}",
        section="other",
    ),
    Metric("energy", str, "source of the energy figure", heading="energy by"),
    Metric("runtime_version", str, "version of the runtime", heading="version"),
    Metric("int8_dot_product", bool, "whether the processor multiplies int8 four at a time"),
    Metric("delegate", str, "delegate that ran the graph", heading="delegate"),
    Metric("guard", str, "sandbox of the privacy check", heading="sandbox"),
)

METRICS: dict[str, Metric] = {metric.key: metric for metric in _ROWS}


def unknown(key: str) -> str:
    """Return the sentence for a key that is no row of `METRICS`."""
    near = difflib.get_close_matches(key[:60], METRICS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{key!r:.60} is not a metric: {hint}A new metric is a row of reports/metrics.py"


def bounds(metric: Metric, values: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the bounds that `values` state of a metric; None where one is missing."""
    stem, _, unit = (
        metric.key.rpartition("_") if metric.key.endswith("_ms") else (metric.key, "", "")
    )
    keys = [f"{stem}_{end}" + (f"_{unit}" if unit else "") for end in ("lower", "upper")]
    lower, upper = (values.get(key) for key in keys)
    return None if lower is None or upper is None else (lower, upper)


def gated() -> dict[str, Metric]:
    """Return the metrics that the gate compares, by their key in a baseline."""
    return {key: metric for key, metric in METRICS.items() if metric.is_gated}


def legend() -> str:
    """Return one sentence about the columns of the terminal's table."""
    shown = (metric for metric in METRICS.values() if metric.in_terminal)
    parts = [f"{metric.column[0]}: {metric.meaning}, {metric.column[1]}" for metric in shown]
    return "; ".join(parts) + f"; {MISSING}: not measured."


def reference() -> str:
    """Return `METRICS` as a Markdown table, for docs/reference."""
    rows = [("key", "type", "unit", "meaning", "better", "gate allows", "timed or weighed")]
    rows.append(("---",) * 7)
    for metric in METRICS.values():
        allowed = "no change" if metric.better == "same" else str(metric.tolerance or "")
        kind = getattr(metric.kind, "__name__", str(metric.kind))
        kind = str(metric.kind) if "[" in str(metric.kind) else kind
        timed = "yes" if metric.is_timing else ""
        cells = (
            f"`{metric.key}`",
            kind,
            metric.unit,
            metric.meaning,
            metric.better,
            allowed,
            timed,
        )
        rows.append(cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
