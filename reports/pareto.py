"""Size against drop: one line a checkpoint and mode, kept as CSV over many runs.

A drop is of certain texts against a certain accuracy reference, so lines of others are refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from reports.schema import ReportError, TargetVerdict, VerdictFile

# The runtime that takes every mode.
RUNTIME = "ai-edge-litert"
# Times smaller than BERT-large's float32 weights, and the points that may be lost for it.
BOUNDS = ((160, 2.0), (300, 4.1))
_NEEDED = (
    "size_bytes",
    "tokenizer_bytes",
    "ratio_weights",
    "texts",
    "accuracy",
    "balanced_accuracy",
    "drop",
    "drop_upper",
    "balanced_drop",
    "balanced_drop_upper",
    "agreement",
)


@dataclass(frozen=True)
class Line:
    """One FlatBuffer as judged. Accuracies and agreement with float32 in percent, drops in points
    with their upper one-sided 95% bounds; `bytes`: of the FlatBuffer; `tokenizer_bytes`: of what a
    device needs next to it; `texts`: how many were answered; the hashes are the first 12 digits of
    SHA-256."""

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
        """What a later judgement of the same replaces."""
        return self.weights_sha256, self.mode

    def keeps(self, ratio: float, points: float, *, by_bounds: bool = True) -> bool:
        """Whether it and its tokenizer are so many times smaller, and both upper bounds (or else
        both drops themselves) are within `points`."""
        share = self.bytes / (self.bytes + self.tokenizer_bytes)
        bounds = (self.drop_upper_95, self.balanced_drop_upper_95)
        worst = max(bounds if by_bounds else (self.drop, self.balanced_drop))
        return share * self.smaller_than_bert_large_weights >= ratio and worst <= points


def lines_of(run: VerdictFile, name: str | None = None) -> list[Line]:
    """A line of each target on `RUNTIME` whose size and drop were judged; `name`: what to call the
    checkpoint instead.

    Raises:
        ReportError: there is no such case, a FlatBuffer was brought that was not made here, or the
            report does not say what was judged.
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
    found = [
        Line(
            checkpoint=name or checkpoint,
            weights_sha256=weights[:12],
            parameters=candidate["parameters"],
            mode=target["target"]["mode"],
            runtime=RUNTIME,
            accuracy_reference=reference,
            evaluation_sha256=dataset[:12],
            **_figures(target),
        )
        for target in run["targets"]
        if target["target"]["runtime"] == RUNTIME and not set(_NEEDED) - target["metrics"].keys()
    ]
    if not found:
        raise ReportError(f"no target on {RUNTIME} has both its size and its drop judged")
    return found


def _figures(target: TargetVerdict) -> dict[str, Any]:
    metrics = target["metrics"]
    rounded = {
        "smaller_than_bert_large_weights": metrics["ratio_weights"],
        "accuracy": metrics["accuracy"],
        "balanced_accuracy": metrics["balanced_accuracy"],
        "drop": metrics["drop"],
        "drop_upper_95": metrics["drop_upper"],
        "balanced_drop": metrics["balanced_drop"],
        "balanced_drop_upper_95": metrics["balanced_drop_upper"],
        "agreement": metrics["agreement"],
    }
    whole = {
        "bytes": metrics["size_bytes"],
        "tokenizer_bytes": metrics["tokenizer_bytes"],
        "texts": metrics["texts"],
    }
    return whole | {field: round(value, 2) for field, value in rounded.items()}


def updated(lines: Iterable[Line], by: Iterable[Line]) -> list[Line]:
    """`lines` with those of `by` added or in their place, the largest file first.

    Raises:
        ReportError: they are of other texts, or against another accuracy reference.
    """
    merged = {line.key: line for line in [*lines, *by]}
    grounds = {(line.evaluation_sha256, line.accuracy_reference) for line in merged.values()}
    if len(grounds) > 1:
        told = "; ".join(f"{dataset} against {reference}" for dataset, reference in sorted(grounds))
        raise ReportError(f"drops on other texts or against another reference: {told}")
    return sorted(merged.values(), key=lambda line: (-line.bytes, line.key))


def read(path: Path) -> list[Line]:
    """The lines of a CSV file of them; none if there is no file.

    Raises:
        ReportError: it has other columns, or something that is no number where one belongs.
    """
    if not path.exists():
        return []
    kinds = {
        field.name: {"int": int, "float": float}.get(str(field.type), str) for field in fields(Line)
    }
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != tuple(kinds):
            raise ReportError(f"{path}: its columns are not {', '.join(kinds)}")
        try:
            return [Line(**{n: kinds[n](v) for n, v in row.items()}) for row in rows]
        except (TypeError, KeyError, ValueError) as error:
            raise ReportError(f"{path}, line {rows.line_num}: {error}") from None


def to_csv(lines: Sequence[Line]) -> str:
    """The lines under a header."""
    text = io.StringIO()
    rows = csv.DictWriter(text, [f.name for f in fields(Line)], lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(line) for line in lines)
    return text.getvalue()


def told(lines: Sequence[Line]) -> Iterator[str]:
    """Of each of `BOUNDS`, a sentence: what keeps it, and what does by its drops alone."""
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
