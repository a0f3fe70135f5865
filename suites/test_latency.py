"""Claim: the device classifies at least one text a second.

Single stream as MLPerf states it: one text at a time, the next when the last is done, and the 90th
percentile with early stopping at confidence 0.99. *End-to-end latency* starts with the text and
includes tokenization. *Inference latency* is the runtime alone, within the same queries. Times are
the worker's own clock on the device, recorded through pytest-benchmark.

One text a second is no test of a fast machine, so dynamic range must also take at most half of
float32's time in the same run, where the processor has int8 dot products. Without them int8 saves
memory and little time on any model, and the report says so instead. And a change must not make it
slower: with `--baseline-model` the same run times an older model file, interleaved with the
target's own. With `--compare-runtime` it times another runtime so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.checksum import file_sha256
from devices.errors import DeviceError
from devices.measurement.interleaved import Open, interleaved_runs
from devices.measurement.latency import (
    SAME_SPEED,
    SESSIONS,
    VirtualClock,
    percentile_90,
    ratio_of_medians,
    replay,
)
from devices.measurement.projection import by_instructions, by_roofline
from fixtures.target import Target
from models.contents import inspect
from models.tflite.flops import operations
from reports.check import Check
from reports.verdict import Estimate, Inconclusive

MAX_SHARE_OF_FLOAT32 = 0.5
CLOCK = VirtualClock()


def _judge(target: Target, check: Check, benchmark: Any, name: str, seconds: np.ndarray) -> None:
    """Record through pytest-benchmark, then hold the percentile against the budget."""
    measurement, p90 = target.measurement, percentile_90(seconds)
    loaded = measurement.loaded
    benchmark.extra_info.update(
        statistic="p90, early stopping",
        p90_s=p90.seconds,
        observed_p90_s=p90.observed,
        queries=p90.queries,
        health=measurement.health,
        machine_info=measurement.machine
        | {
            "runtime": f"{loaded.runtime} {loaded.version}",
            "delegate": loaded.delegate,
            "threads": loaded.threads,
            "lengths": list(loaded.lengths),
        },
    )
    replay(benchmark, CLOCK, seconds.tolist())
    if measurement.fault:
        check.invalid(measurement.fault)
    statistic = f"p90 with early stopping, {p90.queries} queries"
    estimate = Estimate(1000 * p90.seconds, "ms", statistic)
    check.at_most(name, estimate, target.profile.budget.latency_ms)


@pytest.mark.only(emulated=False)
@pytest.mark.benchmark(timer=CLOCK, group="end-to-end")
def test_end_to_end_latency(target: Target, check: Check, benchmark: Any) -> None:
    """From a text to its label, on the device."""
    measurement, timings = target.measurement, target.measurement.timings
    check.metrics(
        p90_ms=1000 * percentile_90(timings.seconds).seconds,
        texts_per_s=len(timings.seconds) / float(timings.seconds.sum()),
        import_ms=1000 * timings.import_seconds,
        load_ms=1000 * timings.load_seconds,
        first_text_ms=1000 * timings.first_seconds,
        cpu_share=timings.cpu_seconds / timings.wall_seconds,
        runtime_version=measurement.loaded.version,
        delegate=measurement.loaded.delegate,
        int8_dot_product=target.board.machine.int8_dot_product,
        latency_by_length=_by_length(target, timings.seconds),
        health=measurement.health,
        **measurement.metrics,
    )
    if (share := target.share_of_float32) is not None:
        check.metrics(p90_share_of_float32=share)
    _judge(target, check, benchmark, "end-to-end latency", timings.seconds)


def _by_length(target: Target, seconds: np.ndarray) -> dict[str, list[float]]:
    """Return by length queries, and 10th, 50th and 90th percentile and maximum in milliseconds."""
    texts, lengths = target.evaluation.texts, target.measurement.loaded.lengths
    tokens = np.array(target.tokens_of([texts[n % len(texts)] for n in range(len(seconds))]))
    found: dict[str, list[float]] = {}
    shorter = 0
    for length in lengths:
        last = length == lengths[-1]  # what is longer is cut
        inside = 1000 * seconds[(tokens > shorter) & ((tokens <= length) | last)]
        if inside.size:
            figures = np.quantile(inside, (0.1, 0.5, 0.9, 1)).tolist()
            found[str(length)] = [float(inside.size), *figures]
        shorter = length
    return found


@pytest.mark.only(emulated=False)
@pytest.mark.benchmark(timer=CLOCK, group="inference")
def test_inference_latency(target: Target, check: Check, benchmark: Any) -> None:
    """The runtime alone."""
    seconds = target.measurement.timings.invoke
    check.metrics(inference_p90_ms=1000 * percentile_90(seconds).seconds)
    _judge(target, check, benchmark, "inference latency", seconds)


@pytest.mark.only(
    runtime="ai-edge-litert", mode="dynamic_range", emulated=False, int8_dot_product=True
)
def test_latency_at_most_half_of_float32(target: Target, check: Check) -> None:
    """p90 of end-to-end against float32 on the same runtime, both measured in this run."""
    ours, theirs = target.measurement, target.sibling(mode="float32").measurement
    if fault := ours.fault or theirs.fault:
        check.invalid(fault)
    share = percentile_90(ours.timings.seconds).seconds
    share /= percentile_90(theirs.timings.seconds).seconds
    check.metrics(p90_share_of_float32=share)
    statistic = "ratio of p90 with early stopping, one run"
    estimate = Estimate(share, "of float32's p90", statistic)
    check.at_most("end-to-end latency", estimate, MAX_SHARE_OF_FLOAT32)


@pytest.mark.only(emulated=False, baseline_model=True)
def test_latency_no_slower_than_baseline(target: Target, check: Check) -> None:
    """Median end-to-end against the older model file, eight queries interleaved."""
    baseline = target.run.config.baseline_model
    assert baseline is not None
    weights = inspect(baseline).large_weights
    if not set(weights) <= set(target.promises.weights):
        check.invalid(f"{baseline}: its weights are {weights}: no {target.mode}")
    ratio = _interleaved(target, check, lambda: target.worker(baseline))
    check.metrics(median_share_of_baseline=ratio.value, baseline_sha256=file_sha256(baseline))
    check.at_most("end-to-end latency", ratio, SAME_SPEED)


@pytest.mark.only(emulated=False, compare_runtime=True)
def test_latency_no_slower_than_other_runtime(target: Target, check: Check) -> None:
    """Median end-to-end against the same mode on the runtime of `--compare-runtime`."""
    other = target.sibling(runtime=target.run.config.compare_runtime)
    ratio = _interleaved(target, check, other.worker)
    check.metrics(
        median_share_of_other_runtime=ratio.value,
        median_share_of_other_runtime_lower=ratio.lower,
        median_share_of_other_runtime_upper=ratio.upper,
        other_runtime=other.runtime,
    )
    check.at_most("end-to-end latency", ratio, SAME_SPEED)


def _interleaved(target: Target, check: Check, other: Open) -> Estimate:
    """Time a target and another worker in turn; return the ratio of their median latencies."""
    timing, texts = target.run.config.timing, target.evaluation.texts
    found = interleaved_runs(
        target.worker,
        other,
        [texts[n % len(texts)] for n in range(timing.queries)],
        snapshot=target.board.snapshot,
        warm_up=timing.warm_up,
    )
    if found.fault:
        check.invalid(found.fault)
    ratio = ratio_of_medians(found.ours, found.theirs, sessions=SESSIONS)
    statistic = f"ratio of medians, {len(found.ours)} blocks interleaved, upper one-sided 95% bound"
    return Estimate(ratio.value, "of the other's time", statistic, ratio.lower, ratio.upper)


@pytest.mark.only(emulated=True)
def test_latency_projected(target: Target, check: Check) -> None:
    """Never measured under an emulator, and never held against a budget: computed, in a bracket."""
    counted, common = target.instruction_count.instructions, target.run.common_length
    length = next((n for n in counted if n >= common), max(counted))
    # The arithmetic is the mode's. It is counted in the mode's TensorFlow Lite file.
    cost = operations(target.run.model_file(target.mode, "tflite"))[length]
    work = cost.arithmetic, cost.weight_bytes, cost.activation_bytes
    try:
        found = {
            "end-to-end latency": by_instructions(target.profile, counted[length]),
            "inference latency": by_roofline(target.profile, *work),
        }
    except DeviceError as error:
        raise Inconclusive(str(error)) from None
    end_to_end = found["end-to-end latency"]
    check.metrics(
        projected_p90_ms=1000 * end_to_end.seconds,
        projected_p90_lower_ms=1000 * end_to_end.lower,
        projected_p90_upper_ms=1000 * end_to_end.upper,
    )
    why = f"{length} tokens, which nine of ten texts fit; the board itself was not timed"
    for name, projected in found.items():
        value, lower, upper = (
            1000 * seconds for seconds in (projected.seconds, projected.lower, projected.upper)
        )
        check.projected(name, Estimate(value, "ms", projected.statistic, lower, upper), why)
