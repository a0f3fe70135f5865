"""The verdict file: what one run measured, judged and concluded. README.md documents it.

JSON, schema version 2. Percentages are 0 to 100, times milliseconds unless a key says otherwise.
"""

import hashlib
import json
import os
import types
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

SCHEMA = 2

# A target ships only when each of these was judged for it. Other claims count when they are judged.
REQUIRED = ("footprint", "accuracy", "latency", "memory", "conformance", "privacy")

VerdictName = Literal["ships", "conforms", "undecided", "does not ship", "cannot run", "invalid"]


class ReportError(ValueError):
    """A verdict file or baseline that cannot be used; the message names the file or field."""


class Target(TypedDict):
    """Where and how the candidate runs."""

    device: str
    runtime: str
    mode: str


class Measurement(TypedDict):
    """One figure held against its budget; a figure that is not a finite number is null."""

    name: str
    value: float | None
    unit: str
    lower: float | None
    upper: float | None
    budget: float | None
    sense: Literal["at most", "at least", "holds", "projected"]
    statistic: str
    verdict: VerdictName


class Metrics(TypedDict, total=False):
    """Figures of a target that the table, comparison and gate read; others may stand next to
    them."""

    size_bytes: int
    tokenizer_bytes: int
    ratio_weights: float
    ratio_training_checkpoint: float
    accuracy: float
    accuracy_lower: float
    accuracy_upper: float
    balanced_accuracy: float
    entity_mean_accuracy: float
    drop: float
    drop_upper: float
    balanced_drop: float
    balanced_drop_upper: float
    agreement: float
    p90_ms: float
    projected_p90_ms: float  # computed for an emulated board, and its bracket
    projected_p90_lower_ms: float
    projected_p90_upper_ms: float
    instructions: dict[str, int]  # of a text on an emulated board, by its length in tokens
    inference_p90_ms: float
    texts_per_s: float
    memory_mb: float
    energy_j: float
    load_ms: float
    operators: list[str]
    dtypes: dict[str, Any]
    texts: int
    truncated: int
    guard: Any


class Record(TypedDict):
    """What one test measured and concluded. `case` is null when it speaks for all of them."""

    nodeid: str
    claim: str
    target: Target | None
    measurements: list[Measurement]
    metrics: Metrics
    verdict: VerdictName
    reason: str
    outcome: Literal["passed", "failed", "error", "xfailed", "not run"]
    expected_failure: bool
    duration: float


class TargetVerdict(TypedDict):
    """What all records of a target come to: computed, and checked on reading."""

    target: Target
    verdict: VerdictName
    reasons: list[str]
    metrics: Metrics


class RunMetadata(TypedDict, total=False):
    """What was judged, on what, with what. Other keys may stand next to these."""

    model_file: str  # name and SHA-256 of one that was brought
    checkpoint: str
    weights_sha256: str
    dataset: str
    splits: dict[str, str]
    accuracy_reference: str
    models: dict[str, Any]  # by role: name, parameters, bytes, accuracies in percent
    machine_info: Any  # text, or an object of texts
    tools: dict[str, str]


class VerdictFile(TypedDict):
    """The whole file. `sha256` is of all the rest, so that an edited file is not believed."""

    schema: int
    created: str
    required: list[str]
    metadata: RunMetadata
    records: list[Record]
    targets: list[TargetVerdict]
    sha256: str


def checksum(data: Mapping[str, Any]) -> str:
    """SHA-256 of `data` without its own `sha256`, as JSON with sorted keys."""
    rest = {key: value for key, value in data.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def merged(
    one: Mapping[str, Any], other: Mapping[str, Any], where: str = "metadata"
) -> dict[str, Any]:
    """The keys of both, mappings within them too; ReportError where they contradict each other."""
    result = dict(one)
    for key, value in other.items():
        if key not in result or result[key] == value:
            result[key] = value
        elif isinstance(value, Mapping) and isinstance(result[key], Mapping):
            result[key] = merged(result[key], value, f"{where}.{key}")
        else:
            raise ReportError(f"{where}.{key} is given twice: {result[key]!r} and {value!r}")
    return result


def validate(data: object) -> None:
    """ReportError with the path of the first field at fault, unless `data` is a whole VerdictFile.

    Types, schema version, checksum, and no test recorded twice.
    """
    if not isinstance(data, dict):
        raise ReportError(f"$: a verdict file is an object, not {type(data).__name__}")
    check_header(data)
    conform(data, VerdictFile, "$")
    _check_instant(data["created"])
    seen: set[str] = set()
    for index, record in enumerate(data["records"]):
        if record["nodeid"] in seen:
            raise ReportError(f"$.records[{index}].nodeid: {record['nodeid']} is recorded twice")
        seen.add(record["nodeid"])


def check_header(data: Mapping[str, Any], schema: int = SCHEMA) -> None:
    """ReportError unless `data` has this schema version and its own checksum."""
    if data.get("schema") != schema:
        raise ReportError(
            f"$.schema: version {data.get('schema')!r}; this reader knows version {schema}. "
            "Run the suite again with this version of it"
        )
    if data.get("sha256") != checksum(data):
        raise ReportError("$.sha256: the content is not what was written; it was edited or damaged")


def conform(value: object, kind: Any, path: str) -> None:
    """ReportError with the path within `value` at which it is not of the annotation `kind`.

    Known are plain types, Any, Literal, list, dict, a TypedDict, and `| None` after any of these.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or (value is None and type(None) in arguments):
        return
    if origin is types.UnionType:
        conform(value, arguments[0], path)
    elif origin is Literal:
        if value not in arguments:
            raise _wrong(value, " or ".join(map(repr, arguments)), path)
    elif not _is_plain(value, origin or (dict if is_typeddict(kind) else kind)):
        raise _wrong(value, "an object" if is_typeddict(kind) else kind, path)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            conform(element, arguments[0], f"{path}[{index}]")
    elif isinstance(value, dict):
        fields = get_type_hints(kind) if is_typeddict(kind) else dict.fromkeys(value, arguments[1])
        _conform_fields(value, fields, kind, path)


def _conform_fields(
    value: Mapping[str, object], fields: Mapping[str, Any], kind: Any, path: str
) -> None:
    for name, annotation in fields.items():
        if name in value:
            conform(value[name], annotation, f"{path}.{name}")
        elif name in kind.__required_keys__:
            raise ReportError(f"{path}.{name}: missing")
    unknown = sorted(value.keys() - fields.keys())
    if unknown and kind.__total__:
        raise ReportError(f"{path}.{unknown[0]}: not a field of this schema")


def _is_plain(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _check_instant(created: str) -> None:
    try:
        offset = datetime.fromisoformat(created).utcoffset()
    except ValueError as error:
        raise ReportError(f"$.created: {created!r} is no ISO 8601 time") from error
    if offset is None:
        raise ReportError(f"$.created: {created!r} does not state its offset from UTC")


def _wrong(value: object, expected: object, path: str) -> ReportError:
    return ReportError(f"{path}: expected {expected}, found {value!r:.60}")


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; ReportError where there is none, naming the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ReportError(f"{path}: not whole JSON, perhaps truncated: {error}") from error
    if not isinstance(data, dict):
        raise ReportError(f"{path}: an object is expected, not {type(data).__name__}")
    return data


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def write_text(path: Path, text: str) -> None:
    """Write next to `path`, then rename: a reader sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def to_json(data: Mapping[str, Any]) -> str:
    """`data` sealed with its checksum; ValueError for a figure that is not a finite number."""
    sealed = {**data, "sha256": checksum(data)}
    return json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
