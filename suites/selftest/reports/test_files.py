"""Verdict files, baselines, the gate, the comparison and the table."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fit import main
from reports import aggregate, schema, table

MODES = ("dynamic_range", "float32")
FACTS: dict[str, dict[str, Any]] = {
    "float32": {"size_bytes": 99_000_000, "p90_ms": 100.0, "agreement": 100.0, "accuracy": 80.0},
    "dynamic_range": {
        "size_bytes": 25_700_000,
        "p90_ms": 60.0,
        "inference_p90_ms": 58.0,
        "agreement": 99.0,
        "accuracy": 79.6,
        "accuracy_lower": 77.1,
        "accuracy_upper": 82.0,
        "operators": ["FULLY_CONNECTED v5", "GELU v1"],
        "dtypes": {"INT8": 120, "FLOAT32": 300},
    },
}


def record(claim: str, mode: str, metrics: dict[str, Any], verdict: str = "ships") -> Any:
    return {
        "nodeid": f"suites/test_{claim}.py::test_it[host-ai-edge-litert-{mode}]",
        "claim": claim,
        "target": {"device": "host", "runtime": "ai-edge-litert", "mode": mode},
        "measurements": [
            {
                "name": "figure",
                "value": 1.0,
                "unit": "ms",
                "lower": None,
                "upper": None,
                "budget": 2.0,
                "sense": "at most",
                "statistic": "exact",
                "verdict": verdict,
            }
        ],
        "metrics": metrics,
        "verdict": verdict,
        "reason": f"{claim} is as it is",
        "outcome": "passed" if verdict == "ships" else "failed",
        "expected_failure": False,
        "duration": 0.1,
    }


def records() -> list[Any]:
    return [
        record(claim, mode, copy.deepcopy(FACTS[mode]) if claim == "footprint" else {})
        for claim in schema.REQUIRED
        for mode in MODES
    ]


def write(path: Path, of: list[Any], metadata: dict[str, Any] | None = None) -> Path:
    stated = {"checkpoint": "tiny", "dataset": "brands", "splits": {"test": "abc"}}
    data = aggregate.assemble(metadata or stated, of)  # type: ignore[arg-type]
    schema.write_text(path, schema.to_json(data))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "verdicts.json", records())


@pytest.fixture
def gate(tmp_path: Path, run: Path) -> Callable[[list[Any]], int]:
    """Gate other records against the baseline of the sound run; the exit status."""
    baseline = tmp_path / "baseline.json"
    assert main(["baseline", str(run), "--out", str(baseline)]) == 0

    def status(of: list[Any]) -> int:
        changed = write(tmp_path / "changed.json", of)
        return main(["gate", str(changed), "--baseline", str(baseline)])

    return status


def planted(fact: str, value: Any, mode: str = "dynamic_range") -> list[Any]:
    changed = records()
    for one in changed:
        if one["target"]["mode"] == mode and one["metrics"]:
            one["metrics"][fact] = value
    return changed


def test_a_written_file_reads_back(run: Path) -> None:
    assert [found["verdict"] for found in aggregate.read(run)["targets"]] == ["ships", "ships"]


def test_a_truncated_file_is_an_error(run: Path) -> None:
    run.write_text(run.read_text()[:-20])
    with pytest.raises(schema.ReportError, match="truncated"):
        aggregate.read(run)


def test_an_edited_file_is_an_error(run: Path) -> None:
    run.write_text(run.read_text().replace('"value": 1.0', '"value": 0.5', 1))
    with pytest.raises(schema.ReportError, match="edited"):
        aggregate.read(run)


def test_another_schema_version_is_refused(run: Path) -> None:
    run.write_text(run.read_text().replace('"schema": 1', '"schema": 2', 1))
    with pytest.raises(schema.ReportError, match="version 2"):
        aggregate.read(run)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("verdict", "fine", "records[0].verdict"),
        ("duration", "long", "records[0].duration"),
        ("target", {"device": "host"}, "records[0].target.runtime"),
        ("metrics", {"accuracy": "upper"}, "records[0].metrics.accuracy"),
        ("mood", "good", "records[0].mood"),
    ],
)
def test_a_wrong_field_is_named(run: Path, field: str, value: object, path: str) -> None:
    data = json.loads(run.read_text())
    data["records"][0][field] = value
    data["sha256"] = schema.checksum(data)
    with pytest.raises(schema.ReportError) as error:
        schema.validate(data)
    assert path in str(error.value)


def test_a_case_verdict_that_its_records_do_not_support_is_an_error(run: Path) -> None:
    data = json.loads(run.read_text())
    data["records"][0]["verdict"] = "does not ship"
    run.write_text(schema.to_json(data))
    with pytest.raises(schema.ReportError, match="targets"):
        aggregate.read(run)


def test_nan_cannot_be_written_nor_read(run: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        schema.to_json({"value": float("nan")})
    run.write_text(run.read_text().replace('"value": 1.0', '"value": NaN', 1))
    with pytest.raises(schema.ReportError, match="NaN"):
        aggregate.read(run)


def test_a_claim_not_judged_leaves_the_case_undecided() -> None:
    found = aggregate.compute([r for r in records() if r["claim"] not in ("latency", "memory")])
    assert {target["verdict"] for target in found} == {"undecided"}
    assert found[0]["reasons"] == ["not judged: latency, memory"]


def test_what_cannot_run_is_not_said_to_be_unjudged_as_well() -> None:
    """Nothing of it can be measured; and where that is known, nothing is left to explain."""
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


def test_a_fact_given_twice_is_invalid() -> None:
    of = records()
    of[-1]["metrics"] = {"p90_ms": 1.0}
    float32 = aggregate.compute(of)[1]
    assert (float32["verdict"], "given twice" in float32["reasons"][0]) == ("invalid", True)


def test_a_record_without_a_case_speaks_for_all() -> None:
    shared: Any = {**record("privacy", "float32", {}, "does not ship"), "target": None}
    assert {c["verdict"] for c in aggregate.compute([*records(), shared])} == {"does not ship"}


def test_the_gate_lets_the_same_run_by(gate: Callable[[list[Any]], int]) -> None:
    assert gate(records()) == 0


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("accuracy", 78.9),
        ("agreement", 97.0),
        ("size_bytes", 25_900_000),
        ("operators", ["FULLY_CONNECTED v5", "GELU v2"]),
        ("dtypes", {"INT8": 119, "FLOAT32": 301}),
        ("p90_ms", 80.0),
    ],
)
def test_the_gate_catches_a_planted_loss(
    gate: Callable[[list[Any]], int], capsys: pytest.CaptureFixture[str], fact: str, value: Any
) -> None:
    assert gate(planted(fact, value)) == 1
    assert "REGRESSION" in capsys.readouterr().out


COUNTED = {"24": 161_000_000, "40": 270_000_000}


@pytest.mark.parametrize(
    ("counted", "status", "said"),
    [
        ({"24": 161_000_000 * 1.019, "40": 270_000_000}, 0, "0 regressions"),
        ({"24": 161_000_000 * 1.021, "40": 270_000_000}, 1, "of 24 tokens 161000000 → 164381000"),
        ({"24": 161_000_000, "40": 437_000_000}, 1, "of 40 tokens"),  # another length's
        ({"24": 161_000_000}, 1, "of 40 tokens 270000000 → none"),
        ({"24": 161_000_000, "40": 200_000_000}, 0, "look: "),
    ],
)
def test_the_gate_holds_instructions_to_two_percent_on_any_machine(
    counted: dict[str, float],
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever machine info the run has: the emulated board is the same."""
    paths = []
    for machine, instructions in (("a", COUNTED), ("b", {k: int(v) for k, v in counted.items()})):
        about = {"dataset": "brands", "splits": {"test": "abc"}, "machine_info": {"cpu": machine}}
        of = planted("instructions", instructions)
        paths.append(write(tmp_path / f"{machine}.json", of, about))
    assert main(["baseline", str(paths[0]), "--out", str(tmp_path / "baseline.json")]) == 0
    assert main(["gate", str(paths[1]), "--baseline", str(tmp_path / "baseline.json")]) == status
    assert said in capsys.readouterr().out


def test_the_gate_does_not_compare_milliseconds(gate: Callable[[list[Any]], int]) -> None:
    slower = planted("p90_ms", 600.0)
    for one in slower:
        if one["target"]["mode"] == "float32" and one["metrics"]:
            one["metrics"]["p90_ms"] = 1000.0
    assert gate(slower) == 0


def test_the_gate_shows_what_is_too_good(
    gate: Callable[[list[Any]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(planted("accuracy", 85.0)) == 0
    assert "look: " in capsys.readouterr().out


def test_the_gate_catches_a_missing_case(gate: Callable[[list[Any]], int]) -> None:
    assert gate([r for r in records() if r["target"]["mode"] == "float32"]) == 1


def test_the_gate_catches_a_worse_verdict(gate: Callable[[list[Any]], int]) -> None:
    worse = records()
    worse[0]["verdict"] = "does not ship"
    assert gate(worse) == 1


@pytest.mark.parametrize("what", ["invalid case", "no overlap", "figure gone", "other texts"])
def test_what_cannot_be_gated_never_passes(
    tmp_path: Path, run: Path, gate: Callable[[list[Any]], int], what: str
) -> None:
    of = records()
    if what == "invalid case":
        of[0]["verdict"] = "invalid"
    elif what == "no overlap":
        for one in of:
            one["target"]["device"] = "pi4"
    elif what == "figure gone":
        for one in of:
            one["metrics"].pop("agreement", None)
    else:
        other = write(tmp_path / "other.json", of, {"dataset": "brands", "splits": {"test": "x"}})
        baseline = str(tmp_path / "baseline.json")
        assert main(["gate", str(other), "--baseline", baseline]) == 2
        return
    assert gate(of) == 2


def test_a_missing_or_edited_baseline_is_invalid(tmp_path: Path, run: Path) -> None:
    baseline = tmp_path / "baseline.json"
    assert main(["gate", str(run), "--baseline", str(baseline)]) == 2
    main(["baseline", str(run), "--out", str(baseline)])
    baseline.write_text(baseline.read_text().replace("79.6", "59.6"))
    assert main(["gate", str(run), "--baseline", str(baseline)]) == 2


def test_a_baseline_holds_no_milliseconds(tmp_path: Path, run: Path) -> None:
    baseline = tmp_path / "baseline.json"
    main(["baseline", str(run), "--out", str(baseline)])
    held = json.loads(baseline.read_text())["targets"]
    assert not [key for target in held for key in target["figures"] if key.endswith("_ms")]
    assert held[0]["figures"]["time_ratio"] == pytest.approx(0.6)


@pytest.mark.parametrize(("key", "said"), [("pi4", "TIMES NOT COMPARED"), ("host", "p90_ms")])
def test_times_are_compared_on_one_board_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, said: str
) -> None:
    one = write(tmp_path / "a.json", records(), {"machine_info": "host"})
    other = write(tmp_path / "b.json", planted("p90_ms", 80.0), {"machine_info": key})
    assert main(["compare", str(one), str(other)]) == 0
    out = capsys.readouterr().out
    assert said in out
    assert ("p90_ms" in out) == (key == "host")


def test_the_table_fits_its_width() -> None:
    of: list[Any] = [
        {**r, "target": {**r["target"], "device": "jetson-nano"}, "reason": "because " * 40}
        for r in records()
    ]
    of[0]["verdict"] = "does not ship"
    text = table.table(aggregate.compute(of))
    assert max(map(len, text.splitlines())) <= table.WIDTH
    assert "25.7" in text
    assert "79.6 [77.1,82.0]" in text
    assert table.MISSING in text
    assert "does not ship – footprint: because" in text


def test_a_projected_latency_is_labelled_in_every_table(tmp_path: Path) -> None:
    of = planted("p90_ms", None)
    for one in of:
        one["target"]["device"] = "jetson_nano@qemu"
        one["metrics"].pop("p90_ms", None)
        for fact in ("accuracy", "accuracy_lower", "accuracy_upper"):  # not judged there
            one["metrics"].pop(fact, None)
        if one["claim"] == "latency":
            one["metrics"] |= {"projected_p90_lower_ms": 1530.2, "projected_p90_upper_ms": 3240.7}
            one["measurements"][0] |= {"sense": "projected", "budget": None}
    data = aggregate.read(write(tmp_path / "verdicts.json", of))
    tables = table.table(data["targets"]), table.markdown(data), table.paper(data)
    assert all("projected 1530–3241" in table for table in tables)
    assert max(map(len, tables[0].splitlines())) <= table.WIDTH
    rows = [line for line in tables[1].splitlines() if line.startswith("| latency")]
    assert rows and all("| projected |" in row for row in rows)


def test_the_sentence_names_every_verdict() -> None:
    of = records()
    of[0]["verdict"] = "does not ship"
    said = table.sentence(aggregate.compute(of))
    assert said == (
        "ships: host / ai-edge-litert / float32; "
        "does not ship: host / ai-edge-litert / dynamic_range"
    )


def test_markdown_shows_the_same_figures(run: Path) -> None:
    shown = table.markdown(aggregate.read(run))
    assert "| host | ai-edge-litert | dynamic_range | 25.7 |" in shown


def test_what_stands_beside_the_figures_is_shown(tmp_path: Path) -> None:
    """How it was loaded, the harness's share, and whether a board's memory was imposed."""
    of = records()
    assert "## Beside them" not in table.markdown(aggregate.assemble({}, of))
    metrics = {
        "first_text_ms": 31.26,
        "cpu_share": 0.984,
        "harness_overhead_ms": 0.0021,
        "memory_imposed": "memory not imposed: no rights",
    }
    next(one for one in of if one["target"]["mode"] == "float32")["metrics"] |= metrics
    data = aggregate.assemble({}, of)
    shown = table.markdown(data).partition("## Beside them")[2].partition("##")[0]
    assert "first text (ms)" in shown
    assert "| 31.3 |" in shown and "| 0.98 |" in shown and "| 0.002 |" in shown
    assert "memory not imposed: no rights |" in shown
    assert "dynamic_range" not in shown, "nothing is known of it"
    assert "host: memory not imposed: no rights" in table.terminal(data)


def test_the_paper_s_table_names_every_model_and_both_bases(tmp_path: Path) -> None:
    about: dict[str, Any] = {
        "size reference": {
            "name": "BERT-large",
            "parameters": 335_000_000,
            "weights_bytes": 1_340_000_000,
            "training_checkpoint_bytes": 4_020_000_000,
        },
        "accuracy reference": {
            "name": "teacher",
            "parameters": 22_000_000,
            "weights_bytes": 88_000_000,
            "training_checkpoint_bytes": 264_000_000,
            "accuracy": 81.0,
            "macro_f1": 80.0,
        },
    }
    drop = record("accuracy", "float32", {})
    drop["measurements"][0] |= {"name": "accuracy drop", "value": 1.4, "lower": 0.9, "upper": 1.9}
    data = aggregate.assemble({"models": about}, [*records(), drop])
    rows = [line for line in table.paper(data).splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [
        "BERT-large (size reference)",
        "teacher (accuracy reference)",
        "candidate, dynamic_range",
        "candidate, float32",
    ]
    assert "| 15.2× | 45.7× | 81.0 |" in rows[1]
    assert "1.4 [0.9, 1.9]" in rows[3] and "13.5× | 40.6×" in rows[3]
