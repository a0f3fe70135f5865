"""The gate: what is a regression on any machine, what is excused on another, what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fit import main
from reports import aggregate, schema
from reports.gate import Baseline, Finding, gate, read_baseline
from suites.selftest.reports.runs import METADATA, judged, planted, record, records, write

BASELINES = Path(__file__).parents[3] / "reports" / "baselines"
OTHER_MACHINE = METADATA | {"machine_info": {"cpu": "b"}}
TIMED = ("latency", "memory")
UNTIMED = ("footprint", "accuracy", "conformance", "privacy")


@pytest.fixture
def baseline(tmp_path: Path, run: Path) -> Path:
    """The baseline of the sound run."""
    path = tmp_path / "baseline.json"
    assert main(["baseline", str(run), "--out", str(path)]) == 0
    return path


@pytest.fixture
def status(tmp_path: Path, baseline: Path) -> Callable[..., int]:
    """Gate records against the baseline; the exit status."""

    def run_gate(of: list[Any], metadata: dict[str, Any] | None = None, *options: str) -> int:
        changed = write(tmp_path / "changed.json", of, metadata)
        return main(["gate", str(changed), "--baseline", str(baseline), *options])

    return run_gate


def regressions(run: Path, baseline: Path) -> list[str]:
    found = gate(aggregate.read(run), read_baseline(baseline))
    return [finding.text for finding in found if finding.regression]


def test_the_same_run_passes(status: Callable[..., int]) -> None:
    assert status(records()) == 0
    assert status(records(), OTHER_MACHINE) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", 78.9),
        ("agreement", 97.0),
        ("size_bytes", 25_900_000),
        ("operators", ["FULLY_CONNECTED v5", "GELU v2"]),
        ("dtypes", {"INT8": 119, "FLOAT32": 301}),
    ],
)
@pytest.mark.parametrize("metadata", [METADATA, OTHER_MACHINE], ids=["same", "other machine"])
def test_a_planted_loss_is_a_regression_on_any_machine(
    status: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: Any,
    metadata: dict[str, Any],
) -> None:
    assert status(planted(key, value), metadata) == 1
    assert f"REGRESSION: host / ai-edge-litert / dynamic_range: {key}" in capsys.readouterr().out


def test_a_slow_down_is_a_regression_on_the_same_machine_only(
    status: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(planted("p90_share_of_float32", 0.8)) == 1
    text = "host / ai-edge-litert / dynamic_range: p90_share_of_float32 0.6 → 0.8 (15% allowed)"
    assert f"REGRESSION: {text}" in capsys.readouterr().out
    assert status(planted("p90_share_of_float32", 0.8), OTHER_MACHINE) == 0
    assert f"look: {text}" in capsys.readouterr().out


def test_the_time_ratio_of_an_older_baseline_is_gated(
    baseline: Path, status: Callable[..., int]
) -> None:
    """It is the same statistic under another name."""

    def age(data: Any) -> None:
        data["schema"] = 2
        for target in data["targets"]:
            if share := target["figures"].pop("p90_share_of_float32", None):
                target["figures"]["time_ratio"] = share

    rewrite(baseline, age)
    assert status(planted("p90_share_of_float32", 0.6)) == 0
    assert status(planted("p90_share_of_float32", 0.8)) == 1


def test_a_baseline_of_several_runs_has_the_median_of_what_is_timed(tmp_path: Path) -> None:
    shares, out = (0.9, 0.5, 0.6), tmp_path / "baseline.json"
    runs = [
        str(write(tmp_path / f"{share}.json", planted("p90_share_of_float32", share)))
        for share in shares
    ]
    assert main(["baseline", *runs, "--out", str(out)]) == 0
    held = {t["target"]["mode"]: t["figures"] for t in read_baseline(out)["targets"]}
    assert held["dynamic_range"]["p90_share_of_float32"] == 0.6
    assert held["dynamic_range"]["size_bytes"] == 25_700_000
    other = write(tmp_path / "other.json", records(), OTHER_MACHINE)
    before = out.read_bytes()
    assert main(["baseline", *runs, str(other), "--out", str(out)]) == 2
    assert out.read_bytes() == before


def test_a_tolerance_can_be_given(status: Callable[..., int]) -> None:
    slow = planted("p90_share_of_float32", 0.8)
    assert status(slow, None, "--tolerance", "p90_share_of_float32=0.5") == 0
    assert status(planted("accuracy", 79.0), None, "--tolerance", "accuracy=0.7") == 0
    assert status(planted("accuracy", 79.0), None, "--tolerance", "agreement=0.7") == 1


@pytest.mark.parametrize(
    "text", ["operators=1", "speed=1", "accuracy", "accuracy=x", "accuracy=-1"]
)
def test_a_tolerance_that_means_nothing_is_refused(
    status: Callable[..., int], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    with pytest.raises(SystemExit):
        status(records(), None, "--tolerance", text)
    assert text.rpartition("=")[2] in capsys.readouterr().err


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
def test_instructions_are_held_to_two_percent_on_any_machine(
    counted: dict[str, float],
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever machine info the run has: the emulated board is the same."""
    paths = []
    for machine, instructions in (("a", COUNTED), ("b", {k: int(v) for k, v in counted.items()})):
        about = METADATA | {"machine_info": {"cpu": machine}}
        of = planted("instructions", instructions)
        paths.append(write(tmp_path / f"{machine}.json", of, about))
    assert main(["baseline", str(paths[0]), "--out", str(tmp_path / "baseline.json")]) == 0
    assert main(["gate", str(paths[1]), "--baseline", str(tmp_path / "baseline.json")]) == status
    assert said in capsys.readouterr().out


def test_milliseconds_are_not_compared(status: Callable[..., int]) -> None:
    slower = planted("p90_ms", 600.0)
    for one in slower:
        if one["target"]["mode"] == "float32" and one["metrics"]:
            one["metrics"]["p90_ms"] = 1000.0
    assert status(slower) == 0


def test_what_is_too_good_is_shown(
    status: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(planted("accuracy", 85.0)) == 0
    assert "look: " in capsys.readouterr().out


def test_a_missing_target_is_a_regression(status: Callable[..., int]) -> None:
    of = [r for r in records() if r["target"]["mode"] == "float32"]
    assert status(of) == 1
    assert status(of, OTHER_MACHINE) == 1


@pytest.mark.parametrize("claim", TIMED + UNTIMED)
@pytest.mark.parametrize("verdict", ["fails", "inconclusive"])
def test_a_worse_verdict_is_excused_on_another_machine_only_if_it_is_timed(
    status: Callable[..., int], claim: str, verdict: str
) -> None:
    worse = judged({claim: verdict})
    assert status(worse) == 1
    assert status(worse, OTHER_MACHINE) == (0 if claim in TIMED else 1)


def test_a_timed_claim_hides_no_other(status: Callable[..., int]) -> None:
    assert status(judged({"latency": "fails", "memory": "fails"}), OTHER_MACHINE) == 0
    assert status(judged({"latency": "fails", "privacy": "fails"}), OTHER_MACHINE) == 1


def test_a_claim_that_newly_fails_next_to_a_failing_one_is_a_regression(tmp_path: Path) -> None:
    """The verdict of the target is the same."""
    before = write(tmp_path / "before.json", judged({"latency": "fails"}))
    after = write(tmp_path / "after.json", judged({"latency": "fails", "privacy": "fails"}))
    baseline = tmp_path / "baseline.json"
    assert main(["baseline", str(before), "--out", str(baseline)]) == 0
    assert regressions(before, baseline) == []
    [text] = regressions(after, baseline)
    assert text.endswith("privacy fails, was passes")


@pytest.mark.parametrize(("claim", "regression"), [("memory", False), ("privacy", True)])
def test_claims_are_excused_one_by_one(tmp_path: Path, claim: str, regression: bool) -> None:
    """On another machine, where the verdict of the target stays the same."""
    before = write(tmp_path / "before.json", judged({"latency": "fails"}))
    baseline = tmp_path / "baseline.json"
    assert main(["baseline", str(before), "--out", str(baseline)]) == 0
    of = judged({"latency": "fails", claim: "fails"})
    after = write(tmp_path / "after.json", of, OTHER_MACHINE)
    assert bool(regressions(after, baseline)) == regression


@pytest.mark.parametrize(("claim", "regression"), [("memory", False), ("privacy", True)])
def test_without_claims_in_the_baseline_the_target_s_verdict_is_compared(
    tmp_path: Path, baseline: Path, claim: str, regression: bool
) -> None:
    """A baseline of schema 1 holds none."""
    rewrite(baseline, lambda data: [target.pop("claims") for target in data["targets"]])
    after = write(tmp_path / "after.json", judged({claim: "fails"}), OTHER_MACHINE)
    assert bool(regressions(after, baseline)) == regression


def test_a_claim_with_fewer_checks_is_a_regression(tmp_path: Path, run: Path) -> None:
    second = record("conformance", "float32", {})
    second["nodeid"] = second["nodeid"].replace("test_it", "test_again")
    more = write(tmp_path / "more.json", [*records(), second])
    baseline = tmp_path / "baseline.json"
    assert main(["baseline", str(more), "--out", str(baseline)]) == 0
    [text] = regressions(run, baseline)
    assert text.endswith("conformance has 1 checks, had 2")


@pytest.mark.parametrize(
    "what", ["invalid target", "no overlap", "figure gone", "other texts", "other dataset"]
)
def test_what_cannot_be_gated_never_passes(status: Callable[..., int], what: str) -> None:
    of, metadata = records(), dict(METADATA)
    if what == "invalid target":
        of = judged({"accuracy": "invalid"})
    elif what == "no overlap":
        for one in of:
            one["target"]["device"] = "pi4"
    elif what == "figure gone":
        for one in of:
            one["metrics"].pop("agreement", None)
    elif what == "other texts":
        metadata["splits"] = {"evaluation": "3 texts, sha256 abd"}
    else:
        metadata["dataset"] = "other"
    assert status(of, metadata) == 2


def test_only_the_evaluation_texts_must_be_the_same(status: Callable[..., int]) -> None:
    splits = {**METADATA["splits"], "train": "9 texts, sha256 def"}
    assert status(records(), METADATA | {"splits": splits}) == 0


def test_other_weights_are_said(
    status: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(records(), METADATA | {"weights_sha256": "b" * 64}) == 0
    assert (
        f"look: run metadata.weights_sha256: {'b' * 64}, was {'a' * 64}" in capsys.readouterr().out
    )


def test_a_figure_that_the_baseline_lacks_is_said(
    tmp_path: Path, baseline: Path, run: Path
) -> None:
    rewrite(baseline, lambda data: data["targets"][0]["figures"].pop("accuracy"))
    found = gate(aggregate.read(run), read_baseline(baseline))
    text = "host / ai-edge-litert / dynamic_range: accuracy is not in the baseline, and not gated"
    assert found == [Finding(False, text)]


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Edit a baseline, and make its checksum again."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(schema.to_json(data))


def rename_a_figure(data: Any) -> None:
    figures = data["targets"][0]["figures"]
    figures["acuracy"] = figures.pop("accuracy")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data: data.update(targets=[], target_names=[]), "without a target"),
        (lambda data: data["targets"].pop(), "not those in .*float32"),
        (lambda data: data["target_names"].pop(), "not those in .*float32"),
        (lambda data: data.pop("target_names"), "target_names: missing"),
        (lambda data: data["targets"][0].update(figures={}), "figures: empty"),
        (rename_a_figure, "did you mean 'accuracy'"),
        (lambda data: data["targets"][0]["figures"].update(accuracy="80"), "figures.accuracy"),
        (lambda data: data["targets"][0].update(verdict="invalid"), "is invalid"),
        (lambda data: data["targets"][0]["claims"].pop("privacy"), "privacy missing"),
        (
            lambda data: data["targets"][0]["claims"]["privacy"].update(verdict="fails"),
            "ships by the file; its claims say fails",
        ),
        (lambda data: data["metadata"].pop("weights_sha256"), "neither weights_sha256"),
        (lambda data: data["metadata"].pop("splits"), "splits: missing"),
        (lambda data: data["metadata"].pop("dataset"), "dataset: missing"),
        (lambda data: data.update(kind="report"), "not a baseline"),
        (lambda data: data.update(schema=7), "version 7"),
    ],
)
def test_a_baseline_that_gates_less_than_it_claims_is_invalid(
    baseline: Path, run: Path, change: Callable[[Any], object], sentence: str
) -> None:
    """Though its checksum was made again."""
    rewrite(baseline, change)
    with pytest.raises(schema.ReportError, match=sentence) as error:
        read_baseline(baseline)
    assert "\n" not in str(error.value)
    assert main(["gate", str(run), "--baseline", str(baseline)]) == 2


def test_a_missing_or_edited_baseline_is_invalid(tmp_path: Path, baseline: Path, run: Path) -> None:
    assert main(["gate", str(run), "--baseline", str(tmp_path / "none.json")]) == 2
    baseline.write_text(baseline.read_text().replace("79.6", "59.6"))
    assert main(["gate", str(run), "--baseline", str(baseline)]) == 2


def test_a_baseline_holds_no_milliseconds(baseline: Path) -> None:
    held = json.loads(baseline.read_text())["targets"]
    assert not [key for target in held for key in target["figures"] if key.endswith("_ms")]
    assert held[0]["figures"]["p90_share_of_float32"] == pytest.approx(0.6)


@pytest.mark.parametrize("path", sorted(BASELINES.glob("*.json")), ids=lambda path: path.stem)
def test_the_baselines_of_this_project_are_read(path: Path) -> None:
    baseline: Baseline = read_baseline(path)
    assert baseline["targets"]
