"""The frontier of size against drop, as data; and that the plot shown is of it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common import atomic
from fit import main
from reports import aggregate, pareto, schema
from reports.pareto_plot import drawn_of

DOCS = Path(__file__).parents[3] / "docs"
VALUES = {
    "size_bytes": 8_022_784,
    "tokenizer_bytes": 100_000,
    "ratio_weights": 167.0966,
    "texts": 6075,
    "accuracy": 78.0576,
    "balanced_accuracy": 77.4934,
    "drop": 1.5844,
    "drop_upper": 1.9757,
    "balanced_drop": 1.1177,
    "balanced_drop_upper": 1.8541,
    "agreement": 98.1728,
}


def run(
    folder: Path,
    mode: str = "int4",
    runtime: str = "ai-edge-litert",
    *,
    weights: str = "a" * 64,
    dataset: str = "f" * 64,
    without: str = "",
    **metrics: Any,
) -> str:
    """A report of one target, whose metrics two claims state."""
    stated = {name: value for name, value in (VALUES | metrics).items() if name != without}
    metadata: Any = {
        "checkpoint": "small",
        "weights_sha256": weights,
        "accuracy_reference": "best",
        "splits": {"evaluation": f"6075 texts (2693 negative), sha256 {dataset}"},
        "models": {
            "candidate, PyTorch": {"name": "small", "parameters": 14_476_547, "weights_bytes": 4}
        },
    }
    record: Any = {
        "nodeid": "suites/test_accuracy.py::test_it",
        "claim": "accuracy",
        "target": {"device": "host", "runtime": runtime, "mode": mode},
        "measurements": [],
        "metrics": stated,
        "verdict": "inconclusive",
        "reason": "",
        "outcome": "passed",
        "expected_failure": False,
        "duration": 0.1,
    }
    atomic.write_text(
        folder / "verdicts.json", schema.to_json(aggregate.assemble(metadata, [record]))
    )
    return str(folder)


def test_a_later_judgement_replaces_the_line_of_the_same_weights_and_mode(tmp_path: Path) -> None:
    csv = tmp_path / "frontier.csv"
    small, large = run(tmp_path / "a"), run(tmp_path / "b", "float32", size_bytes=57_900_000)
    other = run(tmp_path / "c", weights="b" * 64)
    assert main(["frontier", small, large, "--csv", str(csv)]) == 0
    assert main(["frontier", other, "--csv", str(csv), "--name", "smaller"]) == 0
    assert main(["frontier", run(tmp_path / "a", drop=1.2345), "--csv", str(csv)]) == 0
    found = [(x.checkpoint, x.mode, x.bytes, x.drop) for x in pareto.read(csv)]
    assert found == [
        ("small", "float32", 57_900_000, 1.58),
        ("small", "int4", 8_022_784, 1.23),
        ("smaller", "int4", 8_022_784, 1.58),
    ]


def test_drops_that_do_not_compare_are_not_put_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv = tmp_path / "frontier.csv"
    assert main(["frontier", run(tmp_path / "a"), "--csv", str(csv)]) == 0
    before = csv.read_text()
    other = run(tmp_path / "b", "float32", dataset="e" * 64)
    assert main(["frontier", other, "--csv", str(csv)]) == 2
    assert "eeeeeeeeeeee against best" in capsys.readouterr().err
    assert csv.read_text() == before


@pytest.mark.parametrize(
    "lacks", [{"without": "drop_upper"}, {"without": "size_bytes"}, {"runtime": "tflite-runtime"}]
)
def test_a_run_without_a_line_says_so(lacks: dict[str, str], tmp_path: Path) -> None:
    found = aggregate.read(Path(run(tmp_path, **lacks)))
    with pytest.raises(schema.ReportError, match="no target on ai-edge-litert"):
        pareto.lines_of(found)


def test_a_model_file_made_elsewhere_has_no_line(
    tmp_path: Path,
) -> None:
    found = aggregate.read(Path(run(tmp_path)))
    found["metadata"]["model_file"] = "theirs.tflite, sha256 0"
    with pytest.raises(schema.ReportError, match=r"theirs\.tflite, sha256 0 was not made here"):
        pareto.lines_of(found)


def test_a_bound_is_kept_by_size_and_by_both_upper_bounds(tmp_path: Path) -> None:
    [line] = pareto.lines_of(aggregate.read(Path(run(tmp_path))))
    assert line == pareto.Line(
        checkpoint="small",
        weights_sha256="a" * 12,
        parameters=14_476_547,
        mode="int4",
        bytes=8_022_784,
        tokenizer_bytes=100_000,
        smaller_than_bert_large_weights=167.1,
        texts=6075,
        accuracy=78.06,
        balanced_accuracy=77.49,
        drop=1.58,
        drop_upper_95=1.98,
        balanced_drop=1.12,
        balanced_drop_upper_95=1.85,
        agreement=98.17,
        runtime="ai-edge-litert",
        accuracy_reference="best",
        evaluation_sha256="f" * 12,
    )
    assert line.keeps(160, 2.0)
    assert not line.keeps(170, 2.0)
    assert not replace(line, tokenizer_bytes=400_000).keeps(160, 2.0)
    assert not replace(line, drop_upper_95=2.1).keeps(160, 2.0)
    assert not replace(line, balanced_drop_upper_95=2.1).keeps(160, 2.0)
    said = list(pareto.summary([line]))
    assert said[0].endswith("points: small int4; the drops, but not their bounds: none")
    assert said[1].endswith("points: none; the drops, but not their bounds: none")
    said = list(pareto.summary([replace(line, drop_upper_95=2.1)]))
    assert said[0].endswith("points: none; the drops, but not their bounds: small int4")
    assert not replace(line, balanced_drop=2.1).keeps(160, 2.0, by_bounds=False)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    csv = tmp_path / "frontier.csv"
    assert main(["frontier", run(tmp_path), "--csv", str(csv)]) == 0
    csv.write_text(csv.read_text().replace("8022784", "8 MB"))
    with pytest.raises(schema.ReportError, match=r"line 2: .*8 MB"):
        pareto.read(csv)
    csv.write_text(csv.read_text().replace("texts", "Tweets"))
    with pytest.raises(schema.ReportError, match="columns"):
        pareto.read(csv)


def test_without_matplotlib_the_plot_names_what_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    files = ["--csv", str(tmp_path / "frontier.csv"), "--plot", str(tmp_path / "frontier.svg")]
    assert main(["frontier", run(tmp_path), *files]) == 2
    assert "--group docs" in capsys.readouterr().err


def test_the_plot_in_the_docs_is_of_the_lines_in_the_docs() -> None:
    lines = pareto.read(DOCS / "frontier.csv")
    assert lines == pareto.updated([], lines), "not as `python fit.py frontier` writes it"
    redraw = "python fit.py frontier --csv docs/frontier.csv --plot docs/frontier.svg"
    assert drawn_of(lines) in (DOCS / "frontier.svg").read_text(), redraw


def test_other_texts_are_told_in_one_line() -> None:
    first, second = (
        replace(pareto.read(DOCS / "frontier.csv")[0], mode=mode, evaluation_sha256=texts)
        for mode, texts in (("int4", "some"), ("int8", "other\x1c"))
    )
    with pytest.raises(schema.ReportError, match="drops on other texts") as error:
        pareto.updated([], [first, second])
    assert len(str(error.value).splitlines()) == 1
