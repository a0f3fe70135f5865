"""Verdict files for the tests of the page: every verdict, a fleet, hostile words, many targets."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

from reports import aggregate, history
from suites.selftest.reports.runs import METADATA, record, records

# What a checkpoint may be called: markup, script, and marks that turn the text around.
HOSTILE = "<script>window.hit=1</script><img src=x onerror='window.hit=1'>\u202egnp\u202c\"'&"
VERDICTS = ("passes", "inconclusive", "fails", "cannot run", "invalid")

FIGURES: dict[str, Any] = {
    "size_bytes": 25_700_000,
    "accuracy": 79.5,
    "accuracy_lower": 78.6,
    "accuracy_upper": 80.4,
    "drop": 1.1,
    "drop_upper": 1.7,
    "balanced_drop_upper": 1.8,
    "agreement": 99.4,
    "p90_ms": 10.1,
    "memory_mb": 169.0,
    "bare_memory_mb": 20.0,
    "memory_by_phase": {"loaded": 90.0, "first text": 120.0, "peak": 169.0},
    "latency_by_length": {"24": [80, 4.1, 4.4, 4.9, 9.0], "40": [48, 6.2, 6.6, 7.4, 11.5]},
    "classes": ["negative", "neutral", "positive"],
    "confusion_matrix": [[50, 3, 2], [4, 40, 6], [1, 5, 60]],
    "float32_confusion_matrix": [[51, 2, 2], [4, 40, 6], [1, 5, 60]],
    "reliability": [[20.0, 55.0, 50.0], [151.0, 97.0, 92.0]],
    "calibration_error": 5.0,
    "float32_reliability": [[22.0, 56.0, 52.0], [149.0, 97.0, 93.0]],
    "float32_calibration_error": 4.2,
    "flips": [[50.0, 22.0, 1.0], [90.0, 149.0, 0.0]],
    "slices": [
        {
            "kind": "class",
            "name": "neutral",
            "texts": 50,
            "accuracy": 80.0,
            "lower": 69.3,
            "upper": 87.6,
            "drop": 2.0,
            "drop_lower": -1.2,
            "drop_upper": 5.1,
        }
    ],
    "drift": ["the drop is greatest for the entity X: 2.0 points (-1.2 to 5.1)"],
    "sustained_curve": [
        {"minutes": 0.3, "p90_ms": 9.0, "temperature_c": 41.0, "frequency_mhz": 1500.0},
        {"minutes": 10.1, "p90_ms": 13.5, "temperature_c": None, "frequency_mhz": 900.0},
    ],
    "health": {
        "before": {"temperature_c": 41.0, "frequency_mhz": 1500.0, "throttled": 0},
        "after": {"temperature_c": 55.0, "frequency_mhz": 1500.0, "throttled": 0},
    },
}


def _run(of: list[Any], **metadata: Any) -> Any:
    return aggregate.assemble(METADATA | metadata, of)


def every_verdict() -> Any:
    """One target of each verdict, and one that conforms."""
    found = []
    for index, verdict in enumerate((*VERDICTS, "conforms")):
        for claim in ("accuracy", "conformance", "footprint", "latency", "memory", "privacy"):
            own = copy.deepcopy(FIGURES) | {"size_bytes": 10_000_000 * (index + 1)}
            one = record(claim, f"mode{index}", own if claim == "footprint" else {})
            if claim == "latency" and verdict == "conforms":
                one["verdict"] = "conforms"
                projected = {"comparison": "projected", "budget": None, "verdict": "conforms"}
                one["measurements"][0] |= projected
            elif claim == "latency" and verdict in ("cannot run", "invalid"):
                one |= {"measurements": [], "verdict": verdict, "reason": "it ended with SIGSEGV"}
            elif claim == "latency":
                one = record(claim, f"mode{index}", {}, verdict)
            found.append(one)
    return _run(found)


def fleet() -> Any:
    """Three emulated boards, whose speed is projected."""
    found = []
    for device in ("pi3@qemu", "pi4@qemu", "pi5@qemu"):
        for one in records():
            one["target"]["device"] = device
            one["nodeid"] = one["nodeid"].replace("[host", f"[{device}")
            one["metrics"].pop("p90_ms", None)
            if one["claim"] == "latency":
                one["metrics"] = {
                    "projected_p90_ms": 400.0,
                    "projected_p90_lower_ms": 291.0,
                    "projected_p90_upper_ms": 614.0,
                }
                one["verdict"] = "conforms"
                projected = {"comparison": "projected", "budget": None, "verdict": "conforms"}
                one["measurements"][0] |= projected
            found.append(one)
    return _run(found, machine_info={"pi3@qemu": {"cpu": "a"}, "pi4@qemu": {"cpu": "b"}})


def failed_at_once() -> Any:
    """A run whose first step failed: nothing was measured of any target."""
    found = records()
    for one in found:
        one |= {"measurements": [], "metrics": {}, "verdict": "invalid", "reason": "no such file"}
    return _run(found)


def hostile() -> Any:
    """Names, labels, entities and reasons full of markup."""
    found = records()
    for one in found:
        one["reason"] = HOSTILE
        one["target"]["device"] = HOSTILE
        if one["claim"] == "footprint":
            one["metrics"] = copy.deepcopy(FIGURES) | {"classes": [HOSTILE, "b", "c"]}
            one["metrics"]["slices"][0]["name"] = HOSTILE
            said = dict.fromkeys(("kind", "text", "label", "before", "predicted"), HOSTILE)
            one["metrics"]["examples"] = [{**said, "confidence": 99.0}]
        if one["claim"] == "latency":
            one |= {"measurements": [], "verdict": "cannot run"}
    return _run(found, checkpoint=HOSTILE, dataset=HOSTILE, notes=[HOSTILE], caveat=HOSTILE)


def many() -> Any:
    """Six boards, seven modes and four runtimes."""
    found = []
    for board in range(6):
        for runtime in ("ai-edge-litert", "litert-compiled", "onnxruntime", "tflite-runtime"):
            for mode in range(7):
                for one in records()[::2]:
                    one["target"] = {
                        "device": f"board{board}",
                        "runtime": runtime,
                        "mode": f"mode{mode}",
                    }
                    name = one["nodeid"].partition("[")[0]
                    one["nodeid"] = f"{name}[board{board}-{runtime}-mode{mode}]"
                    if one["claim"] == "footprint":
                        one["metrics"] = copy.deepcopy(FIGURES)
                        one["metrics"]["slices"] *= 20
                    found.append(one)
    return _run(found)


PROFILE: Any = {
    "title": HOSTILE,
    "unit": "instructions",
    "tokens": 24,
    "whole": 161.0e6,
    "share_of_whole": 1.005,
    "delegated": 0.999,
    "by_operator": {"FULLY_CONNECTED": 156.3e6, "ADD": 2.2e6, HOSTILE: 0.4e6},
    "by_layer": {"0": 7.6e6, "1": 6.6e6},
    "kinds": [],
}


ERRORS: Any = {"title": HOSTILE, "errors": {"layer 0": 1.5, HOSTILE: 4.25, "logits": 3.0}}


def main_job() -> Any:
    """What `tox run -e host` wrote on 2026-11-27."""
    return json.loads(gzip.decompress((Path(__file__).parent / "main_job.json.gz").read_bytes()))


def past() -> list[history.Entry]:
    """Twenty-four runs of two machines, a step in the time of one, and a hostile name."""
    entries = []
    for day in range(24):
        data: Any = fleet() if day % 2 else every_verdict()
        data["created"] = f"2026-01-{day + 1:02d}T12:00:00+00:00"
        data["metadata"] = {**data["metadata"], "checkpoint": HOSTILE}
        for found in data["targets"]:
            if "memory_mb" in found["metrics"]:
                found["metrics"]["memory_mb"] = 170.0 + day % 3 + (40 if day > 11 else 0)
        entries.append(history.Entry(Path(f"{day}.json"), f"c{day}", data))
    return entries
