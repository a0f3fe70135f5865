"""The table of metrics: one row, and a metric is checked, shown, compared, gated and documented."""

from pathlib import Path

import pytest

from fit import main
from reports import aggregate, metrics, table
from reports.check import Check, new_record
from reports.metrics import METRICS, Metric, Tolerance
from reports.verdict import Invalid
from suites.selftest.reports.runs import planted, write

ROW = Metric(
    "wakeups",
    int,
    "wake-ups of the processor for one text",
    heading="wake-ups",
    section="other",
    better="lower",
    tolerance=Tolerance(2),
)


def check() -> Check:
    return Check(new_record("suites/test_accuracy.py::test_it"))


def test_a_row_is_all_that_a_metric_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Invalid, match="'wakeups' is not a metric"):
        check().metrics(wakeups=3)
    monkeypatch.setitem(METRICS, "wakeups", ROW)
    check().metrics(wakeups=3)
    with pytest.raises(Invalid, match=r"metrics\.wakeups: expected .*int"):
        check().metrics(wakeups="many")
    few = write(tmp_path / "few.json", planted("wakeups", 3))
    many = write(tmp_path / "many.json", planted("wakeups", 6))
    assert "wake-ups |" in table.markdown(aggregate.read(few))
    assert "| host / ai-edge-litert / dynamic_range | 3 |" in table.markdown(aggregate.read(few))
    assert main(["compare", str(few), str(many)]) == 0
    assert "wakeups 3 6 +100.0%" in " ".join(capsys.readouterr().out.split())
    baseline = str(tmp_path / "baseline.json")
    assert main(["baseline", str(few), "--out", baseline]) == 0
    assert main(["gate", str(few), "--baseline", baseline]) == 0
    assert main(["gate", str(many), "--baseline", baseline]) == 1
    assert "wakeups 3 → 6 (2 allowed)" in capsys.readouterr().out
    assert main(["metrics"]) == 0
    assert "| `wakeups` | int |  | wake-ups of the processor" in capsys.readouterr().out


def test_a_row_may_have_a_column_in_the_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = Metric("wakeups", int, "wake-ups", heading="wake-ups", in_terminal=True)
    monkeypatch.setitem(METRICS, "wakeups", row)
    data = aggregate.read(write(tmp_path / "few.json", planted("wakeups", 31)))
    assert "wake-ups" in table.terminal(data) and " 31\n" in table.terminal(data)


def test_a_key_that_is_no_metric_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(Invalid, match="did you mean 'texts_per_s'") as error:
        check().metrics(text_per_s=3.0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "fast", True, None])
def test_a_value_of_another_type_is_invalid(value: object) -> None:
    with pytest.raises(Invalid, match="p90_ms"):
        check().metrics(p90_ms=value)


def test_every_row_has_a_meaning_and_its_own_key() -> None:
    assert all(metric.meaning and key == metric.key for key, metric in METRICS.items())


def test_a_metric_with_an_interval_has_rows_for_its_bounds() -> None:
    for metric in METRICS.values():
        values = dict.fromkeys(METRICS, 1.0)
        assert metrics.bounds(metric, values) or not metric.has_interval, metric.key


def test_the_reference_has_seven_columns() -> None:
    lines = metrics.reference().splitlines()
    assert len(lines) == len(METRICS) + 2
    assert {line.count(" | ") for line in lines} == {6}
