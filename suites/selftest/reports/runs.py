"""Verdict files for the tests of this room: two sound targets, and changes of them."""

import copy
from pathlib import Path
from typing import Any

from common import atomic
from reports import aggregate, schema

METADATA: Any = {
    "checkpoint": "tiny",
    "weights_sha256": "a" * 64,
    "dataset": "brands",
    "splits": {"evaluation": "3 texts, sha256 abc"},
    "machine_info": {"cpu": "a"},
}
MODES = ("dynamic_range", "float32")
VALUES: dict[str, dict[str, Any]] = {
    "float32": {"size_bytes": 99_000_000, "p90_ms": 100.0, "agreement": 100.0, "accuracy": 80.0},
    "dynamic_range": {
        "size_bytes": 25_700_000,
        "p90_ms": 60.0,
        "p90_share_of_float32": 0.6,
        "inference_p90_ms": 58.0,
        "agreement": 99.0,
        "accuracy": 79.6,
        "accuracy_lower": 77.1,
        "accuracy_upper": 82.0,
        "operators": ["FULLY_CONNECTED v5", "GELU v1"],
        "dtypes": {"INT8": 120, "FLOAT32": 300},
    },
}


# A budget of 2 and these values come to these verdicts.
_VALUES = {"passes": 1.0, "inconclusive": 1.5, "fails": 3.0}


def record(claim: str, mode: str, metrics: dict[str, Any], verdict: str = "passes") -> Any:
    return {
        "nodeid": f"suites/test_{claim}.py::test_it[host-ai-edge-litert-{mode}]",
        "claim": claim,
        "target": {"device": "host", "runtime": "ai-edge-litert", "mode": mode},
        "measurements": [
            {
                "name": "figure",
                "value": _VALUES.get(verdict, 1.0),
                "unit": "ms",
                "lower": 1.0 if verdict == "inconclusive" else None,
                "upper": 3.0 if verdict == "inconclusive" else None,
                "budget": 2.0,
                "comparison": "at most",
                "statistic": "exact",
                "verdict": verdict,
            }
        ],
        "metrics": metrics,
        "verdict": verdict,
        "reason": f"{claim} is as it is",
        "outcome": "passed" if verdict == "passes" else "failed",
        "expected_failure": False,
        "duration": 0.1,
    }


def records() -> list[Any]:
    return [
        record(claim, mode, copy.deepcopy(VALUES[mode]) if claim == "footprint" else {})
        for claim in schema.REQUIRED
        for mode in MODES
    ]


def write(path: Path, of: list[Any], metadata: dict[str, Any] | None = None) -> Path:
    data = aggregate.assemble(metadata or METADATA, of)  # type: ignore[arg-type]
    atomic.write_text(path, schema.to_json(data))
    return path


def judged(verdicts: dict[str, str], mode: str = "dynamic_range") -> list[Any]:
    """Records in which these claims come to these verdicts, for one mode."""
    changed = records()
    for index, one in enumerate(changed):
        if one["target"]["mode"] == mode and one["claim"] in verdicts:
            changed[index] = record(one["claim"], mode, one["metrics"], verdicts[one["claim"]])
    return changed


def planted(fact: str, value: Any, mode: str = "dynamic_range") -> list[Any]:
    changed = records()
    for one in changed:
        if one["target"]["mode"] == mode and one["metrics"]:
            one["metrics"][fact] = value
    return changed
