"""What a reader sees: the terminal's table, Markdown, the paper's tables, the comparison."""

from pathlib import Path
from typing import Any

import pytest

from fit import main
from reports import aggregate, table
from suites.selftest.reports.runs import METADATA, judged, planted, record, records, write


def terminal(of: list[Any], legend: bool = False) -> str:
    return table.terminal(aggregate.assemble({}, of), legend)


def test_the_terminal_s_table_is_at_most_100_wide_with_the_verdict_in_front() -> None:
    of: list[Any] = [
        {**r, "target": {**r["target"], "device": "jetson_nano@qemu"}, "reason": "because " * 40}
        for r in judged({"footprint": "fails"})
    ]
    lines = terminal(of).splitlines()
    assert max(map(len, lines)) <= 100
    heading = next(line for line in lines if line.startswith("device"))
    assert heading.split()[:4] == ["device", "runtime", "mode", "verdict"]
    at = next(i for i, line in enumerate(lines) if "does not ship" in line)
    assert {"25.7", "79.6", table.MISSING} <= set(lines[at].split())
    assert lines[at + 1].startswith("  footprint: because")


def test_reasons_stand_under_what_does_not_pass_alone() -> None:
    lines = terminal(judged({"accuracy": "fails"})).splitlines()
    assert sum("accuracy is as it is" in line for line in lines) == 1
    assert not any("as it is" in line for line in terminal(records()).splitlines())


def test_claims_with_one_reason_share_a_line() -> None:
    of = records()
    for one in of:
        if one["claim"] in ("latency", "memory"):
            one.update(measurements=[], verdict="inconclusive", reason="deselected, not run")
    lines = terminal(of).splitlines()
    assert lines.count("  latency, memory: deselected, not run") == 2
    assert lines.count("  not judged: latency, memory") == 2


def test_the_legend_is_printed_on_request() -> None:
    assert "size of the model file" not in terminal(records())
    assert "size of the model file" in terminal(records(), legend=True)


def test_where_nothing_was_judged_there_is_no_table() -> None:
    of = records()
    for one in of:
        one.update(measurements=[], verdict="inconclusive", reason="deselected, not run")
    text = terminal(of)
    assert "device" not in text and "deselected" not in text
    assert text.endswith("Nothing was judged, so nothing ships.")


def test_a_wide_column_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    of = records()
    for one in of:
        one["target"]["device"] = "a-board-with-a-very-long-name-" * 2
    lines = terminal(of).splitlines()
    assert max(len(line) for line in lines if line.startswith("a-board")) <= 100
    assert any("ships" in line for line in lines if line.startswith("a-board"))


def test_a_projected_latency_is_labelled_everywhere(tmp_path: Path) -> None:
    of = planted("texts", 3)
    for one in of:
        one["target"]["device"] = "jetson_nano@qemu"
        one["metrics"].pop("p90_ms", None)
        if one["claim"] == "latency":
            one["metrics"] |= {
                "projected_p90_ms": 2000.0,
                "projected_p90_lower_ms": 1530.2,
                "projected_p90_upper_ms": 3240.7,
            }
            one["verdict"] = "conforms"
            projected = {"comparison": "projected", "budget": None, "verdict": "conforms"}
            one["measurements"][0] |= projected
    data = aggregate.read(write(tmp_path / "verdicts.json", of))
    assert {found["verdict"] for found in data["targets"]} == {"conforms"}
    assert "p90 projected 1530–3241 ms, not measured" in table.terminal(data)
    assert "projected 1530–3241" in table.paper(data)
    text = table.markdown(data)
    assert "projected p90 (ms)" in text and "2000 [1530, 3241]" in text
    rows = [line for line in text.splitlines() if line.startswith("| latency")]
    assert rows and all("| projected |" in row for row in rows)


def test_the_last_line_is_what_to_take() -> None:
    text = terminal(judged({"accuracy": "fails"}))
    assert text.endswith(
        "1 of 2 targets ships on host. Take float32 on ai-edge-litert: 99.0 MB, p90 100.0 ms."
    )


def test_markdown_s_tables_have_seven_columns_at_most(run: Path) -> None:
    text = table.markdown(aggregate.read(run))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert max(row.count(" | ") + 1 for row in rows) <= 7
    assert "| host / ai-edge-litert / dynamic_range | 25.7 |" in text
    assert "79.6 [77.1, 82.0]" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Verdicts", "## Size", "## Accuracy", "## Time", "## Every figure"]


def test_metrics_of_the_run_are_shown(tmp_path: Path) -> None:
    of = records()
    metrics = {
        "first_text_ms": 31.26,
        "cpu_share": 0.984,
        "harness_overhead_ms": 0.0021,
        "memory_imposed": "memory not imposed: no rights",
    }
    next(one for one in of if one["target"]["mode"] == "float32")["metrics"] |= metrics
    data = aggregate.assemble({}, of)
    shown = table.markdown(data)
    assert "first text (ms)" in shown
    assert "| 31.3 |" in shown and "| 0.98 |" in shown and "| 0.002 |" in shown
    assert "memory not imposed: no rights |" in shown
    assert "host: memory not imposed: no rights" in table.terminal(data)


def test_the_paper_s_tables_name_every_model_and_both_bases(tmp_path: Path) -> None:
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
    rows = [line for line in table.paper(data).splitlines() if line.startswith("| ")]
    assert max(row.count(" | ") + 1 for row in rows) <= 7
    first = [row.split(" | ")[0].strip("| ") for row in rows]
    targets = ["candidate, dynamic_range", "candidate, float32"]
    assert [name for name in first if name not in ("model", "---")] == [
        "BERT-large (size reference)",
        "teacher (accuracy reference)",
        *targets,
        *targets,
    ]
    text = "\n".join(rows)
    assert "| 15.2× (45.7×) | 81.0 |" in text
    assert "1.4 [0.9, 1.9]" in text and "13.5× (40.6×)" in text


@pytest.mark.parametrize(("cpu", "said"), [("b", "TIMES NOT COMPARED"), ("a", "p90_ms")])
def test_times_are_compared_on_one_machine_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cpu: str, said: str
) -> None:
    one = write(tmp_path / "a.json", records())
    about = METADATA | {"machine_info": {"cpu": cpu}}
    other = write(tmp_path / "b.json", planted("p90_ms", 80.0), about)
    assert main(["compare", str(one), str(other)]) == 0
    out = capsys.readouterr().out
    assert said in out
    assert ("p90_ms" in out) == (cpu == "a")


def test_what_a_list_gained_stands_below_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = METADATA["machine_info"]
    about = METADATA | {"machine_info": machine | {"note": "word " * 40}}
    one = write(tmp_path / "a.json", planted("operators", [f"OPERATOR_{i} v1" for i in range(20)]))
    other = write(tmp_path / "b.json", planted("operators", ["GELU v2"]), about)
    assert main(["compare", str(one), str(other)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run metadata: machine_info.note: – / word")
    assert any("dynamic_range: operators: -OPERATOR_0 v1" in line for line in lines)
    assert max(map(len, lines)) <= table.WIDTH
