"""A run in the formats of other tools: every verdict in its words, nothing green that fails."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fit import main
from reports import aggregate, formats
from reports.verdict import PASSING, Verdict
from suites.selftest.reports import pages
from suites.selftest.reports.runs import judged, write


def test_junit_has_every_verdict_and_nothing_green_that_does_not_pass() -> None:
    data = pages.every_verdict()
    root = ElementTree.fromstring(formats.junit([data]))
    suites = {suite.get("name"): suite for suite in root}
    for found in data["targets"]:
        suite = suites[aggregate.name(found["target"])]
        whole = suite[0]
        said = [child.get("type") for child in whole]
        passes = Verdict(found["verdict"]) in PASSING
        assert said == ([] if passes else [found["verdict"]])
        tags = Counter(child.tag for case in suite for child in case)
        counts = {"failure": "failures", "error": "errors", "skipped": "skipped"}
        assert {tag: int(suite.get(key, "")) for tag, key in counts.items()} == {
            tag: tags[tag] for tag in counts
        }
    words = {child.get("type") for case in root.iter("testcase") for child in case}
    assert {"inconclusive", "cannot run", "invalid"} <= words


def test_a_failure_says_what_was_demanded_and_what_to_try() -> None:
    text = formats.junit([pages.every_verdict()])
    details = [one.text or "" for one in ElementTree.fromstring(text).iter("failure")]
    assert any("demanded: " in one and "try: " in one for one in details)


def test_ctrf_counts_what_it_lists() -> None:
    data = pages.every_verdict()
    body = json.loads(formats.ctrf([data]))
    assert (body["reportFormat"], body["specVersion"]) == ("CTRF", "0.0.0")
    tests, summary = body["results"]["tests"], body["results"]["summary"]
    status = Counter(test["status"] for test in tests)
    assert summary["tests"] == len(tests)
    assert {name: summary[name] for name in status} == status
    assert summary["stop"] >= summary["start"] > 0
    for test in tests:
        assert (test["status"] == "passed") == (Verdict(test["rawStatus"]) in PASSING)


def test_github_gets_one_line_a_target_and_the_summary_is_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "verdicts.json", judged({"accuracy": "fails", "memory": "invalid"}))
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert main(["report", str(run), "--format", "github"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"summary: {summary}"
    (found,) = lines[:-1]
    command, title, *said = found.split("::", 2)[1].split(" ", 1)[0], *found.split("::", 2)[1:]
    assert command == "error"
    assert title.endswith("dynamic_range%3A invalid") and said
    assert summary.read_text().startswith("before\n# May I ship it?")


def test_bencher_gets_figures_with_their_bounds() -> None:
    data = pages.every_verdict()
    body = json.loads(formats.bencher([data]))
    for found in data["targets"]:
        values, measures = found["metrics"], body.get(aggregate.name(found["target"]), {})
        assert ("size_bytes" in values) == ("size-bytes" in measures)
        for name, measure in measures.items():
            key = name.replace("-", "_")
            assert measure["value"] == values[key]
            assert measure.get("upper_value") == values.get(f"{key}_upper")
    assert any("upper_value" in one for measures in body.values() for one in measures.values())


def test_hostile_names_break_no_format() -> None:
    data = pages.hostile()
    ElementTree.fromstring(formats.junit([data]))
    json.loads(formats.ctrf([data]))
    lines = formats.github([data]).splitlines()
    assert all(line.startswith(("::error", "::notice")) for line in lines)
    for line in lines:
        title = line.split(" title=")[1].split("::")[0] if " title=" in line else ""
        assert not set(title) & set(":,\r")


@pytest.mark.parametrize("name", formats.FORMATS)
def test_each_is_written_beside_the_verdict_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "verdicts.json", judged({}))
    assert main(["report", str(run), "--format", name]) == 0
    file = tmp_path / formats.FORMATS[name][0]
    assert capsys.readouterr().out == f"{name}: {file}\n"
    assert file.read_text().strip()
    assert main(["report", str(run), "--format", name, "--out", str(tmp_path / "x.txt")]) == 2
