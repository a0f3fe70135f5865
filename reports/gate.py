"""Did a change make a target worse than the baseline? Milliseconds are never compared across runs.

Time is compared only as the ratio of a target's p90 end-to-end to that of the float32 case with the
same device and runtime in the same run: what the machine does that day cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from reports import aggregate
from reports.compare import changes
from reports.schema import (
    ReportError,
    RunMetadata,
    Target,
    TargetVerdict,
    VerdictFile,
    VerdictName,
    check_header,
    conform,
    read_json,
    to_json,
    write_text,
)
from reports.verdict import Verdict, rank

BASELINE_SCHEMA = 2


@dataclass(frozen=True)
class Tolerances:
    """How far a figure may move before it is a finding."""

    size: float = 0.005  # share of the baseline's bytes
    points: float = 0.5  # percentage points of accuracy, balanced accuracy and agreement
    time: float = 0.25  # share of the baseline's ratio to float32
    instructions: float = 0.02  # share of the baseline's, a text of a length on an emulated board


class Figures(TypedDict, total=False):
    """What the gate compares of a target, where the run states it."""

    size_bytes: int
    operators: list[str]
    dtypes: dict[str, Any]
    accuracy: float
    balanced_accuracy: float
    agreement: float
    time_ratio: float
    instructions: dict[str, int]


class BaselineTarget(TypedDict):
    """A target of the baseline."""

    target: Target
    verdict: VerdictName
    figures: Figures


class Baseline(TypedDict):
    """The baseline file; `sha256` as in the verdict file."""

    schema: int
    kind: Literal["baseline"]
    metadata: RunMetadata
    targets: list[BaselineTarget]
    sha256: str


@dataclass(frozen=True)
class Finding:
    """One difference: a regression, or a change to look at that is no regression by itself."""

    regression: bool
    text: str

    def __str__(self) -> str:
        return f"{'REGRESSION' if self.regression else 'look'}: {self.text}"


# What must be the same for accuracies to be comparable.
_SAME = ("dataset", "splits")


def figures(found: TargetVerdict, run: VerdictFile) -> Figures:
    """What the gate compares of one target of `run`."""
    metrics: Mapping[str, Any] = found["metrics"]
    kept = {field: metrics[field] for field in Figures.__annotations__ if field in metrics}
    ratio = _time_ratio(found, run)
    return cast(Figures, kept | ({} if ratio is None else {"time_ratio": ratio}))


def _time_ratio(found: TargetVerdict, run: VerdictFile) -> float | None:
    """p90 end-to-end over that of float32 in the same run; None for float32 itself."""
    device, runtime, mode = aggregate.key(found["target"])
    for other in run["targets"]:
        if mode != "float32" and aggregate.key(other["target"]) == (device, runtime, "float32"):
            ours, float32 = found["metrics"].get("p90_ms"), other["metrics"].get("p90_ms")
            return round(ours / float32, 4) if ours and float32 else None
    return None


def write_baseline(run: VerdictFile, out: Path) -> None:
    """Write what the gate compares of `run`. ReportError if it has no target, or an invalid one."""
    _demand_valid(run)
    metadata = {
        field: value
        for field, value in run["metadata"].items()
        if field in (*_SAME, "checkpoint", "weights_sha256", "machine_info")
    }
    judged = [
        {"target": f["target"], "verdict": f["verdict"], "figures": figures(f, run)}
        for f in run["targets"]
    ]
    data = {"schema": BASELINE_SCHEMA, "kind": "baseline", "metadata": metadata, "targets": judged}
    write_text(out, to_json(data))


def read_baseline(path: Path) -> Baseline:
    """The baseline at `path`; ReportError if it is missing, edited, empty or of another schema."""
    data = read_json(path)
    try:
        if data.get("kind") != "baseline":
            raise ReportError("$.kind: not a baseline; make one with `python fit.py baseline`")
        check_header(data, BASELINE_SCHEMA)
        conform(data, Baseline, "$")
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    if not data["targets"]:
        raise ReportError(f"{path}: $.targets: a baseline without a target gates nothing")
    return cast(Baseline, data)


def gate(run: VerdictFile, baseline: Baseline, tolerances: Tolerances) -> list[Finding]:
    """What changed for the worse, and what changed too much to go unseen.

    ReportError where the comparison means nothing: other texts, no target in common, an invalid
    target, a figure of the baseline that this run does not state.
    """
    _demand_valid(run)
    for field in _SAME:
        ours, theirs = run["metadata"].get(field), baseline["metadata"].get(field)
        if ours != theirs:
            raise ReportError(
                f"run metadata.{field}: {ours!r} in the run, {theirs!r} in the baseline"
            )
    ran = {aggregate.key(found["target"]): found for found in run["targets"]}
    known = {aggregate.key(base["target"]): base for base in baseline["targets"]}
    if not ran.keys() & known.keys():
        raise ReportError("the run and the baseline have no target in common")
    # Int8 instructions differ between CPUs: even a ratio of times, and so a verdict, is theirs.
    same_board = run["metadata"].get("machine_info") == baseline["metadata"].get("machine_info")
    findings = [
        Finding(False, f"{' / '.join(target)}: not in the baseline")
        for target in ran.keys() - known
    ]
    for target, base in known.items():
        if target not in ran:
            findings.append(Finding(True, f"{' / '.join(target)}: missing from the run"))
        else:
            findings += _gate_target(
                ran[target], base, figures(ran[target], run), tolerances, same_board
            )
    return sorted(findings, key=lambda finding: (not finding.regression, finding.text))


def _demand_valid(run: VerdictFile) -> None:
    if not run["targets"]:
        raise ReportError("the run has no target")
    for found in run["targets"]:
        if found["verdict"] == Verdict.INVALID:
            raise ReportError(
                f"{aggregate.name(found['target'])} is invalid: {found['reasons'][0]}"
            )


def _gate_target(
    found: TargetVerdict,
    base: BaselineTarget,
    ours: Figures,
    tolerances: Tolerances,
    same_board: bool,
) -> list[Finding]:
    name = aggregate.name(found["target"])
    findings = []
    worse = rank(Verdict(found["verdict"])) - rank(Verdict(base["verdict"]))
    if worse:
        reason = f" ({found['reasons'][0]})" if found["reasons"] else ""
        text = f"{name}: {found['verdict']}{reason}, was {base['verdict']}"
        findings.append(Finding(worse > 0 and same_board, text))
    if found["verdict"] == Verdict.CANNOT_RUN:
        return findings  # it has no figures, and the verdict said so
    theirs: Mapping[str, Any] = base["figures"]
    for figure, before in theirs.items():
        after = ours.get(figure)
        if after is None:
            raise ReportError(f"{name}: {figure} is in the baseline and not in the run")
        if change := _change(figure, before, after, tolerances):
            regression = change[0] and (same_board or figure != "time_ratio")
            findings.append(Finding(regression, f"{name}: {figure} {change[1]}"))
    return findings


def _change(
    figure: str, before: Any, after: Any, tolerances: Tolerances
) -> tuple[bool, str] | None:
    """Whether it is a regression, and what moved; None within the tolerance."""
    if figure in ("operators", "dtypes"):
        same = sorted(before) == sorted(after) if isinstance(before, list) else before == after
        return None if same else (True, f"changed: {changes(before, after)}")
    if figure == "instructions":
        return _change_of_cost(before, after, tolerances.instructions)
    if figure in ("size_bytes", "time_ratio"):
        share = tolerances.size if figure == "size_bytes" else tolerances.time
        allowed, moved, unit = share * before, after - before, f"{share:.1%} allowed"
    else:
        allowed, moved, unit = tolerances.points, before - after, f"{tolerances.points} pt allowed"
    if abs(moved) <= allowed:
        return None
    return moved > 0, f"{before:g} → {after:g} ({unit})"


def _change_of_cost(
    before: Mapping[str, int], after: Mapping[str, int], share: float
) -> tuple[bool, str] | None:
    """The same of a text's instructions by length: the greatest change there is."""
    moved = {
        length: after.get(length, 0) / count - 1
        for length, count in before.items()
        if abs(after.get(length, 0) - count) > share * count
    }
    if not moved:
        return None
    worst = max(moved, key=lambda length: moved[length])
    return moved[worst] > 0 or worst not in after, (
        f"of {worst} tokens {before[worst]} → {after.get(worst, 'none')} ({share:.1%} allowed)"
    )
