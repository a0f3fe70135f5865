"""A run in the formats of other tools: JUnit, CTRF, GitHub Actions, Bencher.

Each has the verdict's own words. Nothing becomes green that does not pass: what is inconclusive,
invalid or cannot run counts as failed. An expected failure is skipped, with its reason.

Sources: the XML schema of Jenkins' xUnit plugin; the JSON schema of ctrf.io, 0.0.0; GitHub's
documentation of workflow commands and job summaries; Bencher's reference of its Metric Format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from reports import aggregate, table
from reports.metrics import METRICS
from reports.page.explain import Explanation, explain
from reports.schema import Record, TargetVerdict, VerdictFile
from reports.verdict import PASSING, Verdict

# XML 1.0 has no place for these characters, escaped or not.
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# GitHub shows so many annotations of a step.
MAX_ANNOTATIONS = 10
# And takes so many bytes of a summary.
MAX_SUMMARY = 1_000_000
# Verdicts that say nothing of the candidate: for JUnit they are errors, and no failures.
_ERRORS = {Verdict.INVALID, Verdict.CANNOT_RUN}


@dataclass(frozen=True)
class _Case:
    """A test, or the verdict of a target: what the formats share.

    Attributes:
        suite: name of the target, or "every target".
        claim, name: of the test.
        verdict: the word.
        expected: whether it is an expected failure.
        seconds: that it took.
        text: why, what was demanded, and what to try; empty where it passes.
    """

    suite: str
    claim: str
    name: str
    verdict: Verdict
    expected: bool
    seconds: float
    text: str

    @property
    def passes(self) -> bool:
        return self.verdict in PASSING


def junit(runs: Sequence[VerdictFile]) -> str:
    """Return JUnit's XML: a suite for each target, a case for each test and for the verdict."""
    root = ElementTree.Element("testsuites", name="fit for the device")
    for run in runs:
        for suite, cases in _suites(run).items():
            _add_suite(root, suite, cases, run["created"])
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_suite(root: ElementTree.Element, name: str, cases: Sequence[_Case], created: str) -> None:
    counts = {
        "tests": len(cases),
        "failures": sum(_tag(case) == "failure" for case in cases),
        "errors": sum(_tag(case) == "error" for case in cases),
        "skipped": sum(_tag(case) == "skipped" for case in cases),
    }
    attributes = {
        "name": _xml(name),
        "timestamp": created,
        "time": f"{sum(case.seconds for case in cases):.3f}",
        **{key: str(count) for key, count in counts.items()},
    }
    suite = ElementTree.SubElement(root, "testsuite", attributes)
    for case in cases:
        element = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_xml(f"{name}.{case.claim}"),
            name=_xml(case.name),
            time=f"{case.seconds:.3f}",
        )
        if tag := _tag(case):
            said = _xml(f"{case.verdict}: {case.text}".split("\n")[0])
            detail = ElementTree.SubElement(element, tag, type=str(case.verdict), message=said)
            detail.text = _xml(case.text)


def _tag(case: _Case) -> str:
    """Return the element that tells why a case is not green; empty for one that passes."""
    if case.passes:
        return ""
    if case.expected:
        return "skipped"
    return "error" if case.verdict in _ERRORS else "failure"


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def ctrf(runs: Sequence[VerdictFile]) -> str:
    """Return the Common Test Report Format; `rawStatus` is the verdict."""
    cases = [case for run in runs for suite in _suites(run).values() for case in suite]
    status = ["passed" if c.passes else "skipped" if c.expected else "failed" for c in cases]
    tests = [
        {
            "name": f"{case.suite}: {case.name}",
            "status": state,
            "rawStatus": str(case.verdict),
            "duration": round(1000 * case.seconds),
            "suite": [case.suite, case.claim],
            **({"message": case.text} if case.text else {}),
        }
        for case, state in zip(cases, status, strict=True)
    ]
    stop = max(round(1000 * datetime.fromisoformat(run["created"]).timestamp()) for run in runs)
    counts = {name: status.count(name) for name in ("passed", "failed", "skipped")}
    summary = {"tests": len(cases), **counts, "pending": 0, "other": 0}
    spent = sum(case["duration"] for case in tests)  # type: ignore[misc]
    body = {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "results": {
            "tool": {"name": "fit for the device"},
            "summary": {**summary, "start": stop - spent, "stop": stop},
            "tests": tests,
        },
    }
    return json.dumps(body, indent=1) + "\n"


def github(runs: Sequence[VerdictFile]) -> str:
    """Return workflow commands: an annotation for each target that does not pass, worst first."""
    failing = [
        (found, run)
        for run in runs
        for found in run["targets"]
        if Verdict(found["verdict"]) not in PASSING
    ]
    lines = []
    for found, run in failing[:MAX_ANNOTATIONS]:
        of_target = [case for case in _cases(found, run) if not case.passes]
        level = "notice" if all(case.expected for case in of_target[1:]) else "error"
        title = f"{aggregate.name(found['target'])}: {found['verdict']}"
        reasons = "\n".join(dict.fromkeys(found["reasons"]))
        lines.append(f"::{level} title={_property(title)}::{_message(reasons)}")
    if len(failing) > MAX_ANNOTATIONS:
        left = f"{len(failing) - MAX_ANNOTATIONS} more targets do not pass: see the summary"
        lines.append(f"::error::{_message(left)}")
    return "".join(f"{line}\n" for line in lines)


def summary(runs: Sequence[VerdictFile]) -> str:
    """Return Markdown for GitHub's job summary: the answer, and the full report if it fits."""
    whole = "\n".join(table.markdown(run) for run in runs)
    if len(whole.encode()) <= MAX_SUMMARY:
        return whole
    lines = [f"{sentence}\n" for run in runs for sentence in table.answer(run["targets"])]
    return "\n".join(["# May I ship it?", "", *lines, "The whole report is verdicts.md.", ""])


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def bencher(runs: Sequence[VerdictFile]) -> str:
    """Return Bencher's Metric Format: a benchmark for each target, a measure for each metric.

    A metric with bounds has them; `lower_value` and `upper_value` are one-sided 95% bounds.
    """
    body = {}
    for run in runs:
        for found in run["targets"]:
            values = found["metrics"]
            measures = {}
            for metric in METRICS.values():
                value = values.get(metric.key)
                is_bound = metric.key.endswith(("_lower", "_upper"))
                if metric.kind not in (int, float) or value is None or is_bound:
                    continue
                bounds = {
                    f"{side}_value": values[f"{metric.key}_{side}"]
                    for side in ("lower", "upper")
                    if values.get(f"{metric.key}_{side}") is not None
                }
                measures[metric.key.replace("_", "-")] = {"value": value, **bounds}
            if measures:
                body[aggregate.name(found["target"])] = measures
    return json.dumps(body, indent=1) + "\n"


# What `python fit.py report --format` knows: the file's name, and what makes its text.
FORMATS: dict[str, tuple[str, Callable[[Sequence[VerdictFile]], str]]] = {
    "junit": ("junit.xml", junit),
    "ctrf": ("ctrf.json", ctrf),
    "bencher": ("bencher.json", bencher),
}


def _suites(run: VerdictFile) -> dict[str, list[_Case]]:
    """Return the cases of a run by target; the verdict of the target is the first."""
    found = {aggregate.name(each["target"]): _cases(each, run) for each in run["targets"]}
    every = [_case("every target", record, []) for record in run["records"] if not record["target"]]
    return found | ({"every target": every} if every else {})


def _cases(found: TargetVerdict, run: VerdictFile) -> list[_Case]:
    name = aggregate.name(found["target"])
    own = [record for record in run["records"] if record["target"] == found["target"]]
    shared = [record for record in run["records"] if record["target"] is None]
    explained = explain(found, [*own, *shared], run["required"])
    verdict = Verdict(found["verdict"])
    expected = bool(explained) and all(one.expected for one in explained)
    whole = _Case(name, "verdict", "verdict", verdict, expected, 0.0, "\n".join(found["reasons"]))
    return [whole, *(_case(name, record, explained) for record in own)]


def _case(suite: str, record: Record, explained: Sequence[Explanation]) -> _Case:
    verdict = Verdict(record["verdict"])
    name = record["nodeid"].partition("::")[2].partition("[")[0] or record["nodeid"]
    text = "" if verdict in PASSING else "\n".join(_told(record, explained))
    expected = record["expected_failure"] and record["outcome"] == "xfailed"
    return _Case(suite, record["claim"], name, verdict, expected, record["duration"], text)


def _told(record: Record, explained: Sequence[Explanation]) -> Iterator[str]:
    """Yield the reason, what was demanded, why, and what to try."""
    yield record["reason"]
    for one in explained:
        if (one.claim, one.found) == (record["claim"], record["reason"]):
            yield from (
                f"{label}: {said}"
                for label, said in (
                    ("demanded", one.demanded),
                    ("why", one.why),
                    ("try", one.advice),
                )
                if said
            )
            return
