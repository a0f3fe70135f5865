"""The reasons that figures give: each is said where it was measured, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from reports.why import sentences


def target(mode: str, runtime: str = "ai-edge-litert", **metrics: Any) -> Any:
    weights = {"dynamic_range": "int8"}.get(mode, mode)
    return {
        "target": {"device": "host", "runtime": runtime, "mode": mode},
        "metrics": {"dtypes": {"weights": {weights: 9}}, **metrics},
    }


FLOAT32 = target("float32", p90_ms=40.0, memory_mb=468.0, delegate="XNNPACK (2 partitions)")


def test_without_int8_dot_products_integers_save_no_time() -> None:
    slow = target("dynamic_range", p90_ms=38.0, int8_dot_product=False)
    (said,) = sentences([FLOAT32, slow])
    assert said.startswith("dynamic_range on ai-edge-litert takes 0.95 of float32's time: the proc")
    fast = target("dynamic_range", p90_ms=10.0, int8_dot_product=False)
    assert not sentences([FLOAT32, fast])


def test_half_precision_takes_more_memory() -> None:
    (said,) = sentences([FLOAT32, target("float16", p90_ms=40.0, memory_mb=507.0)])
    assert "39 MB more memory than float32" in said
    assert not sentences([FLOAT32, target("float16", p90_ms=40.0, memory_mb=400.0)])


@pytest.mark.parametrize("delegate", ["XNNPACK (219 partitions)", "none", ""])
def test_a_slow_runtime_is_explained_by_its_delegate(delegate: str) -> None:
    best = target("dynamic_range", p90_ms=8.0, delegate="XNNPACK (2 partitions)")
    slow = target("dynamic_range", "tflite-runtime", p90_ms=216.0, delegate=delegate)
    said = sentences([best, slow])
    if "219" in delegate:
        assert said[0].startswith("tflite-runtime takes 27 times as long as ai-edge-litert in dyn")
        assert "in 219 parts, not in 2" in said[0]
    else:
        assert not said
