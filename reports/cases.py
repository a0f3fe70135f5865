"""From records to cases: a case ships only if every required claim was judged and all ship."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from reports.decision import PASSING, Verdict, rank, worst
from reports.schema import (
    REQUIRED,
    SCHEMA,
    Case,
    CaseVerdict,
    Facts,
    Record,
    ReportError,
    Subject,
    VerdictFile,
    checksum,
    merged,
    read_json,
    validate,
)

# Stands in a record's id for the tests of a file that were not named where others were.
OTHERS = "::*"


def key(case: Case) -> tuple[str, str, str]:
    """Device, runtime, mode: what a case is sorted and found by."""
    return case["device"], case["runtime"], case["mode"]


def name(case: Case) -> str:
    """`host / ai-edge-litert / dynamic_range`."""
    return " / ".join(key(case))


def compute(records: Sequence[Record], required: Sequence[str] = REQUIRED) -> list[CaseVerdict]:
    """The verdict of every case, sorted by name; a record without a case speaks for all of them."""
    cases = {key(record["case"]): record["case"] for record in records if record["case"]}
    return [
        _compute(case, [r for r in records if r["case"] in (case, None)], required)
        for _, case in sorted(cases.items())
    ]


def _compute(case: Case, records: Sequence[Record], required: Sequence[str]) -> CaseVerdict:
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
        found.append((Verdict.UNDECIDED, f"not judged: {', '.join(missing)}"))
    facts: dict[str, Any] = {}
    for record in records:
        if record["case"] is None:
            continue
        try:
            facts = merged(facts, record["facts"], "facts")
        except ReportError as error:
            found.append((Verdict.INVALID, f"{record['claim']}: {error}"))
    failing = sorted((f for f in found if f[0] not in PASSING), key=lambda f: -rank(f[0]))
    return {
        "case": case,
        "verdict": worst(verdict for verdict, _ in found).value,
        "reasons": list(dict.fromkeys(reason for _, reason in failing)),
        "facts": cast(Facts, facts),
    }


def unexplained(records: Sequence[Record]) -> list[str]:
    """A sentence for each case that does not pass for another reason than its known misses."""
    forgiven = [
        cast(Record, {**record, "verdict": Verdict.SHIPS.value})
        if record["known_miss"] and record["outcome"] == "xfailed"
        else record
        for record in records
    ]
    return [
        f"{name(found['case'])}: {found['verdict']}: {found['reasons'][0]}"
        for found in compute(forgiven)
        if Verdict(found["verdict"]) not in PASSING
    ]


def assemble(subject: Subject, records: Iterable[Record]) -> VerdictFile:
    """A verdict file of `records`, created now, the cases computed."""
    ordered = sorted(records, key=lambda record: record["nodeid"])
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "required": list(REQUIRED),
        "subject": subject,
        "records": ordered,
        "cases": compute(ordered),
    }
    return cast(VerdictFile, {**data, "sha256": checksum(data)})


def merge(
    before: VerdictFile | None,
    subject: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    deselected: Sequence[dict[str, Any]],
) -> VerdictFile:
    """The verdict file of a run, over that of the run ``before`` which it extends, if any.

    ``found``: records by the id of their test, each perhaps with the ``subject`` that its worker
    saw. ``deselected``: records of tests that were not chosen: undecided, if their case was judged.
    ReportError if the subjects do not agree.
    """
    records: dict[str, Any] = {}
    whole = dict(subject)
    if before:
        records = {record["nodeid"]: record for record in before["records"]}
        whole = merged(dict(before["subject"]), whole)
    for nodeid, record in found.items():
        own = dict(record)
        whole = merged(whole, own.pop("subject", {}))
        records[nodeid] = own
    picked = {_file(record["nodeid"]) for record in deselected if OTHERS in record["nodeid"]}
    whole_files = {_file(nodeid) for nodeid in found} - picked
    for nodeid in [n for n in records if OTHERS in n and _file(n) in whole_files]:
        del records[nodeid]
    judged = [record["case"] for record in records.values() if record["measurements"]]
    for record in deselected:
        if record["nodeid"] not in records and record["case"] in judged:
            undecided = {"verdict": Verdict.UNDECIDED.value, "reason": "deselected, not run"}
            records[record["nodeid"]] = record | undecided
    return assemble(cast(Subject, whole), records.values())


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def read(path: Path) -> VerdictFile:
    """The verdict file at `path`, or `verdicts.json` in that folder.

    ReportError if it is missing, truncated, edited, of another schema version, or if its cases are
    not what its records come to.
    """
    path = path / "verdicts.json" if path.is_dir() else path
    data = read_json(path)
    try:
        validate(data)
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    whole = cast(VerdictFile, data)
    if whole["cases"] != compute(whole["records"], whole["required"]):
        raise ReportError(f"{path}: $.cases: not what the records come to")
    return whole
