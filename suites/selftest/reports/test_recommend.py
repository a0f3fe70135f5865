"""What to take of the targets that ship, and what is said where none does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fit import main
from reports import aggregate
from reports.recommend import Recommendation, recommend
from suites.selftest.reports.runs import judged, records, write


def found(mode: str, verdict: str = "ships", **metrics: Any) -> Any:
    target = {"device": "pi4", "runtime": "ai-edge-litert", "mode": mode}
    return {"target": target, "verdict": verdict, "reasons": [], "metrics": metrics}


def of(*targets: Any) -> Recommendation:
    (one,) = recommend(targets)
    return one


SMALL = found("int4", size_bytes=13_000_000, drop_upper=2.6, p90_ms=300.0, memory_mb=90.0)
FAST = found("dynamic_range", size_bytes=25_000_000, drop_upper=1.7, p90_ms=200.0, memory_mb=110.0)
EXACT = found("float32", size_bytes=99_000_000, drop_upper=1.6, p90_ms=400.0, memory_mb=400.0)


def test_the_fastest_that_is_not_dominated_is_taken_and_others_are_named() -> None:
    one = of(SMALL, FAST, EXACT)
    assert (one.take, one.smallest, one.fastest, one.most_accurate) == (FAST, SMALL, FAST, EXACT)
    assert one.sentence() == (
        "3 of 3 targets ship on pi4. Take dynamic_range on ai-edge-litert: "
        "25.0 MB, drop ≤ 1.7 points, p90 200.0 ms, memory 110 MB."
    )
    assert one.alternatives() == [
        "If size counts most, take int4 on ai-edge-litert: size 13.0 MB instead of 25.0.",
        "If accuracy counts most, take float32 on ai-edge-litert: "
        "drop ≤ 1.6 points instead of 1.7.",
    ]
    assert one.dominated == {}


def test_what_another_equals_or_beats_is_left_out() -> None:
    worse = found("float16", size_bytes=50_000_000, drop_upper=1.7, p90_ms=200.0, memory_mb=500.0)
    one = of(worse, FAST)
    assert one.take is FAST
    assert list(one.dominated) == ["pi4 / ai-edge-litert / float16"]
    assert one.lines()[-1].endswith("pi4 / ai-edge-litert / dynamic_range is no worse.")


def test_energy_decides_where_it_is_measured() -> None:
    thrifty = {**SMALL, "metrics": {**SMALL["metrics"], "energy_j": 1.0}}
    fast = {**FAST, "metrics": {**FAST["metrics"], "energy_j": 1.5}}
    assert of(thrifty, fast).take is thrifty
    assert of(thrifty, FAST).take is FAST, "one of them has no meter"


def test_what_does_not_pass_is_never_taken() -> None:
    better = found(
        "mixed", "does not ship", size_bytes=1, drop_upper=0.1, p90_ms=1.0, memory_mb=1.0
    )
    one = of(better, FAST)
    assert one.take is FAST and one.smallest is FAST
    assert one.sentence().startswith("1 of 2 targets ships on pi4.")


def test_where_nothing_ships_the_nearest_is_named_with_its_reason() -> None:
    near = found("int4", "inconclusive") | {"reasons": ["accuracy: the interval straddles it."]}
    far = found("float32", "invalid") | {"reasons": ["latency: busy"]}
    one = of(far, near)
    assert one.take is None
    assert one.sentence() == (
        "Nothing ships on pi4. int4 on ai-edge-litert: inconclusive: "
        "accuracy: the interval straddles it."
    )


def test_a_projected_time_is_labelled() -> None:
    values = {"projected_p90_lower_ms": 290.6, "projected_p90_upper_ms": 614.0}
    emulated = found("dynamic_range", "conforms", size_bytes=25_000_000, **values)
    assert of(emulated).sentence().endswith("25.0 MB, p90 projected 291–614 ms, not measured.")


def test_the_command_states_the_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write(tmp_path / "verdicts.json", records())
    assert main(["recommend", str(run)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 of 2 targets ship on host. Take dynamic_range on ai-edge-litert" in printed
    assert "least energy for a text" in printed
    nothing = judged({"accuracy": "fails"}, "float32")
    nothing = [r for r in nothing if r["target"]["mode"] == "float32"]
    assert main(["recommend", str(write(tmp_path / "other.json", nothing))]) == 0
    assert "Nothing ships on host" in capsys.readouterr().out
    assert aggregate.read(run)["targets"]
