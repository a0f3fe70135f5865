"""Size against drop: one line a checkpoint and mode, kept as CSV over many runs.

A drop is of certain texts against a certain accuracy reference, so lines of others are refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from reports.metrics import METRICS
from reports.schema import ReportError, VerdictFile

# The runtime that takes every mode.
RUNTIME = "ai-edge-litert"
# Times smaller than BERT-large's float32 weights, and the points that may be lost for it.
BOUNDS = ((160, 2.0), (300, 4.1))


@dataclass(frozen=True)
class Line:
    """One model file as judged.

    Accuracies and agreement are in percent, drops in points. `bytes` is the size of the model file,
    `tokenizer_bytes` that of the tokenizer that ships with it, `texts` the number of texts that
    were classified. Hashes are the first 12 digits of SHA-256.
    """

    checkpoint: str
    weights_sha256: str
    parameters: int
    mode: str
    bytes: int
    tokenizer_bytes: int
    smaller_than_bert_large_weights: float
    texts: int
    accuracy: float
    balanced_accuracy: float
    drop: float
    drop_upper_95: float
    balanced_drop: float
    balanced_drop_upper_95: float
    agreement: float
    runtime: str
    accuracy_reference: str
    evaluation_sha256: str

    @property
    def key(self) -> tuple[str, str]:
        """Weights and mode: a later line with the same key replaces this one."""
        return self.weights_sha256, self.mode

    def keeps(self, ratio: float, points: float, *, by_bounds: bool = True) -> bool:
        """Return whether it is `ratio` times smaller and drops at most `points`.

        The tokenizer counts. So do both drops: by their upper bounds, or else by themselves.
        """
        share = self.bytes / (self.bytes + self.tokenizer_bytes)
        bounds = (self.drop_upper_95, self.balanced_drop_upper_95)
        worst = max(bounds if by_bounds else (self.drop, self.balanced_drop))
        return share * self.smaller_than_bert_large_weights >= ratio and worst <= points


def lines_of(run: VerdictFile, name: str | None = None) -> list[Line]:
    """Return a line for each target on `RUNTIME` whose size and drop were judged.

    `name` replaces the name of the checkpoint.

    Raises:
        ReportError: there is no such target, the model file was made elsewhere, or the report does
            not state what was judged.
    """
    about = run["metadata"]
    if "model_file" in about:
        raise ReportError(f"no line for the frontier: {about['model_file']} was not made here")
    try:
        candidate = about["models"]["candidate, PyTorch"]
        _, dataset = about["splits"]["evaluation"].split("sha256 ")
        stated = about["weights_sha256"], about["accuracy_reference"], about["checkpoint"]
    except (KeyError, ValueError) as error:
        raise ReportError(
            f"no line for the frontier: the run metadata does not state {error}"
        ) from None
    weights, reference, checkpoint = stated
    columns = {metric.key: metric.frontier for metric in METRICS.values() if metric.frontier}
    found = [
        Line(
            checkpoint=name or checkpoint,
            weights_sha256=weights[:12],
            parameters=candidate["parameters"],
            mode=target["target"]["mode"],
            runtime=RUNTIME,
            accuracy_reference=reference,
            evaluation_sha256=dataset[:12],
            **{column: round(target["metrics"][key], 2) for key, column in columns.items()},
        )
        for target in run["targets"]
        if target["target"]["runtime"] == RUNTIME and columns.keys() <= target["metrics"].keys()
    ]
    if not found:
        raise ReportError(f"no target on {RUNTIME} has both its size and its drop judged")
    return found


def updated(lines: Iterable[Line], by: Iterable[Line]) -> list[Line]:
    """Return `lines` with those of `by` added or replaced, the largest file first.

    Raises:
        ReportError: they are of other texts, or against another accuracy reference.
    """
    merged = {line.key: line for line in [*lines, *by]}
    grounds = {(line.evaluation_sha256, line.accuracy_reference) for line in merged.values()}
    if len(grounds) > 1:
        said = (f"{dataset} against {reference}" for dataset, reference in sorted(grounds))
        met = "; ".join(" ".join(each.split()) for each in said)
        raise ReportError(f"drops on other texts or against another reference: {met}")
    return sorted(merged.values(), key=lambda line: (-line.bytes, line.key))


def read(path: Path) -> list[Line]:
    """Return the lines of a CSV file; none if there is no file.

    Raises:
        ReportError: it has other columns, or something that is no number where one belongs.
    """
    if not path.exists():
        return []
    kinds = {
        field.name: {"int": int, "float": float}.get(str(field.type), str) for field in fields(Line)
    }
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        if tuple(rows.fieldnames or ()) != tuple(kinds):
            raise ReportError(f"{path}: its columns are not {', '.join(kinds)}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReportError(f"{path}: no CSV file in UTF-8: {error}") from None
    try:
        return [Line(**{n: kinds[n](v) for n, v in row.items()}) for row in rows]
    except (TypeError, KeyError, ValueError, csv.Error) as error:
        raise ReportError(f"{path}, line {rows.line_num}: {error}") from None


def to_csv(lines: Sequence[Line]) -> str:
    """Return the lines as CSV, with a header."""
    text = io.StringIO()
    rows = csv.DictWriter(text, [f.name for f in fields(Line)], lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(line) for line in lines)
    return text.getvalue()


def summary(lines: Sequence[Line]) -> Iterator[str]:
    """Return a sentence for each of `BOUNDS`: what keeps it, and what does by its drops alone."""
    for ratio, points in BOUNDS:
        kept = [x for x in lines if x.keeps(ratio, points)]
        near = [x for x in lines if x not in kept and x.keeps(ratio, points, by_bounds=False)]
        inside, measured = (
            ", ".join(f"{x.checkpoint} {x.mode}" for x in found) or "none" for found in (kept, near)
        )
        yield (
            f"{ratio}x smaller than BERT-large's weights, tokenizer counted, upper bounds of both "
            f"drops at most {points} points: {inside}; the drops, but not their bounds: {measured}"
        )
