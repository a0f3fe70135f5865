"""Is a target worse than the baseline? The figures and tolerances are rows of `reports.metrics`.

A baseline holds the verdict of each target, of each claim about it, and its gated metrics. It holds
no milliseconds: time is compared as p90 over float32's on the same device and runtime in the same
run, because the machine's speed cancels out there.

On another processor than the baseline's, what is timed or weighed is shown and is no regression:
metric by metric, and claim by claim. Everything else is a regression on any machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, NotRequired, TypedDict, cast

from common import atomic
from reports import aggregate, metrics, migration
from reports.compare import changes
from reports.metrics import Metric, Tolerance
from reports.schema import (
    REQUIRED,
    TIMED_CLAIMS,
    CheckWord,
    ReportError,
    RunMetadata,
    Target,
    TargetVerdict,
    TargetWord,
    VerdictFile,
    check_header,
    conform,
    read_json,
    to_json,
)
from reports.verdict import Verdict, rank

BASELINE_SCHEMA = 3
# Metadata that a baseline keeps.
_METADATA = (
    "dataset",
    "splits",
    "checkpoint",
    "weights_sha256",
    "model_file",
    "accuracy_reference",
    "machine_info",
)


class BaselineClaim(TypedDict):
    """What all checks of a claim about a target came to, and how many they were."""

    verdict: CheckWord
    checks: int


class BaselineTarget(TypedDict):
    """A target of the baseline. `claims` is missing from a baseline of schema 1."""

    target: Target
    verdict: TargetWord
    claims: NotRequired[dict[str, BaselineClaim]]
    figures: dict[str, Any]


class Baseline(TypedDict):
    """The baseline file. `target_names` lists the targets; `sha256` is of all other keys."""

    schema: int
    kind: Literal["baseline"]
    metadata: RunMetadata
    target_names: list[str]
    targets: list[BaselineTarget]
    sha256: str


@dataclass(frozen=True)
class Finding:
    """One difference: a regression, or a change to look at that is no regression by itself."""

    regression: bool
    text: str

    def __str__(self) -> str:
        return f"{'REGRESSION' if self.regression else 'look'}: {self.text}"


def figures(found: TargetVerdict) -> dict[str, Any]:
    """Return what the gate compares of one target, by key."""
    values = found["metrics"]
    return {key: values[key] for key in metrics.gated() if values.get(key) is not None}


def write_baseline(runs: Sequence[VerdictFile], out: Path) -> None:
    """Write a baseline of one run, or of several of the same candidate on the same machine.

    Of several, a figure that is timed is their median, and all else is the last run's. One run's
    time is off by some percent, as the next one's is.

    Raises:
        ReportError: a run has no target, or one that is invalid; or two judged not the same.
    """
    for each in runs:
        _check_valid(each)
    run = runs[-1]
    for each in runs:
        for field in _METADATA:
            ours, theirs = each["metadata"].get(field), run["metadata"].get(field)
            if ours != theirs:
                raise ReportError(f"these runs make no baseline: {field}: {ours!r} and {theirs!r}")
    metadata = {field: run["metadata"].get(field) for field in _METADATA}
    judged = [
        {
            "target": found["target"],
            "verdict": found["verdict"],
            "claims": {
                claim: {"verdict": verdict.value, "checks": checks}
                for claim, (verdict, checks) in _claims(found, run).items()
            },
            "figures": figures(found) | _medians(found["target"], runs),
        }
        for found in run["targets"]
    ]
    data = {
        "schema": BASELINE_SCHEMA,
        "kind": "baseline",
        "metadata": {field: value for field, value in metadata.items() if value is not None},
        "target_names": [aggregate.name(found["target"]) for found in run["targets"]],
        "targets": judged,
    }
    atomic.write_text(out, to_json(data))


def _medians(target: Target, runs: Sequence[VerdictFile]) -> dict[str, float]:
    """Return the medians of a target's timed figures over the runs that have it."""
    of_target = [
        figures(found) for run in runs for found in run["targets"] if found["target"] == target
    ]
    timed = [key for key, metric in metrics.gated().items() if metric.is_timing]
    return {
        key: median(known) for key in timed if (known := [f[key] for f in of_target if key in f])
    }


def read_baseline(path: Path) -> Baseline:
    """Read a baseline of schema 1, 2 or 3.

    Raises:
        ReportError: it is missing, edited, of another version, without targets or figures, or one
            of its targets was removed.
    """
    data = read_json(path)
    try:
        if data.get("kind") != "baseline":
            raise ReportError("$.kind: not a baseline; make one with `python fit.py baseline`")
        if data.get("schema") in (1, 2):
            check_header(data, data["schema"])
            data = _migrated(data)
        check_header(data, BASELINE_SCHEMA)
        conform(data, Baseline, "$")
        baseline = cast(Baseline, data)
        _check_complete(baseline)
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    return baseline


def _migrated(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return migration.baseline(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"$: no baseline of its schema: {error!r}") from error


def _check_complete(baseline: Baseline) -> None:
    """Raise ReportError for a baseline that would let a regression pass without a word."""
    if not baseline["targets"]:
        raise ReportError("$.targets: a baseline without a target gates nothing")
    names = [aggregate.name(base["target"]) for base in baseline["targets"]]
    if names != baseline["target_names"]:
        odd = sorted(set(names) ^ set(baseline["target_names"])) or ["the order or the number"]
        raise ReportError(f"$.targets: not those in $.target_names: {', '.join(odd)}")
    if not {"weights_sha256", "model_file"} & baseline["metadata"].keys():
        raise ReportError("$.metadata: neither weights_sha256 nor model_file: of what is unknown")
    for field in ("dataset", "splits"):
        if field not in baseline["metadata"]:
            raise ReportError(f"$.metadata.{field}: missing: the texts are unknown")
    for index, base in enumerate(baseline["targets"]):
        _check_target(base, f"$.targets[{index}]")


def _check_target(base: BaselineTarget, path: str) -> None:
    gated, name, verdict = metrics.gated(), aggregate.name(base["target"]), Verdict(base["verdict"])
    if verdict is Verdict.INVALID:
        raise ReportError(f"{path}.verdict: {name} is invalid: it gates nothing")
    if not base["figures"] and verdict is not Verdict.CANNOT_RUN:
        raise ReportError(f"{path}.figures: empty: {name} would not be gated")
    for key, value in base["figures"].items():
        if key not in gated:
            raise ReportError(f"{path}.figures.{key}: {metrics.unknown(key)}")
        conform(value, gated[key].kind, f"{path}.figures.{key}")
    claims = base.get("claims")
    if claims is None:
        return
    if missing := [claim for claim in REQUIRED if claim not in claims]:
        raise ReportError(f"{path}.claims: {', '.join(missing)} missing")
    worst = max((Verdict(claim["verdict"]) for claim in claims.values()), key=rank)
    if rank(worst) > rank(verdict):
        raise ReportError(f"{path}.verdict: {verdict} by the file; its claims say {worst}")


def gate(
    run: VerdictFile, baseline: Baseline, tolerances: Mapping[str, Tolerance] | None = None
) -> list[Finding]:
    """Return what changed for the worse, and what changed too much to go unseen.

    `tolerances` replaces those of `METRICS`, by key.

    Raises:
        ReportError: the two cannot be compared: other texts, no target in common, an invalid
            target, a figure of the baseline that this run does not state.
    """
    _check_valid(run)
    _check_same_texts(run, baseline)
    ran = {aggregate.name(found["target"]): found for found in run["targets"]}
    known = {aggregate.name(base["target"]): base for base in baseline["targets"]}
    if not ran.keys() & known.keys():
        raise ReportError("the run and the baseline have no target in common")
    same_machine = run["metadata"].get("machine_info") == baseline["metadata"].get("machine_info")
    findings = _differing_metadata(run, baseline)
    findings += [Finding(False, f"{name}: not in the baseline") for name in ran.keys() - known]
    for name, base in known.items():
        if name not in ran:
            findings.append(Finding(True, f"{name}: missing from the run"))
            continue
        findings += _verdict_findings(ran[name], base, run, same_machine)
        if ran[name]["verdict"] != Verdict.CANNOT_RUN:  # it has no figures
            ours = figures(ran[name])
            findings += _figure_findings(name, ours, base, tolerances or {}, same_machine)
    return sorted(findings, key=lambda finding: (not finding.regression, finding.text))


def _check_valid(run: VerdictFile) -> None:
    if not run["targets"]:
        raise ReportError("the run has no target")
    for found in run["targets"]:
        if found["verdict"] == Verdict.INVALID:
            raise ReportError(
                f"{aggregate.name(found['target'])} is invalid: {found['reasons'][0]}"
            )


def _check_same_texts(run: VerdictFile, baseline: Baseline) -> None:
    """Raise ReportError unless both were judged on the same texts."""
    ours, theirs = run["metadata"], baseline["metadata"]
    # Where no evaluation split is stated, all splits must be the same.
    one, other = (side.get("splits", {}) for side in (ours, theirs))
    compared = {
        "dataset": (ours.get("dataset"), theirs.get("dataset")),
        "evaluation texts": (one.get("evaluation", one), other.get("evaluation", other)),
    }
    for what, (here, there) in compared.items():
        if here != there:
            raise ReportError(f"{what}: {here!r} in the run, {there!r} in the baseline")


def _differing_metadata(run: VerdictFile, baseline: Baseline) -> list[Finding]:
    """Return a finding for each of what was judged that differs: a candidate of other weights."""
    found = []
    for field in ("weights_sha256", "model_file", "accuracy_reference"):
        ours, theirs = run["metadata"].get(field), baseline["metadata"].get(field)
        # A baseline of schema 1 states no accuracy reference.
        if ours != theirs and not (field == "accuracy_reference" and theirs is None):
            text = f"run metadata.{field}: {ours or 'none'}, was {theirs or 'none'}"
            found.append(Finding(False, text))
    return found


def _claims(found: TargetVerdict, run: VerdictFile) -> dict[str, tuple[Verdict, int]]:
    return aggregate.claims(found["target"], run["records"], run["required"])


def _verdict_findings(
    found: TargetVerdict, base: BaselineTarget, run: VerdictFile, same_machine: bool
) -> list[Finding]:
    """Compare the verdict of a target, and those of its claims."""
    name, was = aggregate.name(found["target"]), Verdict(base["verdict"])
    claims = _claims(found, run)
    findings = []
    worse = rank(Verdict(found["verdict"])) - rank(was)
    if worse:
        behind = {claim for claim, (verdict, _) in claims.items() if rank(verdict) > rank(was)}
        excused = bool(behind) and behind <= TIMED_CLAIMS and not same_machine
        reason = f" ({found['reasons'][0]})" if found["reasons"] else ""
        text = f"{name}: {found['verdict']}{reason}, was {was}"
        findings.append(Finding(worse > 0 and not excused, text))
    for claim, before in base.get("claims", {}).items():
        verdict, checks = claims.get(claim, (Verdict.INCONCLUSIVE, 0))
        excused = claim in TIMED_CLAIMS and not same_machine
        if rank(verdict) > rank(Verdict(before["verdict"])):
            text = f"{name}: {claim} {verdict}, was {before['verdict']}"
            findings.append(Finding(not excused, text))
        elif checks < before["checks"] and verdict is not Verdict.CANNOT_RUN:
            text = f"{name}: {claim} has {checks} checks, had {before['checks']}"
            findings.append(Finding(not excused, text))
    return findings


def _figure_findings(
    name: str,
    ours: Mapping[str, Any],
    base: BaselineTarget,
    tolerances: Mapping[str, Tolerance],
    same_machine: bool,
) -> list[Finding]:
    findings = []
    gated = metrics.gated()
    for key in ours.keys() - base["figures"].keys():
        findings.append(Finding(False, f"{name}: {key} is not in the baseline, and not gated"))
    for key, before in base["figures"].items():
        after, metric = ours.get(key), gated[key]
        excused = metric.is_timing and not same_machine
        if after is None:
            raise ReportError(f"{name}: {key} is in the baseline and not in the run")
        if change := _change(metric, before, after, tolerances.get(key, metric.tolerance)):
            findings.append(Finding(change[0] and not excused, f"{name}: {key} {change[1]}"))
    return findings


def _change(
    metric: Metric, before: Any, after: Any, tolerance: Tolerance | None
) -> tuple[bool, str] | None:
    """Return whether it is a regression, and what moved; None within the tolerance."""
    if tolerance is None:
        same = sorted(before) == sorted(after) if isinstance(before, list) else before == after
        return None if same else (True, f"changed: {changes(before, after)}")
    if isinstance(before, Mapping):
        return _change_by_length(before, after, tolerance)
    moved = before - after if metric.better == "higher" else after - before
    if abs(moved) <= tolerance.allowed(before):
        return None
    unit = "" if tolerance.is_share else f" {metric.unit}".rstrip()
    return moved > 0, f"{before:g} → {after:g} ({tolerance}{unit} allowed)"


def _change_by_length(
    before: Mapping[str, float], after: Mapping[str, float], tolerance: Tolerance
) -> tuple[bool, str] | None:
    """Return the greatest change of a metric that is stated by the length in tokens."""
    moved = {
        length: after.get(length, 0) / count - 1
        for length, count in before.items()
        if abs(after.get(length, 0) - count) > tolerance.allowed(count)
    }
    if not moved:
        return None
    absent = [length for length in moved if length not in after]
    worst = absent[0] if absent else max(moved, key=lambda length: moved[length])
    return moved[worst] > 0 or bool(absent), (
        f"of {worst} tokens {before[worst]} → {after.get(worst, 'none')} ({tolerance} allowed)"
    )
