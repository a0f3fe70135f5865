"""May I ship it? One table for a terminal, several for Markdown. Columns: `reports.metrics`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from reports import aggregate, metrics, why
from reports.metrics import METRICS, MISSING, Metric, Section
from reports.recommend import recommend
from reports.schema import Record, TargetVerdict, VerdictFile
from reports.verdict import PASSING, number

WIDTH = 100
# Columns of a Markdown table, the target's among them.
MAX_COLUMNS = 7


def terminal(data: VerdictFile, legend: bool = False) -> str:
    """Return what a run ends with, at most `WIDTH` characters wide.

    One table, the reasons of what does not pass, and what to take. Without a judged target there
    is no table.
    """
    shown = [found for found in data["targets"] if _is_judged(found, data)]
    parts = [wrapped(metadata(data), "")]
    if shown:
        parts.append(_terminal_table(shown))
    parts += [
        wrapped(f"{record['claim']}, every target: {record['verdict']}: {record['reason']}", "")
        for record in data["records"]
        if record["target"] is None and record["verdict"] not in PASSING
    ]
    parts += [wrapped(note, "") for note in _notes(data)]
    imposed = {found["target"]["device"]: found["metrics"].get("memory_imposed") for found in shown}
    parts += [wrapped(f"{device}: {how}", "") for device, how in imposed.items() if how]
    if legend and shown:
        parts.append(wrapped(metrics.legend(), ""))
    return "\n\n".join([*parts, *(wrapped(line, "") for line in answer(shown))])


def _notes(data: VerdictFile) -> list[str]:
    about = data["metadata"]
    told = [f"{field}: {said}" for field in ("lengths", "caveat") if (said := about.get(field))]
    return [*about.get("notes", []), *told]


def _is_judged(found: TargetVerdict, data: VerdictFile) -> bool:
    return any(
        aggregate.is_judged(record)
        for record in data["records"]
        if record["target"] in (found["target"], None)
    )


def _terminal_table(targets: Sequence[TargetVerdict]) -> str:
    columns = [metric for metric in METRICS.values() if metric.in_terminal]
    rows = [
        ["", "", "", "", *(metric.column[0] for metric in columns)],
        ["device", "runtime", "mode", "verdict", *(metric.column[1] for metric in columns)],
    ]
    for found in targets:
        cells = (metric.cell(found["metrics"]) for metric in columns)
        rows.append([*aggregate.key(found["target"]), found["verdict"], *cells])
    lines = aligned(rows, left=4)
    while max(map(len, lines)) > WIDTH and len(rows[0]) > 4:  # the last columns give way
        rows = [row[:-1] for row in rows]
        lines = aligned(rows, left=4)
    heading, units, *lines = lines
    out = [heading, units]
    for line, found in zip(lines, targets, strict=True):
        out.append(line)
        if projection := _projection(found["metrics"]):
            out.append(wrapped(f"p90 {projection} ms, not measured", "  "))
        out += [wrapped(reason, "  ") for reason in _grouped(found["reasons"])]
    return "\n".join(out)


def _grouped(reasons: Sequence[str]) -> list[str]:
    """Return `reasons` with one line for claims that have the same reason."""
    claims: dict[str, list[str]] = {}
    for claim, _, reason in (reason.partition(": ") for reason in reasons):
        claims.setdefault(reason, []).append(claim)
    return [f"{', '.join(named)}: {reason}" for reason, named in claims.items()]


def answer(targets: Sequence[TargetVerdict]) -> list[str]:
    """Return one sentence for each device: how many targets ship, and which to take."""
    if not targets:
        return ["Nothing was judged, so nothing ships."]
    return [found.sentence() for found in recommend(targets)]


def metadata(data: VerdictFile) -> str:
    """Return what was judged, in one line."""
    about: Mapping[str, Any] = data["metadata"]
    named = [
        f"{label} {str(about[field])[:12] if field == 'weights_sha256' else about[field]}"
        for label, field in (
            ("model file", "model_file"),
            ("checkpoint", "checkpoint"),
            ("architecture", "architecture"),
            ("weights", "weights_sha256"),
            ("on", "dataset"),
            ("against", "accuracy_reference"),
        )
        if field in about
    ]
    return f"{', '.join(named) or 'metadata not stated'}; {data['created']}"


def markdown(data: VerdictFile) -> str:
    """Return the report: verdicts, a table for each section, every figure, every reason."""
    lines = ["# May I ship it?", "", _cell(metadata(data)), ""]
    lines += [line for found in answer(data["targets"]) for line in (_cell(found), "")]
    lines += [line for note in _notes(data) for line in (_cell(note), "")]
    lines += [line for limit in data["metadata"].get("limits", []) for line in (_cell(limit), "")]
    drifts = [
        f"- {aggregate.name(found['target'])}: {_cell(sentence)}"
        for found in data["targets"]
        for sentence in found["metrics"].get("drift", [])
    ]
    lines += ["## Drop by time and entity", "", *drifts, ""] if drifts else []
    reasons = why.sentences(data["targets"])
    lines += ["## Why these figures", "", *(f"- {one}" for one in reasons), ""] if reasons else []
    lines += ["## Verdicts", ""]
    verdicts = [
        [*aggregate.key(found["target"]), found["verdict"], "; ".join(found["reasons"])]
        for found in data["targets"]
    ]
    lines += [*_markdown_table(["device", "runtime", "mode", "verdict", "why"], verdicts, 5), ""]
    for section in get_args(Section):
        lines += _section(section, data["targets"])
    lines += _every_figure(data["records"])
    failing = [
        f"- **{record['verdict']}** `{record['nodeid']}`: {_cell(record['reason'])}"
        for record in data["records"]
        if record["verdict"] not in PASSING
    ]
    return "\n".join(lines + (["## Every reason", "", *failing, ""] if failing else []))


def _section(section: Section, targets: Sequence[TargetVerdict]) -> list[str]:
    """Return the tables of a section, at most `MAX_COLUMNS` wide; only columns with a figure."""
    columns = [
        metric
        for metric in METRICS.values()
        if metric.section == section
        and (metric.heading or metric.tolerance)
        and any(metric.key in found["metrics"] for found in targets)
    ]
    lines = [f"## {section.capitalize()}", ""] if columns else []
    for start in range(0, len(columns), MAX_COLUMNS - 1):
        part = columns[start : start + MAX_COLUMNS - 1]
        rows = [
            [
                aggregate.name(found["target"]),
                *(_with_bounds(metric, found["metrics"]) for metric in part),
            ]
            for found in targets
            if any(metric.key in found["metrics"] for metric in part)
        ]
        headings = [f"{metric.column[0]} ({metric.column[1]})" for metric in part]
        headings = [heading.removesuffix(" ()") for heading in headings]
        lines += [*_markdown_table(["target", *headings], rows, left=1), ""]
    return lines


def _with_bounds(metric: Metric, values: Mapping[str, Any]) -> str:
    cell, bounds = metric.cell(values), metrics.bounds(metric, values)
    if not metric.has_interval or bounds is None:
        return cell
    return f"{cell} [{', '.join(metric.format.format(bound * metric.scale) for bound in bounds)}]"


def _every_figure(records: Sequence[Record]) -> list[str]:
    """Return a table of measurements for each target."""
    targets = {
        aggregate.name(record["target"]) if record["target"] else "every target": record["target"]
        for record in records
        if record["measurements"]
    }
    lines = ["## Every figure", ""]
    for name, target in sorted(targets.items()):
        rows = [
            [
                record["claim"],
                measured["name"],
                measured["statistic"],
                _value(measured),
                _budget(measured),
                measured["verdict"] + (" (expected)" if record["expected_failure"] else ""),
            ]
            for record in records
            if record["target"] == target
            for measured in record["measurements"]
        ]
        headings = ["claim", "figure", "statistic", "value", "budget", "verdict"]
        lines += [f"### {name}", "", *_markdown_table(headings, rows, left=3), ""]
    return lines


def _value(measured: Mapping[str, Any]) -> str:
    """Return the value with its bounds and unit."""
    value, *bounds = (
        MISSING if figure is None else number(figure)
        for figure in (measured["value"], measured["lower"], measured["upper"])
    )
    interval = "" if bounds == [MISSING, MISSING] else f" [{', '.join(bounds)}]"
    return f"{value}{interval} {measured['unit']}".rstrip()


def _budget(measured: Mapping[str, Any]) -> str:
    if measured["budget"] is None:
        return "projected" if measured["comparison"] == "projected" else MISSING
    return f"{measured['comparison']} {number(measured['budget'])}"


def _projection(values: Mapping[str, Any]) -> str | None:
    """Return the bracket of an emulated board's p90, labelled as one; None where there is none."""
    bounds = metrics.bounds(METRICS["projected_p90_ms"], values)
    return None if bounds is None else f"projected {bounds[0]:.0f}–{bounds[1]:.0f}"


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return `rows` as lines of equal columns, the first `left` of them flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        " ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def wrapped(text: str, indent: str = "") -> str:
    """Return a text as lines of at most `WIDTH` characters."""
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Return a table whose first `left` columns are flush left, the others flush right."""
    rule = ["---"] * left + ["---:"] * (len(headings) - left)
    return [f"| {' | '.join(map(_cell, row))} |" for row in (headings, rule, *rows)]


def paper(data: VerdictFile) -> str:
    """Return the tables of a paper, in Markdown: the models, then what each target came to."""
    about: Mapping[str, Any] = data["metadata"].get("models", {})
    percents = [METRICS[key] for key in ("accuracy", "balanced_accuracy", "macro_f1")]
    models = [
        [
            f"{model['name']} ({role})",
            f"{model['parameters'] / 1e6:.1f}",
            f"{model['weights_bytes'] / 1e6:.1f}",
            _ratios(about, model["weights_bytes"]),
            *(metric.cell(model) for metric in percents),
        ]
        for role, model in sorted(about.items(), key=lambda entry: -entry[1]["parameters"])
    ]
    candidate = about.get("candidate, PyTorch", {}).get("name", "candidate")
    sizes, speeds = [], []
    for found in data["targets"]:
        values, target = found["metrics"], found["target"]
        name = [f"{candidate}, {target['mode']}", f"{target['runtime']} on {target['device']}"]
        size: int | None = values.get("size_bytes")
        megabytes = METRICS["size_bytes"].cell(values)
        ratios = _ratios(about, size) if size else MISSING
        sizes.append([*name, megabytes, ratios, *(metric.cell(values) for metric in percents)])
        p90 = _projection(values) or METRICS["p90_ms"].cell(values)
        rest = [METRICS[key].cell(values) for key in ("texts_per_s", "memory_mb")]
        speeds.append([*name, _drop(data, found), p90, *rest, found["verdict"]])
    smaller = "smaller than BERT-large (checkpoint)"
    shares = ["accuracy (%)", "balanced (%)", "macro F1 (%)"]
    model_headings = ["model", "parameters (M)", "MB", smaller, *shares]
    size_headings = ["model", "runtime", "MB", smaller, *shares]
    speed_headings = ["model", "runtime", "drop [95% bounds]", "p90 (ms)", "texts/s", "memory (MB)"]
    note = (
        "MB are 10^6 bytes, of float32 weights or of the model file. BERT-large is the size "
        "reference: its float32 weights, and its training checkpoint. The drop is against the "
        "accuracy reference, in points. "
    )
    tables = [
        _markdown_table(model_headings, models, left=1),
        _markdown_table(size_headings, sizes, left=2),
        _markdown_table([*speed_headings, "verdict"], speeds, left=2),
    ]
    return "\n\n".join(["\n".join(table) for table in tables] + [note + metadata(data)])


def _ratios(about: Mapping[str, Any], size: int) -> str:
    """Return BERT-large's weights and training checkpoint over a size in bytes."""
    reference = about.get("size reference", {})
    weights, checkpoint = (
        MISSING if base is None else f"{base / size:.1f}×"
        for base in (reference.get("weights_bytes"), reference.get("training_checkpoint_bytes"))
    )
    return f"{weights} ({checkpoint})"


def _drop(data: VerdictFile, found: TargetVerdict) -> str:
    for record in data["records"]:
        for m in record["measurements"] if record["target"] == found["target"] else ():
            if m["name"] == "accuracy drop" and None not in (m["value"], m["lower"], m["upper"]):
                return f"{m['value']:.1f} [{m['lower']:.1f}, {m['upper']:.1f}]"
    return MISSING
