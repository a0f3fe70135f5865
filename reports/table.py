"""May I ship it? One line a target, its verdict and first reason underneath; also as Markdown."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reports import aggregate
from reports.schema import TargetVerdict, VerdictFile
from reports.verdict import PASSING, Verdict, number

WIDTH = 120
MISSING = "–"


def _figure(fact: str, form: str) -> Callable[[Mapping[str, Any]], str]:
    def render(metrics: Mapping[str, Any]) -> str:
        value = metrics.get(fact)
        return MISSING if value is None else form.format(value)

    return render


def _megabytes(metrics: Mapping[str, Any]) -> str:
    size = metrics.get("size_bytes")
    return MISSING if size is None else f"{size / 1e6:.1f}"


def _projected(metrics: Mapping[str, Any]) -> str | None:
    """The bracket of an emulated board's p90, and that it is no measurement; None where it is."""
    lower, upper = (metrics.get(f"projected_p90_{end}_ms") for end in ("lower", "upper"))
    return None if lower is None or upper is None else f"projected {lower:.0f}–{upper:.0f}"


def _accuracy(metrics: Mapping[str, Any]) -> str:
    value, lower, upper = (metrics.get(f) for f in ("accuracy", "accuracy_lower", "accuracy_upper"))
    if value is None:
        return MISSING
    return f"{value:.1f}" + ("" if None in (lower, upper) else f" [{lower:.1f},{upper:.1f}]")


# Heading in two lines, and how the cell is read from the metrics of a target.
_COLUMNS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("size", "MB", _megabytes),
    ("size", "ratio", _figure("ratio_weights", "{:.1f}×")),
    ("ckpt", "ratio", _figure("ratio_training_checkpoint", "{:.1f}×")),
    ("accuracy", "% [95%]", _accuracy),
    ("bal.", "%", _figure("balanced_accuracy", "{:.1f}")),
    ("drop", "pt", _figure("drop_upper", "≤{:.1f}")),
    ("p90", "ms", _figure("p90_ms", "{:.1f}")),
    ("invoke", "ms", _figure("inference_p90_ms", "{:.1f}")),
    ("dataset", "/s", _figure("texts_per_s", "{:.1f}")),
    ("mem.", "MB", _figure("memory_mb", "{:.0f}")),
    ("energy", "J", _figure("energy_j", "{:.2g}")),
)

LEGEND = (
    "size: the FlatBuffer; size ratio: BERT-large's weights / it; ckpt ratio: BERT-large's "
    "training checkpoint / it; accuracy with one-sided 95% bounds; bal.: balanced accuracy; "
    "drop: upper bound of the accuracy lost against the accuracy reference, in points; "
    "p90: end-to-end; invoke: p90 of the interpreter alone; mem.: memory of the worker; "
    "energy: of the board, a text (–: not measured)."
)


# Facts that stand next to the figures of the first table: heading, unit, key, format.
_BESIDE = (
    ("load, cold", "ms", "load_ms", "{:.0f}"),
    ("first text", "ms", "first_text_ms", "{:.1f}"),
    ("import", "ms", "import_ms", "{:.0f}"),
    ("CPU", "cores", "cpu_share", "{:.2f}"),
    ("harness adds", "ms", "harness_overhead_ms", "{:.3f}"),
    ("round trip", "ms", "round_trip_ms", "{:.1f}"),
    ("cooled for", "s", "cooldown_s", "{:.0f}"),
    ("bare worker", "MB", "bare_memory_mb", "{:.0f}"),
    ("energy by", "", "energy", "{}"),
    ("board's memory", "", "memory_imposed", "{}"),
)


def _beside(verdicts: Sequence[TargetVerdict]) -> list[str]:
    """A table of these metrics, of the targets that have any; nothing if none has."""
    keys = [key for _, _, key, _ in _BESIDE]
    told = [found for found in verdicts if not found["metrics"].keys().isdisjoint(keys)]
    if not told:
        return []
    headings = [f"{heading} ({unit})" if unit else heading for heading, unit, _, _ in _BESIDE]
    cells = [_figure(key, form) for *_, key, form in _BESIDE]
    rows = [
        [*aggregate.key(found["target"]), *(cell(found["metrics"]) for cell in cells)]
        for found in told
    ]
    columns = ["device", "runtime", "mode", *headings]
    return ["## Beside them", "", *_markdown_table(columns, rows, left=3), ""]


def _rows(verdicts: Sequence[TargetVerdict]) -> list[list[str]]:
    return [
        [*aggregate.key(found["target"]), *(cell(found["metrics"]) for _, _, cell in _COLUMNS)]
        for found in verdicts
    ]


def _conclusion(found: TargetVerdict) -> str:
    """The verdict, what is only projected, the first reason, and how many more there are."""
    reasons = found["reasons"]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    projected = _projected(found["metrics"])
    time = f" (p90 {projected} ms)" if projected else ""
    return found["verdict"] + time + (f" – {reasons[0]}{more}" if reasons else "")


def aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """`rows` in columns as wide as their widest cell, the first `left` of them flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        " ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def table(verdicts: Sequence[TargetVerdict]) -> str:
    """For a terminal of 120 columns."""
    if not verdicts:
        return "no target was judged"
    first = ["", "", "", *(top for top, _, _ in _COLUMNS)]
    second = ["device", "runtime", "mode", *(unit for _, unit, _ in _COLUMNS)]
    heading, units, *lines = aligned([first, second, *_rows(verdicts)], left=3)
    out = [heading, units]
    for line, found in zip(lines, verdicts, strict=True):
        out += [line, _wrapped(_conclusion(found), "  ")]
    return "\n".join([*out, "", _wrapped(LEGEND, "")])


def sentence(verdicts: Sequence[TargetVerdict]) -> str:
    """`ships: …; does not ship: …`, each verdict that was given with its targets."""
    parts = []
    for verdict in Verdict:
        named = [
            aggregate.name(found["target"]) for found in verdicts if found["verdict"] == verdict
        ]
        if named:
            parts.append(f"{verdict}: {', '.join(named)}")
    return "; ".join(parts) if parts else "nothing was judged: nothing ships"


def metadata(data: VerdictFile) -> str:
    """What was judged, in one line."""
    about = data["metadata"]
    named = [
        f"{label} {about[field]}"  # type: ignore[literal-required]
        for label, field in (
            ("FlatBuffer", "model_file"),
            ("checkpoint", "checkpoint"),
            ("weights", "weights_sha256"),
            ("on", "dataset"),
            ("against", "accuracy_reference"),
        )
        if field in about
    ]
    return f"{', '.join(named) or 'metadata not stated'}; {data['created']}"


def terminal(data: VerdictFile) -> str:
    """Subject, table, other records that do not ship, and the sentence."""
    parts = [_wrapped(metadata(data), ""), table(data["targets"])]
    shared = [
        _wrapped(f"{r['verdict']} – {r['claim']}, every target: {r['reason']}", "")
        for r in data["records"]
        if r["target"] is None and r["verdict"] not in PASSING
    ]
    imposed = {
        c["target"]["device"]: dict(c["metrics"]).get("memory_imposed") for c in data["targets"]
    }
    shared += [_wrapped(f"{name}: {said}", "") for name, said in imposed.items() if said]
    return "\n\n".join([*parts, *shared, _wrapped(sentence(data["targets"]), "")])


def _budget(measurement: Mapping[str, Any]) -> str:
    if measurement["budget"] is None:
        return "projected" if measurement["sense"] == "projected" else MISSING
    return f"{measurement['sense']} {number(measurement['budget'])}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def markdown(data: VerdictFile) -> str:
    """The same rows, then every figure held against a budget, then why what fails does."""
    headings = ["device", "runtime", "mode", *(f"{top} {unit}" for top, unit, _ in _COLUMNS)]
    rows = [
        [*row, _conclusion(found)]
        for row, found in zip(_rows(data["targets"]), data["targets"], strict=True)
    ]
    lines = ["# May I ship it?", "", _cell(metadata(data)), "", sentence(data["targets"]), ""]
    lines += [*_markdown_table([*headings, "verdict"], rows, left=3), "", LEGEND, ""]
    measured = [
        [
            record["claim"],
            aggregate.name(record["target"]) if record["target"] else "every target",
            m["name"],
            m["statistic"],
            *(MISSING if f is None else number(f) for f in (m["value"], m["lower"], m["upper"])),
            _budget(m),
            m["unit"],
            m["verdict"] + (" (expected failure)" if record["expected_failure"] else ""),
        ]
        for record in data["records"]
        for m in record["measurements"]
    ]
    columns = ["claim", "target", "figure", "statistic", "value", "lower", "upper"]
    columns += ["budget", "unit", "verdict"]
    lines += _beside(data["targets"])
    lines += ["## Every figure", "", *_markdown_table(columns, measured, left=4), ""]
    failing = [
        f"- **{r['verdict']}** `{r['nodeid']}`: {_cell(r['reason'])}"
        for r in data["records"]
        if r["verdict"] not in PASSING
    ]
    return "\n".join(lines + (["## Every reason", "", *failing, ""] if failing else []))


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """The first `left` columns and the last flush left: text; between them, figures."""
    figures = len(headings) - left - 1
    rule = ["---"] * left + ["---:"] * figures + ["---"]
    return [f"| {' | '.join(map(_cell, row))} |" for row in (headings, rule, *rows)]


def paper(data: VerdictFile) -> str:
    """The table of a paper, in Markdown: references, the candidate in PyTorch, then each target."""
    headings = ["model", "runtime", "parameters (M)", "MB", "smaller than BERT-large's weights"]
    headings += ["than its training checkpoint", "accuracy (%)", "balanced (%)", "macro F1 (%)"]
    headings += ["drop [95% bounds]", "p90 (ms)", "texts/s", "memory (MB)", "verdict"]
    about: Mapping[str, Any] = data["metadata"].get("models", {})
    percents = ("accuracy", "balanced_accuracy", "macro_f1")
    rows = []
    for role, model in sorted(about.items(), key=lambda entry: -entry[1]["parameters"]):
        kept = [_figure(f, "{:.1f}")(model) for f in percents]
        megabytes = f"{model['weights_bytes'] / 1e6:.1f}"
        millions = f"{model['parameters'] / 1e6:.1f}"
        ratios = _ratios(about, model["weights_bytes"])
        named = [f"{model['name']} ({role})", "", millions, megabytes]
        rows.append([*named, *ratios, *kept, *[MISSING] * 4, ""])
    candidate = about.get("candidate, PyTorch", {})
    millions = f"{candidate['parameters'] / 1e6:.1f}" if candidate else MISSING
    for found in data["targets"]:
        metrics: Mapping[str, Any] = found["metrics"]
        size: int | None = metrics.get("size_bytes")
        rows.append(
            [
                f"{candidate.get('name', 'candidate')}, {found['target']['mode']}",
                f"{found['target']['runtime']} on {found['target']['device']}",
                millions,
                _megabytes(metrics),
                *(_ratios(about, size) if size else [MISSING] * 2),
                *(_figure(f, "{:.1f}")(metrics) for f in percents),
                _drop(data, found),
                _projected(metrics) or _figure("p90_ms", "{:.1f}")(metrics),
                _figure("texts_per_s", "{:.1f}")(metrics),
                _figure("memory_mb", "{:.0f}")(metrics),
                found["verdict"],
            ]
        )
    note = (
        "MB of 10^6 bytes, of float32 weights or of the FlatBuffer. BERT-large is the size "
        "reference; the drop is against the accuracy reference, in points. "
    )
    return "\n".join([*_markdown_table(headings, rows, left=2), "", note + metadata(data)])


def _ratios(about: Mapping[str, Any], size: int) -> list[str]:
    """BERT-large's two bases over a size in bytes."""
    reference = about.get("size reference", {})
    bases = (reference.get("weights_bytes"), reference.get("training_checkpoint_bytes"))
    return [MISSING if base is None else f"{base / size:.1f}×" for base in bases]


def _drop(data: VerdictFile, found: TargetVerdict) -> str:
    for record in data["records"]:
        for m in record["measurements"] if record["target"] == found["target"] else ():
            if m["name"] == "accuracy drop" and None not in (m["value"], m["lower"], m["upper"]):
                return f"{m['value']:.1f} [{m['lower']:.1f}, {m['upper']:.1f}]"
    return MISSING
