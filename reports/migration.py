"""From older schemas of the verdict file and the baseline: other names, the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reports.schema import checksum

# What schema 1 called each thing, by the object that it is a key of.
FILE = {"subject": "metadata", "cases": "targets"}
METADATA = {"board_key": "machine_info", "corpus": "dataset", "flatbuffer": "model_file"}
MACHINE_INFO = {"tier": "preset"}
PRESETS = {"rapid": "smoke", "normal": "full"}
RECORD = {"case": "target", "facts": "metrics", "known_miss": "expected_failure"}
MEASUREMENT = {"low": "lower", "high": "upper", "sense": "comparison"}
METRICS = {
    "tweets": "texts",
    "accuracy_low": "accuracy_lower",
    "accuracy_high": "accuracy_upper",
    "drop_high": "drop_upper",
    "balanced_drop_high": "balanced_drop_upper",
    "logit_distance_mean": "mean_logit_error",
    "logit_distance_worst": "max_logit_error",
    "distance_from_here_mean": "mean_error_from_host",
    "distance_from_here_worst": "max_error_from_host",
    "padding_distance": "padding_error",
    "invoke_p90_ms": "inference_p90_ms",
    "first_tweet_ms": "first_text_ms",
    "tweets_per_s": "texts_per_s",
    "projected_p90_low_ms": "projected_p90_lower_ms",
    "projected_p90_high_ms": "projected_p90_upper_ms",
}
# What schemas 1 and 2 of the baseline called a figure.
FIGURES = {"time_ratio": "p90_share_of_float32"}
CLAIMS = {"cost": "instruction_count"}
CHECK_WORDS = {
    "ships": "passes",
    "does not ship": "fails",
    "undecided": "inconclusive",
    "conforms, speed projected": "conforms",
}
TARGET_WORDS = {"undecided": "inconclusive", "conforms, speed projected": "conforms"}

_CLAIM_FILE = re.compile(r"(?<=suites/test_)\w+(?=\.py)")


def renamed(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return `data` with its keys renamed, in the same order."""
    return {names.get(key, key): value for key, value in data.items()}


def _metadata(old: Mapping[str, Any]) -> dict[str, Any]:
    new = renamed(old, METADATA)
    if isinstance(new.get("machine_info"), dict):
        new["machine_info"] = _machine_info(new["machine_info"])
    if isinstance(new.get("splits"), dict):
        new["splits"] = {
            name: re.sub(r"^(\d+) tweets ", r"\1 texts ", split)
            for name, split in new["splits"].items()
        }
    return new


def _machine_info(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the machine info of a board; of several boards, each by its name."""
    if all(isinstance(value, dict) for value in old.values()):
        return {name: _machine_info(value) for name, value in old.items()}
    new = renamed(old, MACHINE_INFO)
    if "preset" in new:
        new["preset"] = PRESETS.get(new["preset"], new["preset"])
    return new


def _measurement(old: Mapping[str, Any]) -> dict[str, Any]:
    new = renamed(old, MEASUREMENT)
    return new | {"verdict": CHECK_WORDS.get(new["verdict"], new["verdict"])}


def _record(old: Mapping[str, Any]) -> dict[str, Any]:
    new = renamed(old, RECORD)
    return new | {
        "nodeid": _CLAIM_FILE.sub(lambda name: CLAIMS.get(name[0], name[0]), new["nodeid"], 1),
        "claim": CLAIMS.get(new["claim"], new["claim"]),
        "measurements": [_measurement(measured) for measured in new["measurements"]],
        "metrics": renamed(new["metrics"], METRICS),
        "verdict": CHECK_WORDS.get(new["verdict"], new["verdict"]),
    }


def _sealed(data: Mapping[str, Any], schema: int) -> dict[str, Any]:
    return {**data, "schema": schema, "sha256": checksum({**data, "schema": schema})}


def verdict_file(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a verdict file of schema 1 as one of schema 2, with a checksum of its own.

    Raises:
        KeyError, TypeError, AttributeError: `old` is no verdict file of schema 1.
    """
    new = renamed(old, FILE)
    new["required"] = [CLAIMS.get(claim, claim) for claim in new["required"]]
    new["metadata"] = _metadata(new["metadata"])
    new["records"] = [_record(record) for record in new["records"]]
    new["targets"] = [
        {
            **renamed(target, RECORD),
            "metrics": renamed(target["facts"], METRICS),
            "verdict": TARGET_WORDS.get(target["verdict"], target["verdict"]),
        }
        for target in new["targets"]
    ]
    return _sealed(new, 2)


def baseline(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a baseline of schema 1 or 2 as one of schema 3, with a checksum of its own.

    Raises:
        KeyError, TypeError, AttributeError: `old` is no baseline of its schema.
    """
    new = _of_schema_2(old) if old["schema"] == 1 else dict(old)
    new["targets"] = [
        {**target, "figures": renamed(target["figures"], FIGURES)} for target in new["targets"]
    ]
    return _sealed(new, 3)


def _of_schema_2(old: Mapping[str, Any]) -> dict[str, Any]:
    new = renamed(old, FILE)
    new["metadata"] = _metadata(new["metadata"])
    new["targets"] = [
        {
            **renamed(target, RECORD),
            "verdict": TARGET_WORDS.get(target["verdict"], target["verdict"]),
        }
        for target in new["targets"]
    ]
    return new | {"target_names": [" / ".join(t["target"].values()) for t in new["targets"]]}
