"""The memory of the runs before: append-only, by machine, with changes of level."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fit import main
from reports import aggregate, history, schema
from reports.changes import LEAST, changes
from reports.schema import ReportError
from suites.selftest.reports.pages import HOSTILE
from suites.selftest.reports.runs import METADATA, planted

RATE = 0.02


def _run(path: Path, day: int, value: Any, key: str = "p90_ms", **metadata: Any) -> Path:
    """Write a verdict file in which dynamic_range has a value."""
    about: Any = {**METADATA, **metadata}
    data = aggregate.assemble(about, planted(key, value))
    data["created"] = f"2026-01-{day:02d}T12:00:00+00:00"
    path.write_text(schema.to_json(data))
    return path


def _past(folder: Path, values: Sequence[Any], key: str = "p90_ms", **metadata: Any) -> Path:
    for day, value in enumerate(values, 1):
        run = _run(folder.parent / "verdicts.json", day, value, key, **metadata)
        history.add(run, folder, f"c{day}")
    return folder


def _series(folder: Path, key: str) -> history.Series:
    found = history.series(history.read(folder))
    (one,) = (s for s in found if s.key == key and "dynamic_range" in s.target)
    return one


def test_without_a_change_alarms_are_no_more_than_stated() -> None:
    """A thousand series of noise: 20 alarms are expected at most; 35 has a probability of 0.1%."""
    random = np.random.default_rng(1)
    draws: list[Any] = [random.normal, random.standard_cauchy, random.exponential]
    alarms = sum(bool(changes(draws[n % 3](size=24), RATE)) for n in range(1000))
    assert 0 < alarms < 35


@pytest.mark.parametrize("place", [6, 12, 18])
def test_a_planted_step_is_found_where_it_is(place: int) -> None:
    """Three standard deviations of 24 values."""
    random, found = np.random.default_rng(2), 0
    for _ in range(50):
        values = random.normal(size=24)
        values[place:] += 3
        cuts = changes(values, RATE)
        found += len(cuts) == 1 and abs(cuts[0] - place) <= 1
    assert found >= 43


def test_two_steps_are_found_and_too_few_values_give_none() -> None:
    values = np.random.default_rng(3).normal(size=60)
    values[20:] += 5
    values[40:] -= 5
    assert changes(values, RATE) == pytest.approx([20, 40], abs=1)
    assert not changes(np.array([1.0] * LEAST + [9.0] * (LEAST - 1)), RATE)
    assert not changes(np.ones(30), RATE)


def test_a_run_is_added_once_and_never_overwritten(tmp_path: Path) -> None:
    run, folder = _run(tmp_path / "verdicts.json", 1, 5.0), tmp_path / "past"
    kept, is_new = history.add(run, folder, "abc")
    before = kept.read_bytes()
    assert is_new and kept.name.startswith("20260101T120000Z-abc-")
    assert history.add(run, folder, "other") == (kept, False)
    assert [*folder.iterdir()] == [kept] and kept.read_bytes() == before
    assert aggregate.read(kept)["targets"] == aggregate.read(run)["targets"]


def test_a_change_of_level_names_its_run_and_commit(tmp_path: Path) -> None:
    noise = np.random.default_rng(4).normal(1, 0.01, 40)
    values = [float(x * (1.3 if n >= 20 else 1)) for n, x in enumerate(noise[:28])]
    key = "p90_share_of_float32"
    one = _series(_past(tmp_path / "past", values, key), key)
    (change,) = one.changes
    assert change.entry.commit == "c21"
    assert change.after / change.before == pytest.approx(1.3, abs=0.03)
    assert "commit c21" in history.sentence(change, one)


def test_a_figure_that_is_exact_changes_with_any_other_value(tmp_path: Path) -> None:
    one = _series(_past(tmp_path / "past", [100, 100, 101, 101, 100], "size_bytes"), "size_bytes")
    assert [(change.index, change.after) for change in one.changes] == [(2, 101), (4, 100)]
    assert not one.changes[0].entry.run["targets"][0]["metrics"].get("none")


def test_machines_candidates_and_texts_are_series_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "past"
    _past(folder, [100, 100], "size_bytes", machine_info={"cpu": "A"})
    _past(folder, [100, 200], "size_bytes", machine_info={"cpu": "B"})
    _past(folder, [300], "size_bytes", dataset="other")
    found = [s for s in history.series(history.read(folder)) if s.key == "size_bytes"]
    ours = [s for s in found if "dynamic_range" in s.target]
    assert sorted(len(s.points) for s in ours) == [1, 2, 2]
    assert sum(len(s.changes) for s in ours) == 1


def test_the_page_has_every_change_and_escapes_every_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _past(tmp_path / "past", [100, 101], "size_bytes", checkpoint=HOSTILE)
    assert main(["history", "show", "--history", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "size_bytes 100 → 101 bytes (+1.0%)" in " ".join(printed.split())
    page = (folder / history.NAME).read_text()
    assert "size_bytes 100 → 101 bytes" in page and "<script" not in page
    assert main(["history", "show", "--history", str(folder)]) == 0, "the page is no run"


@pytest.mark.parametrize(
    "given",
    [["add"], ["show", "RUN"], ["show"], ["add", "RUN", "--commit", "../x"]],
)
def test_what_cannot_be_done_is_said(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path / "verdicts.json", 1, 5.0)
    asked = [str(run) if each == "RUN" else each for each in given]
    assert main(["history", *asked, "--history", str(tmp_path / "past")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "past").exists()


def test_a_damaged_file_of_the_history_is_named(tmp_path: Path) -> None:
    folder = _past(tmp_path / "past", [100], "size_bytes")
    (kept,) = folder.iterdir()
    body = json.loads(kept.read_text())
    body["targets"][0]["metrics"]["size_bytes"] = 1
    kept.write_text(json.dumps(body))
    with pytest.raises(ReportError, match=kept.name):
        history.read(folder)
    (folder / "mine.json").write_text("{}")
    kept.unlink()
    with pytest.raises(ReportError, match=r"mine\.json: not a name of the history"):
        history.read(folder)
