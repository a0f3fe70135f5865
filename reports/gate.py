"""Did a change make a case worse than the baseline? Milliseconds are never compared across runs.

Time is compared only as the ratio of a case's p90 text→label to that of the float32 case with the
same device and runtime in the same run: what the machine does that day cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from reports import cases
from reports.compare import changes
from reports.decision import Verdict, rank
from reports.schema import (
    Case,
    CaseVerdict,
    ReportError,
    Subject,
    VerdictFile,
    VerdictName,
    check_header,
    conform,
    read_json,
    to_json,
    write_text,
)

BASELINE_SCHEMA = 1


@dataclass(frozen=True)
class Tolerances:
    """How far a figure may move before it is a finding."""

    size: float = 0.005  # share of the baseline's bytes
    points: float = 0.5  # percentage points of accuracy, balanced accuracy and agreement
    time: float = 0.25  # share of the baseline's ratio to float32
    instructions: float = 0.02  # share of the baseline's, a tweet of a length on an emulated board


class Figures(TypedDict, total=False):
    """What the gate compares of a case, where the run states it."""

    size_bytes: int
    operators: list[str]
    dtypes: dict[str, Any]
    accuracy: float
    balanced_accuracy: float
    agreement: float
    time_ratio: float
    instructions: dict[str, int]


class BaselineCase(TypedDict):
    """A case of the baseline."""

    case: Case
    verdict: VerdictName
    figures: Figures


class Baseline(TypedDict):
    """The baseline file; `sha256` as in the verdict file."""

    schema: int
    kind: Literal["baseline"]
    subject: Subject
    cases: list[BaselineCase]
    sha256: str


@dataclass(frozen=True)
class Finding:
    """One difference: a regression, or a change to look at that is no regression by itself."""

    regression: bool
    text: str

    def __str__(self) -> str:
        return f"{'REGRESSION' if self.regression else 'look'}: {self.text}"


# What must be the same for accuracies to be comparable.
_SAME = ("corpus", "splits")


def figures(found: CaseVerdict, run: VerdictFile) -> Figures:
    """What the gate compares of one case of `run`."""
    facts: Mapping[str, Any] = found["facts"]
    kept = {field: facts[field] for field in Figures.__annotations__ if field in facts}
    ratio = _time_ratio(found, run)
    return cast(Figures, kept | ({} if ratio is None else {"time_ratio": ratio}))


def _time_ratio(found: CaseVerdict, run: VerdictFile) -> float | None:
    """p90 text→label over that of float32 in the same run; None for float32 itself."""
    device, runtime, mode = cases.key(found["case"])
    for other in run["cases"]:
        if mode != "float32" and cases.key(other["case"]) == (device, runtime, "float32"):
            ours, float32 = found["facts"].get("p90_ms"), other["facts"].get("p90_ms")
            return round(ours / float32, 4) if ours and float32 else None
    return None


def write_baseline(run: VerdictFile, out: Path) -> None:
    """Write what the gate compares of `run`. ReportError if it has no case, or an invalid one."""
    _demand_valid(run)
    subject = {
        field: value
        for field, value in run["subject"].items()
        if field in (*_SAME, "checkpoint", "weights_sha256", "board_key")
    }
    judged = [
        {"case": f["case"], "verdict": f["verdict"], "figures": figures(f, run)}
        for f in run["cases"]
    ]
    data = {"schema": BASELINE_SCHEMA, "kind": "baseline", "subject": subject, "cases": judged}
    write_text(out, to_json(data))


def read_baseline(path: Path) -> Baseline:
    """The baseline at `path`; ReportError if it is missing, edited, empty or of another schema."""
    data = read_json(path)
    try:
        if data.get("kind") != "baseline":
            raise ReportError("$.kind: not a baseline; make one with `python -m reports baseline`")
        check_header(data, BASELINE_SCHEMA)
        conform(data, Baseline, "$")
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    if not data["cases"]:
        raise ReportError(f"{path}: $.cases: a baseline without a case gates nothing")
    return cast(Baseline, data)


def gate(run: VerdictFile, baseline: Baseline, tolerances: Tolerances) -> list[Finding]:
    """What changed for the worse, and what changed too much to go unseen.

    ReportError where the comparison means nothing: other tweets, no case in common, an invalid
    case, a figure of the baseline that this run does not state.
    """
    _demand_valid(run)
    for field in _SAME:
        ours, theirs = run["subject"].get(field), baseline["subject"].get(field)
        if ours != theirs:
            raise ReportError(f"subject.{field}: {ours!r} in the run, {theirs!r} in the baseline")
    ran = {cases.key(found["case"]): found for found in run["cases"]}
    known = {cases.key(base["case"]): base for base in baseline["cases"]}
    if not ran.keys() & known.keys():
        raise ReportError("the run and the baseline have no case in common")
    # Int8 instructions differ between CPUs: even a ratio of times, and so a verdict, is theirs.
    same_board = run["subject"].get("board_key") == baseline["subject"].get("board_key")
    findings = [
        Finding(False, f"{' / '.join(case)}: not in the baseline") for case in ran.keys() - known
    ]
    for case, base in known.items():
        if case not in ran:
            findings.append(Finding(True, f"{' / '.join(case)}: missing from the run"))
        else:
            findings += _gate_case(ran[case], base, figures(ran[case], run), tolerances, same_board)
    return sorted(findings, key=lambda finding: (not finding.regression, finding.text))


def _demand_valid(run: VerdictFile) -> None:
    if not run["cases"]:
        raise ReportError("the run has no case")
    for found in run["cases"]:
        if found["verdict"] == Verdict.INVALID:
            raise ReportError(f"{cases.name(found['case'])} is invalid: {found['reasons'][0]}")


def _gate_case(
    found: CaseVerdict,
    base: BaselineCase,
    ours: Figures,
    tolerances: Tolerances,
    same_board: bool,
) -> list[Finding]:
    name = cases.name(found["case"])
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
    """The same of a tweet's instructions by length: the greatest change there is."""
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
