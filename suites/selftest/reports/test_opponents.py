"""What else could ship: what is dominated, what is gained for what, and that it is kept whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reports import opponents
from reports.opponents import Bounded, Entry, Race
from reports.schema import ReportError


def entry(name: str, megabytes: float, drop: float, ms: float, mode: str = "") -> Entry:
    """An entry whose bounds are half a point wide."""
    found = Bounded(drop, drop - 0.5, drop + 0.5)
    score = Bounded(80 - drop, 79 - drop, 81 - drop)
    size = round(megabytes * 1e6)
    return Entry(name, mode, size, score, score, found, found, ms, 2 * ms, memory_mb=ms)


SMALL, LARGE = entry("small", 1, 3, 1, "int4"), entry("large", 10, 0.5, 5)
WORSE = entry("worse", 10, 0.6, 5)
RACE = Race({"machine": "any"}, 1_340_000_000, (SMALL, WORSE, LARGE))


def test_what_another_equals_or_beats_in_everything_is_dominated() -> None:
    assert RACE.dominated() == {"worse": "large"}
    faster = replace(RACE, entries=(SMALL, replace(WORSE, p50_ms=4.9), LARGE))
    assert faster.dominated() == {}
    alike = replace(RACE, entries=(LARGE, replace(LARGE, name="its twin")))
    assert alike.dominated() == {}, "neither of two alike is better"


def test_the_table_marks_what_is_dominated_and_says_which_row_is_reached() -> None:
    printed = opponents.table(RACE)
    assert "| worse (dominated) | 10.00 | 134x |" in printed
    assert "worse is dominated by large." in printed
    assert "1,000x smaller (1.34 MB), upper bounds of both drops" in printed
    assert "at most 4.1 points: small int4; the best of that size has 3.50" in printed
    assert "at most 2.0 points: none; the best of that size has 3.50 (small int4)" in printed
    worse = replace(SMALL, balanced_drop=Bounded(3, 2, 4.11))
    assert "at most 4.1 points: none" in opponents.table(replace(RACE, entries=(worse,)))


def test_points_gained_are_of_each_megabyte_and_millisecond_more() -> None:
    gain = Bounded(2.5, 2.0, 3.0)
    dearer = replace(LARGE, gain=gain, balanced_gain=gain, cheaper="small int4")
    printed = opponents.table(replace(RACE, entries=(SMALL, dearer)))
    cell = "2.50 (2.00 to 3.00)"
    assert f"| large | small int4 | {cell} | {cell} | 0.28 | 0.62 |" in printed
    no_slower = replace(dearer, p50_ms=1)
    assert "| 0.28 | no slower |" in opponents.table(replace(RACE, entries=(SMALL, no_slower)))


def test_a_race_is_read_as_it_was_saved(tmp_path: Path) -> None:
    gained = replace(LARGE, gain=Bounded(1, 0, 2), balanced_gain=Bounded(1, 0, 2), cheaper="small")
    race = replace(RACE, entries=(SMALL, gained))
    race.save(tmp_path / "opponents.json")
    assert opponents.read(tmp_path / "opponents.json") == race
    (tmp_path / "opponents.json").write_text("{}")
    with pytest.raises(ReportError, match="no race of opponents"):
        opponents.read(tmp_path / "opponents.json")


def test_the_picture_names_every_entry(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the dependency group docs installs it")
    opponents.plot(RACE, tmp_path / "race.svg")
    drawn = (tmp_path / "race.svg").read_text()
    assert all(f">{name}<" in drawn for name in ("small", "large", "worse", "int4"))
