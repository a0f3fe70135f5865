"""Reading a verdict file: what is damaged, contradicts itself or was edited is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports import aggregate, schema
from suites.selftest.reports.runs import judged, record, records, write


def edited(path: Path, change: Callable[[dict[str, Any]], object], derive: bool = False) -> None:
    """Edit a verdict file as an insider would: with a new checksum, perhaps with new targets."""
    data = json.loads(path.read_text())
    change(data)
    if derive:
        data["targets"] = aggregate.compute(data["records"], data["required"])
    path.write_text(schema.to_json(data))


def test_a_written_file_reads_back(run: Path) -> None:
    assert [found["verdict"] for found in aggregate.read(run)["targets"]] == ["ships", "ships"]


def test_a_truncated_file_is_an_error(run: Path) -> None:
    run.write_text(run.read_text()[:-20])
    with pytest.raises(schema.ReportError, match="truncated"):
        aggregate.read(run)


def test_a_deeply_nested_file_is_an_error(run: Path) -> None:
    run.write_text("[" * 100_000)
    with pytest.raises(schema.ReportError, match="nested too deep"):
        aggregate.read(run)


def test_an_edited_file_is_an_error(run: Path) -> None:
    run.write_text(run.read_text().replace('"value": 1.0', '"value": 0.5', 1))
    with pytest.raises(schema.ReportError, match="edited"):
        aggregate.read(run)


@pytest.mark.parametrize("version", [0, 3, "2", None])
def test_another_schema_version_is_refused(run: Path, version: object) -> None:
    edited(run, lambda data: data.update(schema=version))
    with pytest.raises(schema.ReportError, match="version"):
        aggregate.read(run)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("verdict", "fine", "records[0].verdict"),
        ("verdict", "ships", "records[0].verdict"),  # a check passes, a target ships
        ("duration", "long", "records[0].duration"),
        ("target", {"device": "host"}, "records[0].target.runtime"),
        ("metrics", {"accuracy": "upper"}, "records[0].metrics.accuracy"),
        ("metrics", {"accurracy": 80.0}, "did you mean 'accuracy'"),
        ("mood", "good", "records[0].mood"),
    ],
)
def test_a_wrong_field_is_named(run: Path, field: str, value: object, path: str) -> None:
    edited(run, lambda data: data["records"][0].update({field: value}))
    with pytest.raises(schema.ReportError) as error:
        aggregate.read(run)
    assert path in str(error.value)


def over_budget(data: dict[str, Any]) -> None:
    data["records"][0]["measurements"][0]["value"] = 3.0


def straddling(data: dict[str, Any]) -> None:
    data["records"][0]["measurements"][0].update(value=1.5, lower=1.0, upper=2.5)


def without_budget(data: dict[str, Any]) -> None:
    data["records"][0]["measurements"][0]["budget"] = None


def does_not_hold(data: dict[str, Any]) -> None:
    data["records"][0]["measurements"][0].update(comparison="holds", value=0.0, budget=None)


def passes_without_measurement(data: dict[str, Any]) -> None:
    data["records"][0]["measurements"] = []


def passes_above_its_measurements(data: dict[str, Any]) -> None:
    data["records"][0]["measurements"][0].update(value=3.0, verdict="fails")


def moved_claim(data: dict[str, Any]) -> None:
    data["records"][0]["claim"] = "energy"


def no_required(data: dict[str, Any]) -> None:
    data["required"] = []


def fewer_required(data: dict[str, Any]) -> None:
    data["required"].remove("privacy")
    data["records"] = [r for r in data["records"] if r["claim"] != "privacy"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (over_budget, "figure passes by the file; value, bounds and budget say fails"),
        (straddling, "say inconclusive"),
        (without_budget, "say invalid"),
        (does_not_hold, "say fails"),
        (passes_without_measurement, "nothing was measured"),
        (passes_above_its_measurements, "its measurements say fails"),
        (moved_claim, "not that of its nodeid"),
        (no_required, "footprint, accuracy, latency, memory, conformance, privacy missing"),
        (fewer_required, "privacy missing"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_contradicts_itself_is_refused(
    run: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    """Though its checksum was made again, and its targets computed from its records."""
    edited(run, change, derive=True)
    with pytest.raises(schema.ReportError, match=sentence) as error:
        aggregate.read(run)
    assert "\n" not in str(error.value)


def test_targets_are_derived_from_the_records(run: Path) -> None:
    edited(run, lambda data: data["records"].pop(0))
    with pytest.raises(schema.ReportError, match="targets: not what the records come to"):
        aggregate.read(run)


def test_without_the_records_of_a_claim_a_target_no_longer_ships(run: Path) -> None:
    def remove(data: dict[str, Any]) -> None:
        data["records"] = [r for r in data["records"] if r["claim"] != "privacy"]

    edited(run, remove, derive=True)
    verdicts = [found["verdict"] for found in aggregate.read(run)["targets"]]
    assert verdicts == ["inconclusive", "inconclusive"]


def test_a_figure_that_was_not_finite_stays_invalid(run: Path) -> None:
    """Its bounds are null in the file, as those of an exact figure are."""

    def change(data: dict[str, Any]) -> None:
        data["records"][0]["verdict"] = "invalid"
        data["records"][0]["measurements"][0]["verdict"] = "invalid"

    edited(run, change, derive=True)
    assert "invalid" in [found["verdict"] for found in aggregate.read(run)["targets"]]


def test_nan_cannot_be_written_nor_read(run: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        schema.to_json({"value": float("nan")})
    run.write_text(run.read_text().replace('"value": 1.0', '"value": NaN', 1))
    with pytest.raises(schema.ReportError, match="NaN"):
        aggregate.read(run)


def test_a_claim_not_judged_makes_the_target_inconclusive() -> None:
    found = aggregate.compute([r for r in records() if r["claim"] not in ("latency", "memory")])
    assert {target["verdict"] for target in found} == {"inconclusive"}
    assert found[0]["reasons"] == ["not judged: latency, memory"]


def test_a_target_that_cannot_run_has_no_claims_not_judged() -> None:
    """And where that is expected, nothing is left to explain."""
    of = records()
    for one in of:
        if one["target"]["mode"] == "float32":
            one.update(verdict="cannot run", reason="no such operator", measurements=[])
    found = {target["target"]["mode"]: target for target in aggregate.compute(of)}["float32"]
    assert found["verdict"] == "cannot run"
    assert not any("not judged" in reason for reason in found["reasons"])
    assert any("cannot run" in sentence for sentence in aggregate.unexpected_failures(of))
    for one in of:
        if one["target"]["mode"] == "float32":
            one.update(expected_failure=True, outcome="xfailed")
    assert not any("float32" in sentence for sentence in aggregate.unexpected_failures(of))


def test_a_metric_given_twice_is_invalid() -> None:
    of = records()
    of[-1]["metrics"] = {"p90_ms": 1.0}
    float32 = aggregate.compute(of)[1]
    assert (float32["verdict"], "given twice" in float32["reasons"][0]) == ("invalid", True)


def test_a_record_without_a_target_counts_for_all() -> None:
    shared: Any = {**record("privacy", "float32", {}, "fails"), "target": None}
    assert {c["verdict"] for c in aggregate.compute([*records(), shared])} == {"does not ship"}


def test_a_failing_check_makes_its_target_not_ship(tmp_path: Path) -> None:
    data = aggregate.read(write(tmp_path / "verdicts.json", judged({"accuracy": "fails"})))
    verdicts = {target["target"]["mode"]: target["verdict"] for target in data["targets"]}
    assert verdicts == {"dynamic_range": "does not ship", "float32": "ships"}
    assert {r["verdict"] for r in data["records"]} == {"passes", "fails"}


def test_what_a_message_quotes_of_a_file_is_cut() -> None:
    with pytest.raises(schema.ReportError, match="this reader knows version") as error:
        schema.check_header({"schema": ["x" * 3000]})
    assert len(str(error.value)) < 300
    assert len(str(schema.ReportError("x" * 3000))) < 1000
