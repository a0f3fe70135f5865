"""The verdict file: what one run measured, judged and concluded. JSON, schema version 2.

Percentages are 0 to 100. Times are milliseconds unless a key says otherwise. A number that is not
finite is null. `reports.migration` turns a file of schema 1 into one of schema 2.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

from common import json_file
from common.json_file import JsonError
from reports import metrics

SCHEMA = 2

# A target ships only when each of these claims was judged. Others count where they were judged.
REQUIRED = ("footprint", "accuracy", "latency", "memory", "conformance", "privacy")

# These claims are timed or weighed, so their verdicts depend on the processor.
TIMED_CLAIMS = frozenset({"latency", "sustained", "memory", "energy"})

CheckWord = Literal["passes", "conforms", "inconclusive", "fails", "cannot run", "invalid"]
TargetWord = Literal["ships", "conforms", "inconclusive", "does not ship", "cannot run", "invalid"]
# Values by the keys of `reports.metrics.METRICS`, which `check_metrics` holds them to.
Metrics = dict[str, Any]


class ReportError(ValueError):
    """A verdict file or baseline that cannot be used; the message names the file or field.

    What it quotes of a file may be long: the message is cut at 800 characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= 800 else f"{message[:800]} ...")


class Target(TypedDict):
    """Where and how the candidate runs."""

    device: str
    runtime: str
    mode: str


class Measurement(TypedDict):
    """One figure and the budget that it is held against."""

    name: str
    value: float | None
    unit: str
    lower: float | None
    upper: float | None
    budget: float | None
    comparison: Literal["at most", "at least", "holds", "projected"]
    statistic: str
    verdict: CheckWord


class Record(TypedDict):
    """What one test measured and concluded. Without a `target` it counts for all of them."""

    nodeid: str
    claim: str
    target: Target | None
    measurements: list[Measurement]
    metrics: Metrics
    verdict: CheckWord
    reason: str
    outcome: Literal["passed", "failed", "error", "xfailed", "not run"]
    expected_failure: bool
    duration: float


class TargetVerdict(TypedDict):
    """What all records of a target come to. A reader computes it again."""

    target: Target
    verdict: TargetWord
    reasons: list[str]
    metrics: Metrics


class ModelInfo(TypedDict, total=False):
    """A checkpoint that the report names. Accuracies are in percent."""

    name: Required[str]
    parameters: Required[int]
    weights_bytes: Required[int]
    training_checkpoint_bytes: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float


class RunMetadata(TypedDict, total=False):
    """What was judged, on what, with what. Other keys are allowed."""

    model_file: str  # name and SHA-256 of one that was made elsewhere
    checkpoint: str
    architecture: str  # model_type of its config.json
    weights_sha256: str
    dataset: str
    splits: dict[str, str]
    lengths: str  # tokens of the signatures, and what they cost the texts
    notes: list[str]  # what is not judged on a board; what is unusual in a model file
    limits: list[str]  # what the evaluation texts cannot show of any checkpoint
    caveat: str  # what the texts cannot show of this checkpoint
    accuracy_reference: str
    models: dict[str, ModelInfo]  # by role
    machine_info: Any  # text, or an object of texts
    tools: dict[str, str]
    options: str  # of pytest, which repeat the run


class VerdictFile(TypedDict):
    """The file. `sha256` is of all other keys."""

    schema: int
    created: str
    required: list[str]
    metadata: RunMetadata
    records: list[Record]
    targets: list[TargetVerdict]
    sha256: str


def checksum(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of `data` without its own `sha256`, as JSON with sorted keys."""
    rest = {key: value for key, value in data.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def merged(
    one: Mapping[str, Any], other: Mapping[str, Any], where: str = "metadata"
) -> dict[str, Any]:
    """Return the keys of both, and of mappings within them; `notes` that either has.

    Raises:
        ReportError: the two contradict each other.
    """
    result = dict(one)
    for key, value in other.items():
        if key not in result or result[key] == value:
            result[key] = value
        elif isinstance(value, Mapping) and isinstance(result[key], Mapping):
            result[key] = merged(result[key], value, f"{where}.{key}")
        elif key == "notes" and isinstance(value, list):
            result[key] = list(dict.fromkeys([*result[key], *value]))
        else:
            raise ReportError(f"{where}.{key} is given twice: {result[key]!r} and {value!r}")
    return result


def validate(data: object) -> None:
    """Check types, schema version, checksum, metrics, and that no test is recorded twice.

    Raises:
        ReportError: `data` is not a complete VerdictFile; the message has the path of the field.
    """
    if not isinstance(data, dict):
        raise ReportError(f"$: a verdict file is an object, not {type(data).__name__}")
    check_header(data)
    conform(data, VerdictFile, "$")
    _check_instant(data["created"])
    seen: set[str] = set()
    for index, record in enumerate(data["records"]):
        path = f"$.records[{index}]"
        if record["nodeid"] in seen:
            raise ReportError(f"{path}.nodeid: {record['nodeid']} is recorded twice")
        seen.add(record["nodeid"])
        check_metrics(record["metrics"], f"{path}.metrics")
    for index, target in enumerate(data["targets"]):
        check_metrics(target["metrics"], f"$.targets[{index}].metrics")


def check_metrics(values: Mapping[str, Any], path: str) -> None:
    """Hold values to the keys and types of `reports.metrics.METRICS`.

    Raises:
        ReportError: a key is no metric, or a value is of another type.
    """
    for key, value in values.items():
        if key not in metrics.METRICS:
            raise ReportError(f"{path}.{key:.60}: {metrics.unknown(key)}")
        conform(value, metrics.METRICS[key].kind, f"{path}.{key}")


def check_header(data: Mapping[str, Any], schema: int = SCHEMA) -> None:
    """Check the schema version and the checksum.

    Raises:
        ReportError: `data` is of another version, or was changed after it was written.
    """
    if data.get("schema") != schema:
        raise ReportError(
            f"$.schema: version {data.get('schema')!r:.40}; this reader knows version {schema}. "
            "Run the suite again with this version of it"
        )
    if data.get("sha256") != checksum(data):
        raise ReportError("$.sha256: the content is not what was written; it was edited or damaged")


def conform(value: object, kind: Any, path: str) -> None:
    """Hold `value` to the annotation `kind` (`common.json_file.conform`).

    Raises:
        ReportError: it is of another type; the message has the path within `value`.
    """
    try:
        json_file.conform(value, kind, path)
    except JsonError as error:
        raise ReportError(str(error)) from None


def _check_instant(created: str) -> None:
    try:
        offset = datetime.fromisoformat(created).utcoffset()
    except ValueError as error:
        raise ReportError(f"$.created: {created!r} is no ISO 8601 time") from error
    if offset is None:
        raise ReportError(f"$.created: {created!r} does not state its offset from UTC")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in the JSON file `path`.

    Raises:
        ReportError: the file cannot be read, is cut short, or holds no object.
    """
    try:
        return json_file.read_object(path)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror or error}") from error
    except JsonError as error:
        raise ReportError(f"{path}: {error}") from None


def to_json(data: Mapping[str, Any]) -> str:
    """Return `data` with its checksum, as JSON.

    Raises:
        ValueError: a number is not finite.
    """
    sealed = {**data, "sha256": checksum(data)}
    return json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
