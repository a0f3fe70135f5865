"""The page of a run: its figures are those of the verdict file, and it explains what fails."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from fit import main
from reports import aggregate, page
from reports.metrics import METRICS
from reports.page.explain import explain
from reports.schema import ReportError
from reports.verdict import Verdict
from suites.selftest.reports import pages
from suites.selftest.reports.runs import judged, write


class Words(HTMLParser):
    """The words of a page by cell of a table and by all, without markup."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.all: list[str] = []
        self._in_style = self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._in_style |= tag == "style"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_style &= tag != "style"
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            return
        self.all.append(data)
        if self._in_cell:
            self.rows[-1][-1] = " ".join([*self.rows[-1][-1].split(), *data.split()])

    def text(self) -> str:
        return " ".join(" ".join(self.all).split())


def words(data: Any) -> Words:
    return Words(page.render([data]))


def test_every_figure_of_a_target_is_the_verdict_file_s() -> None:
    data = pages.every_verdict()
    shown = words(data)
    shown_columns = [metric for metric in METRICS.values() if metric.in_terminal]
    for found in data["targets"]:
        name = aggregate.name(found["target"])
        (row,) = [row for row in shown.rows if len(row) > 4 and row[1] == name]
        assert row[2].endswith(found["verdict"])
        assert row[3:] == [metric.cell(found["metrics"]) for metric in shown_columns]
    rows = [row for row in shown.rows if row and row[0] == "negative"]
    assert rows[0][1:] == ["50 91% (-1)", "3 5% (+1)", "2 4%"]
    assert ["24", "80", "4.1", "4.4", "4.9", "9.0", ""] in shown.rows
    assert ["class: neutral", "50", "80.0", "69.3 to 87.6", "2.0 (-1.2 to 5.1)", ""] in shown.rows
    assert ["temperature", "41 °C", "55 °C"] in shown.rows


def test_the_answer_comes_first_and_is_the_terminal_s() -> None:
    from reports import table

    data = pages.every_verdict()
    text = words(data).text()
    (answer,) = table.answer(data["targets"])
    assert answer in text
    assert text.index(answer) < text.index("Verdicts")
    assert answer in table.terminal(data).replace("\n  ", " ")
    assert answer in table.markdown(data)


def test_a_projected_time_is_labelled_wherever_it_is_shown() -> None:
    text = words(pages.fleet()).text()
    assert "projected 291–614" in text
    assert "was not measured" in text


@pytest.mark.parametrize("verdict", ["inconclusive", "fails", "cannot run", "invalid"])
def test_what_does_not_pass_explains_itself(verdict: str) -> None:
    data = aggregate.assemble({}, judged({"latency": verdict}))
    (found,) = [t for t in data["targets"] if t["target"]["mode"] == "dynamic_range"]
    records = [r for r in data["records"] if r["target"] == found["target"]]
    (one,) = explain(found, records)
    assert (one.claim, one.verdict) == ("latency", Verdict(verdict))
    assert one.found == "latency is as it is"
    assert one.why.endswith(".") and one.advice.endswith(".")
    text = words(data).text()
    for sentence in (one.found, one.why, one.advice):
        assert sentence in text


def test_the_budget_that_is_missed_is_named() -> None:
    data = aggregate.assemble({}, judged({"memory": "fails"}))
    (found,) = [t for t in data["targets"] if t["verdict"] == "does not ship"]
    (one,) = explain(found, [r for r in data["records"] if r["target"] == found["target"]])
    assert one.demanded == "figure: at most 2 ms."
    assert "litert-compiled" in one.advice


def test_what_was_not_judged_is_explained_once() -> None:
    data = aggregate.assemble({}, [r for r in judged({}) if r["claim"] != "privacy"])
    (one,) = explain(data["targets"][0], [])[-1:]
    assert "privacy" in one.claim and "left the claim out" in one.why


def test_a_drop_of_the_checkpoint_is_not_blamed_on_the_mode() -> None:
    of = judged({"accuracy": "fails"})
    for agreement, word in ((99.0, "The checkpoint itself"), (90.0, "The mode changes labels")):
        for one in of:
            if one["target"]["mode"] == "dynamic_range" and one["metrics"]:
                one["metrics"]["agreement"] = agreement
        data = aggregate.assemble({}, of)
        found = data["targets"][0]
        own = [r for r in data["records"] if r["target"] == found["target"]]
        assert explain(found, own)[0].why.startswith(word)


def test_markup_in_names_is_text() -> None:
    text = page.render([pages.hostile()])
    assert "<script" not in text and "<img" not in text
    assert pages.HOSTILE.replace("\u202e", "").split("<")[0] in text
    assert "&lt;script&gt;" in text


def test_the_page_of_the_whole_matrix_is_small() -> None:
    data = pages.many()
    text = page.render([data])
    assert len(data["targets"]) == 168
    assert len(text.encode()) < 1_500_000
    assert text.count('<section id="target-') == 168


def test_two_runs_share_a_page_and_the_same_target_twice_is_refused() -> None:
    text = page.render([pages.every_verdict(), pages.fleet()])
    assert "pi3@qemu" in text and "mode5" in text
    with pytest.raises(ReportError, match=r"two of these runs judge host .* fit.py compare"):
        page.render([pages.every_verdict(), pages.every_verdict()])


def test_the_command_writes_the_page_beside_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out == f"page: {tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").read_text().lstrip().startswith("<!doctype html>")
    other = write(tmp_path / "other" / "verdicts.json", judged({"accuracy": "fails"}))
    assert main(["report", str(other), "--out", str(tmp_path / "page.html")]) == 0
    assert "Take float32" in (tmp_path / "page.html").read_text()
    assert main(["report", str(run), str(other)]) == 2


def test_a_page_without_its_ending_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A browser shows another file as plain text."""
    assert main(["report", str(run), "--out", str(tmp_path / "page")]) == 2
    assert "name a file that ends in .html" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_without_chromium_a_picture_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "BROWSERS", ("no-such-browser",))
    assert main(["report", str(run), "--picture", str(run.with_name("a.png"))]) == 2
    assert "apt install chromium" in capsys.readouterr().err
    assert not run.with_name("a.png").exists()


def test_a_profile_is_on_the_page_and_another_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "verdicts.json", judged({}))
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(pages.PROFILE))
    assert main(["report", str(run), "--profile", str(file)]) == 0
    shown = Words((tmp_path / "report.html").read_text())
    assert ["FULLY_CONNECTED", "156,300,000", "98.4%", ""] in shown.rows
    assert "add up to 100.5% of the whole" in shown.text()
    for option, command in (("--profile", "profile"), ("--errors", "layers")):
        assert main(["report", str(run), option, str(run)]) == 2
        assert f"write the file with `python fit.py {command} --out`" in capsys.readouterr().err


def test_the_errors_of_layers_are_on_the_page(tmp_path: Path) -> None:
    run = write(tmp_path / "verdicts.json", judged({}))
    file = tmp_path / "errors.json"
    file.write_text(json.dumps(pages.ERRORS))
    assert main(["report", str(run), "--errors", str(file)]) == 0
    rows = Words((tmp_path / "report.html").read_text()).rows
    assert ["layer 0", "1.50%", "+1.50", ""] in rows
    assert ["logits", "3.00%", "-1.25", ""] in rows


def test_the_page_of_the_main_job_has_the_figures_of_its_verdict_file() -> None:
    data = pages.main_job()
    shown = words(data)
    columns = [metric for metric in METRICS.values() if metric.in_terminal]
    for found in data["targets"]:
        name = aggregate.name(found["target"])
        (row,) = [row for row in shown.rows if len(row) > 4 and row[1] == name]
        assert row[3:] == [metric.cell(found["metrics"]) for metric in columns]
