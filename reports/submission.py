"""The check of verdict files that others made: what is missing, contradicts itself, is impossible.

`reports.aggregate.read` derives every verdict. This goes further: a test of this version that left
no record, and figures that cannot all be true.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reports import aggregate
from reports.metrics import METRICS, MISSING
from reports.schema import ReportError, TargetVerdict, VerdictFile
from reports.table import WIDTH, aligned
from reports.verdict import Verdict

SUITES = Path(__file__).parents[1] / "suites"
_EMULATED = "@qemu"


@dataclass(frozen=True)
class Submission:
    """A verdict file and its faults, one sentence each. Without `data` it cannot be read."""

    path: Path
    data: VerdictFile | None
    faults: tuple[str, ...]


def check(path: Path, suites: Path = SUITES) -> list[Submission]:
    """Check a verdict file, or every `verdicts.json` and other JSON verdict file of a folder.

    Args:
        path: a file, or a folder that is searched with all folders in it.
        suites: the folder of the claims whose tests must each have a record.

    Raises:
        ReportError: there is no such file, or no verdict file in the folder.
    """
    if not path.exists():
        raise ReportError(f"{path}: no such file or folder")
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    files = [file for file in files if not path.is_dir() or file.name != "benchmark.json"]
    if not files:
        raise ReportError(f"{path}: no verdict file (*.json) in this folder")
    return [_check_file(file, suites) for file in files]


def _check_file(file: Path, suites: Path) -> Submission:
    try:
        data = aggregate.read(file)
    except ReportError as error:
        return Submission(file, None, (str(error).removeprefix(f"{file}: "),))
    faults = [*_metadata_faults(data), *missing_tests(data, suites)]
    for found in data["targets"]:
        name = aggregate.name(found["target"])
        faults += [f"{name}: {fault}" for fault in _impossible(found, data["metadata"])]
    return Submission(file, data, tuple(faults))


def _metadata_faults(data: VerdictFile) -> Iterator[str]:
    about = data["metadata"]
    for field in ("dataset", "splits", "machine_info"):
        if field not in about:
            yield f"metadata.{field} is missing"
    if not {"weights_sha256", "model_file"} & about.keys():
        yield "metadata has neither weights_sha256 nor model_file"
    created = datetime.fromisoformat(data["created"])
    if created > datetime.now(UTC) + timedelta(days=1):
        yield f"created in the future: {data['created']}"
    if not data["targets"]:
        yield "no target was judged"


def missing_tests(data: VerdictFile, suites: Path = SUITES) -> list[str]:
    """Return a sentence for each test of a required claim that left no record for a target."""
    recorded: dict[tuple[str, str, str], set[str]] = {}
    for record in data["records"]:
        if record["target"]:
            test = record["nodeid"].partition("[")[0].rpartition("::")[2]
            recorded.setdefault(aggregate.key(record["target"]), set()).add(test)
    missing = []
    for found in data["targets"]:
        if found["verdict"] == Verdict.CANNOT_RUN:
            continue
        target = found["target"]
        for claim in data["required"]:
            for test, conditions in _tests(suites / f"test_{claim}.py").items():
                if _applies(conditions, target) and test not in recorded.get(
                    aggregate.key(target), ()
                ):
                    missing.append(f"{aggregate.name(target)}: no record of {claim}: {test}")
    return missing


def _tests(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the tests of a claim file: the conditions of their mark `only`."""
    if not path.exists():
        return {}
    tests: dict[str, Mapping[str, Any]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
            continue
        conditions: dict[str, Any] = {}
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.only":
                conditions |= {k.arg or "": ast.literal_eval(k.value) for k in call.keywords}
        tests[node.name] = conditions
    return tests


def _applies(conditions: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    """Whether a test surely ran for a target.

    False where a condition is of what the file does not hold: an option, or the machine.
    """
    has = {
        "runtime": target["runtime"],
        "mode": target["mode"],
        "emulated": target["device"].endswith(_EMULATED),
    }
    return all(
        name in has and has[name] in (wanted if isinstance(wanted, tuple) else (wanted,))
        for name, wanted in conditions.items()
    )


def _impossible(found: TargetVerdict, about: Mapping[str, Any]) -> Iterator[str]:
    """Yield what cannot be true of the metrics of a target."""
    values = found["metrics"]
    for key, value in values.items():
        metric = METRICS[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            if metric.unit == "%" and not 0 <= value <= 100:
                yield f"{key} is {value}, not from 0 to 100"
            elif value <= 0 and metric.unit in ("bytes", "ms") and metric.better:
                yield f"{key} is {value}, not above 0"
    yield from _accuracy_faults(values)
    # On a sample of the texts the drop is of the sample, and the reference's accuracy of all texts.
    counted = str(about.get("splits", {}).get("evaluation")).partition(" ")[0]
    if {"reference_accuracy", "accuracy", "drop"} <= values.keys():
        expected = values["reference_accuracy"] - values["accuracy"]
        if counted == str(values.get("texts")) and abs(expected - values["drop"]) > 1e-6:
            yield f"drop is {values['drop']:g}; the accuracies say {expected:g}"
    p90, inference = values.get("p90_ms"), values.get("inference_p90_ms")
    rate = values.get("texts_per_s")
    if p90 and inference and inference > 1.05 * p90:
        yield f"inference_p90_ms {inference:g} is above p90_ms {p90:g}, which contains it"
    # A tenth of the texts take p90 or longer, so the mean is at least a tenth of it.
    if p90 and rate and rate * p90 > 1.05 * 10_000:
        yield f"texts_per_s {rate:g} is impossible with p90_ms {p90:g}"
    size, weights = values.get("size_bytes"), about.get("models", {}).get("size reference", {})
    for key, base in (
        ("ratio_weights", weights.get("weights_bytes")),
        ("ratio_training_checkpoint", weights.get("training_checkpoint_bytes")),
    ):
        if size and base and key in values and abs(values[key] * size / base - 1) > 0.001:
            yield f"{key} is {values[key]:g}; the bytes say {base / size:g}"


def _accuracy_faults(values: Mapping[str, Any]) -> Iterator[str]:
    accuracy, texts = values.get("accuracy"), values.get("texts")
    if accuracy is None:
        return
    lower, upper = values.get("accuracy_lower", accuracy), values.get("accuracy_upper", accuracy)
    if not lower - 1e-6 <= accuracy <= upper + 1e-6:
        yield f"accuracy {accuracy:g} lies outside its bounds [{lower:g}, {upper:g}]"
    if texts:
        right = accuracy * texts / 100
        if abs(right - round(right)) > 1e-4 * texts**0.5:
            yield f"accuracy {accuracy:g}% of {texts} texts is no whole number of texts"
    matrix: Sequence[Sequence[int]] = values.get("confusion_matrix", ())
    total = sum(map(sum, matrix))
    if matrix and texts and total != texts:
        yield f"confusion_matrix counts {total} texts, texts says {texts}"
    elif matrix and total:
        right = 100 * sum(row[index] for index, row in enumerate(matrix)) / total
        if abs(right - accuracy) > 1e-6:
            yield f"accuracy is {accuracy:g}; confusion_matrix says {right:g}"


def report(submissions: Sequence[Submission]) -> str:
    """Return the faults of each file, and one table of the pool, at most `WIDTH` wide."""
    lines = []
    columns = [METRICS[key] for key in ("size_bytes", "accuracy", "drop_upper", "p90_ms")]
    rows = [["file", "device", "runtime", "mode", "verdict", *(m.heading for m in columns)]]
    for found in submissions:
        lines += [f"{found.path}: {fault}" for fault in found.faults]
        name = found.path.parent.name if found.path.name == "verdicts.json" else found.path.stem
        if found.data is None:
            rows.append([name, MISSING, MISSING, MISSING, "refused", *[MISSING] * len(columns)])
            continue
        for target in found.data["targets"]:
            verdict = "refused" if found.faults else target["verdict"]
            cells = (metric.cell(target["metrics"]) for metric in columns)
            rows.append([name, *aggregate.key(target["target"]), verdict, *cells])
    spare = WIDTH - max(map(len, aligned([row[1:] for row in rows], left=4))) - 1
    shortened = [[row[0][: max(spare, 8)], *row[1:]] for row in rows]
    refused = sum(bool(found.faults) for found in submissions)
    count = f"{len(submissions)} files: {len(submissions) - refused} valid, {refused} refused"
    return "\n".join([*lines, *aligned(shortened, left=5), count])
