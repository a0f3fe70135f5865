"""Files of schema 1: read as schema 2, with the same values."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports import aggregate, migration, schema
from reports.gate import read_baseline

VERDICTS = Path(__file__).with_name("verdicts_schema_1.json")
BASELINE = Path(__file__).with_name("baseline_schema_1.json")


def numbers(value: Any) -> list[float]:
    """All numbers in a value, in order."""
    if isinstance(value, dict):
        return [n for key, v in value.items() if key != "schema" for n in numbers(v)]
    if isinstance(value, list):
        return [number for element in value for number in numbers(element)]
    return [value] if isinstance(value, int | float) else []


def words(value: Any) -> set[str]:
    """All keys in a value."""
    if isinstance(value, dict):
        return set(value).union(*map(words, value.values()))
    return set().union(*map(words, value)) if isinstance(value, list) else set()


def test_a_real_file_of_schema_1_is_read() -> None:
    found = aggregate.read(VERDICTS)
    verdicts = {aggregate.key(t["target"])[2]: t["verdict"] for t in found["targets"]}
    assert verdicts == {"dynamic_range": "invalid", "float32": "ships"}
    assert found["metadata"]["dataset"] == "brands"
    assert found["metadata"]["machine_info"]["preset"] == "quick"
    assert found["metadata"]["splits"]["evaluation"].startswith("6075 texts (")
    metrics = found["targets"][0]["metrics"]
    assert metrics["texts"] == 6075 and metrics["inference_p90_ms"] == pytest.approx(9.826249)
    assert {m["verdict"] for r in found["records"] for m in r["measurements"]} == {"passes"}


def test_no_value_is_changed_or_lost() -> None:
    old = json.loads(VERDICTS.read_text())
    assert numbers(migration.verdict_file(old)) == numbers(old)
    old = json.loads(BASELINE.read_text())
    assert numbers(migration.baseline(old)) == numbers(old)


def test_no_old_key_is_left() -> None:
    old = json.loads(VERDICTS.read_text())
    left = words(migration.verdict_file(old))
    tables = (migration.FILE, migration.METADATA, migration.RECORD, migration.MEASUREMENT)
    for table in (*tables, migration.METRICS, migration.MACHINE_INFO):
        assert not left & table.keys()


def test_an_edited_file_of_schema_1_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.json"
    path.write_text(VERDICTS.read_text().replace('"ships"', '"invalid"', 1))
    with pytest.raises(schema.ReportError, match="edited"):
        aggregate.read(path)


def test_a_verdict_of_schema_1_is_derived_too(tmp_path: Path) -> None:
    data = json.loads(VERDICTS.read_text())
    measured = next(m for r in data["records"] for m in r["measurements"] if m["budget"])
    measured.update(value=measured["budget"] * 9, low=None, high=None, sense="at most")
    path = tmp_path / "verdicts.json"
    path.write_text(schema.to_json(data))
    with pytest.raises(schema.ReportError, match="say fails"):
        aggregate.read(path)


@pytest.mark.parametrize("key", ["subject", "records", "cases", "required"])
def test_a_damaged_file_of_schema_1_is_one_sentence(tmp_path: Path, key: str) -> None:
    for damage in (None, 3, "x", ["x"]):
        data = json.loads(VERDICTS.read_text())
        data[key] = damage
        path = tmp_path / "verdicts.json"
        path.write_text(schema.to_json(data))
        with pytest.raises(schema.ReportError) as error:
            aggregate.read(path)
        assert "\n" not in str(error.value)


def test_a_baseline_of_schema_1_is_read() -> None:
    baseline = read_baseline(BASELINE)
    assert [target["verdict"] for target in baseline["targets"]] == ["conforms", "conforms"]
    assert baseline["metadata"]["machine_info"]["preset"] == "smoke"
    assert baseline["target_names"][0] == "pi4@qemu / ai-edge-litert / dynamic_range"
