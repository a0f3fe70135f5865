"""From records to targets: a target ships if every required claim was judged and all checks pass.

The verdict of a target is the worst of its records, in the order of `reports.verdict.Verdict`. A
required claim without a measurement makes it inconclusive, and so does a deselected test. A metric
that two tests state differently makes it invalid. An expected failure keeps its verdict.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from reports import migration
from reports.check import claim_of
from reports.schema import (
    REQUIRED,
    SCHEMA,
    Record,
    ReportError,
    RunMetadata,
    Target,
    TargetVerdict,
    VerdictFile,
    check_header,
    checksum,
    merged,
    read_json,
    validate,
)
from reports.verdict import PASSING, Verdict, derived, rank, worst

# In the id of a record: the tests of a file that were not named on the command line.
OTHERS = "::*"


def key(target: Target) -> tuple[str, str, str]:
    """Return device, runtime and mode, by which targets are sorted and found."""
    return target["device"], target["runtime"], target["mode"]


def name(target: Target) -> str:
    """Return `host / ai-edge-litert / dynamic_range`."""
    return " / ".join(key(target))


def compute(records: Sequence[Record], required: Sequence[str] = REQUIRED) -> list[TargetVerdict]:
    """Return the verdict of every target, sorted by name.

    A record without a target counts for all of them.
    """
    targets = {key(record["target"]): record["target"] for record in records if record["target"]}
    return [
        _compute(target, [r for r in records if r["target"] in (target, None)], required)
        for _, target in sorted(targets.items())
    ]


def is_judged(record: Record) -> bool:
    """Return whether a record says something about its claim.

    What cannot run has nothing to measure, and an expected failure may end before it measures.
    """
    return (
        bool(record["measurements"])
        or record["outcome"] == "xfailed"
        or record["verdict"] == Verdict.CANNOT_RUN.value
    )


def claims(
    target: Target, records: Sequence[Record], required: Sequence[str] = REQUIRED
) -> dict[str, tuple[Verdict, int]]:
    """Return the verdict of each claim about a target, and the number of its checks.

    A required claim that was not judged is inconclusive, with no check.
    """
    own = [record for record in records if record["target"] in (target, None)]
    found = {}
    for claim in dict.fromkeys([*required, *(record["claim"] for record in own)]):
        of_claim = [record for record in own if record["claim"] == claim]
        checks = sum(map(is_judged, of_claim))
        verdicts = [Verdict(record["verdict"]) for record in of_claim]
        found[claim] = (worst(verdicts or [Verdict.INCONCLUSIVE]), checks)
    return found


def _compute(target: Target, records: Sequence[Record], required: Sequence[str]) -> TargetVerdict:
    found = [(Verdict(r["verdict"]), f"{r['claim']}: {r['reason']}") for r in records]
    judged = {record["claim"] for record in records if is_judged(record)}
    if missing := [claim for claim in required if claim not in judged]:
        found.append((Verdict.INCONCLUSIVE, f"not judged: {', '.join(missing)}"))
    metrics: dict[str, Any] = {}
    for record in records:
        if record["target"] is None:
            continue
        try:
            metrics = merged(metrics, record["metrics"], "metrics")
        except ReportError as error:
            found.append((Verdict.INVALID, f"{record['claim']}: {error}"))
    failing = sorted((f for f in found if f[0] not in PASSING), key=lambda f: -rank(f[0]))
    return {
        "target": target,
        "verdict": cast(Any, worst(verdict for verdict, _ in found).for_target().value),
        "reasons": list(dict.fromkeys(reason for _, reason in failing)),
        "metrics": metrics,
    }


def unexpected_failures(records: Sequence[Record]) -> list[str]:
    """Return a sentence for each target that does not pass, expected failures aside."""
    forgiven = [
        cast(Record, {**record, "verdict": Verdict.PASSES.value})
        if record["expected_failure"] and record["outcome"] == "xfailed"
        else record
        for record in records
    ]
    return [
        f"{name(found['target'])}: {found['verdict']}: {found['reasons'][0]}"
        for found in compute(forgiven)
        if Verdict(found["verdict"]) not in PASSING
    ]


def assemble(metadata: RunMetadata, records: Iterable[Record]) -> VerdictFile:
    """Return a verdict file of `records`, created now, its targets computed."""
    ordered = sorted(records, key=lambda record: record["nodeid"])
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "required": list(REQUIRED),
        "metadata": metadata,
        "records": ordered,
        "targets": compute(ordered),
    }
    return cast(VerdictFile, {**data, "sha256": checksum(data)})


def merge(
    before: VerdictFile | None,
    found: Mapping[str, Mapping[str, Any]],
    deselected: Sequence[dict[str, Any]],
) -> VerdictFile:
    """Return the verdict file of a run, merged into the one ``before`` that it extends, if any.

    ``found``: records by the id of their test. Each may have a key ``metadata``: the run metadata
    that its worker saw. ``deselected``: records of tests that were not chosen. They are
    inconclusive if their target was judged.

    Raises:
        ReportError: the run metadata do not agree.
    """
    records: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    if before:
        records = {record["nodeid"]: record for record in before["records"]}
        shared = dict(before["metadata"])
    for nodeid, record in found.items():
        own = dict(record)
        shared = merged(shared, own.pop("metadata", {}))
        records[nodeid] = own
    picked = {_file(record["nodeid"]) for record in deselected if OTHERS in record["nodeid"]}
    complete = {_file(nodeid) for nodeid in found} - picked
    for nodeid in [n for n in records if OTHERS in n and _file(n) in complete]:
        del records[nodeid]
    judged = [record["target"] for record in records.values() if record["measurements"]]
    for record in deselected:
        if record["nodeid"] not in records and record["target"] in judged:
            inconclusive = {"verdict": Verdict.INCONCLUSIVE.value, "reason": "deselected, not run"}
            records[record["nodeid"]] = record | inconclusive
    return assemble(cast(RunMetadata, shared), records.values())


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def read(path: Path) -> VerdictFile:
    """Read the verdict file at `path`, or `verdicts.json` in that folder, of schema 1 or 2.

    All verdicts are derived from the measurements, and compared with those in the file.

    Raises:
        ReportError: the file is missing, cut short, edited or of another version, or it
            contradicts itself.
    """
    path = path / "verdicts.json" if path.is_dir() else path
    data = read_json(path)
    try:
        if data.get("schema") == 1:
            check_header(data, 1)
            data = _migrated(data)
        validate(data)
        found = cast(VerdictFile, data)
        _check_derived(found)
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    return found


def _migrated(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return migration.verdict_file(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"$: no verdict file of schema 1: {error!r}") from error


def _check_derived(data: VerdictFile) -> None:
    """Raise ReportError unless all verdicts follow from measurements and the required claims."""
    missing = [claim for claim in REQUIRED if claim not in data["required"]]
    if missing:
        raise ReportError(f"$.required: {', '.join(missing)} missing; a target needs each of these")
    for index, record in enumerate(data["records"]):
        path = f"$.records[{index}]"
        for number, measured in enumerate(record["measurements"]):
            verdict = derived(measured)
            # A figure that was not finite is null in the file: only the verdict tells of it.
            if measured["verdict"] not in (verdict, Verdict.INVALID):
                raise ReportError(
                    f"{path}.measurements[{number}].verdict: {measured['name']} "
                    f"{measured['verdict']} by the file; value, bounds and budget say {verdict}"
                )
        verdicts = [Verdict(measured["verdict"]) for measured in record["measurements"]]
        least = worst(verdicts) if verdicts else Verdict.INCONCLUSIVE
        if rank(Verdict(record["verdict"])) < rank(least):
            why = f"its measurements say {least}" if verdicts else "nothing was measured"
            raise ReportError(f"{path}.verdict: {record['verdict']} by the file; {why}")
        if record["claim"] != claim_of(record["nodeid"]):
            raise ReportError(f"{path}.claim: {record['claim']!r} is not that of its nodeid")
    targets = compute(data["records"], data["required"])
    if data["targets"] != targets:
        raise ReportError("$.targets: not what the records come to")
