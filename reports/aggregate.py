"""From records to targets: a target ships only if every required claim was judged and all ship."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from reports.schema import (
    REQUIRED,
    SCHEMA,
    Metrics,
    Record,
    ReportError,
    RunMetadata,
    Target,
    TargetVerdict,
    VerdictFile,
    checksum,
    merged,
    read_json,
    validate,
)
from reports.verdict import PASSING, Verdict, rank, worst

# Stands in a record's id for the tests of a file that were not named where others were.
OTHERS = "::*"


def key(target: Target) -> tuple[str, str, str]:
    """Device, runtime, mode: what a target is sorted and found by."""
    return target["device"], target["runtime"], target["mode"]


def name(target: Target) -> str:
    """`host / ai-edge-litert / dynamic_range`."""
    return " / ".join(key(target))


def compute(records: Sequence[Record], required: Sequence[str] = REQUIRED) -> list[TargetVerdict]:
    """The verdict of every target, sorted by name; a record without a target speaks for all of
    them."""
    targets = {key(record["target"]): record["target"] for record in records if record["target"]}
    return [
        _compute(target, [r for r in records if r["target"] in (target, None)], required)
        for _, target in sorted(targets.items())
    ]


def _compute(target: Target, records: Sequence[Record], required: Sequence[str]) -> TargetVerdict:
    found = [(Verdict(r["verdict"]), f"{r['claim']}: {r['reason']}") for r in records]
    # What cannot run has nothing to measure: that it cannot is what was to be said of it.
    judged = {
        record["claim"]
        for record in records
        if record["measurements"]
        or record["outcome"] == "xfailed"
        or record["verdict"] == Verdict.CANNOT_RUN.value
    }
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
        "verdict": worst(verdict for verdict, _ in found).value,
        "reasons": list(dict.fromkeys(reason for _, reason in failing)),
        "metrics": cast(Metrics, metrics),
    }


def unexpected_failures(records: Sequence[Record]) -> list[str]:
    """A sentence for each target that does not pass for another reason than its expected
    failures."""
    forgiven = [
        cast(Record, {**record, "verdict": Verdict.SHIPS.value})
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
    """A verdict file of `records`, created now, the targets computed."""
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
    metadata: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    deselected: Sequence[dict[str, Any]],
) -> VerdictFile:
    """The verdict file of a run, over that of the run ``before`` which it extends, if any.

    ``found``: records by the id of their test, each perhaps with the ``run metadata`` that its
    worker saw. ``deselected``: records of tests that were not chosen: inconclusive, if their case
    was judged. ReportError if the subjects do not agree."""
    records: dict[str, Any] = {}
    whole = dict(metadata)
    if before:
        records = {record["nodeid"]: record for record in before["records"]}
        whole = merged(dict(before["metadata"]), whole)
    for nodeid, record in found.items():
        own = dict(record)
        whole = merged(whole, own.pop("metadata", {}))
        records[nodeid] = own
    picked = {_file(record["nodeid"]) for record in deselected if OTHERS in record["nodeid"]}
    whole_files = {_file(nodeid) for nodeid in found} - picked
    for nodeid in [n for n in records if OTHERS in n and _file(n) in whole_files]:
        del records[nodeid]
    judged = [record["target"] for record in records.values() if record["measurements"]]
    for record in deselected:
        if record["nodeid"] not in records and record["target"] in judged:
            undecided = {"verdict": Verdict.INCONCLUSIVE.value, "reason": "deselected, not run"}
            records[record["nodeid"]] = record | undecided
    return assemble(cast(RunMetadata, whole), records.values())


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def read(path: Path) -> VerdictFile:
    """The verdict file at `path`, or `verdicts.json` in that folder.

    ReportError if it is missing, truncated, edited, of another schema version, or if its targets
    are not what its records come to."""
    path = path / "verdicts.json" if path.is_dir() else path
    data = read_json(path)
    try:
        validate(data)
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    whole = cast(VerdictFile, data)
    if whole["targets"] != compute(whole["records"], whole["required"]):
        raise ReportError(f"{path}: $.targets: not what the records come to")
    return whole
