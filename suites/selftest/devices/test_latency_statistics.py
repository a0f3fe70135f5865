"""Latency is stated as MLPerf states it, and pytest-benchmark records the worker's clock."""

import random

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from devices.measurement.latency import (
    PRESETS,
    VirtualClock,
    overs_allowed,
    percentile_90,
    queries_needed,
    ratio_of_medians,
    replay,
)

CLOCK = VirtualClock()


@pytest.mark.parametrize(("percentile", "queries"), [(0.90, 64), (0.95, 130), (0.99, 662)])
def test_early_stopping_needs_as_many_queries_as_mlperf_says(
    percentile: float, queries: int
) -> None:
    assert queries_needed(percentile) == queries


@pytest.mark.parametrize(("queries", "rank"), [(64, 64), (100, 98), (1024, 945)])
def test_p90_is_the_ordered_latency_that_mlperf_reports(queries: int, rank: int) -> None:
    latencies = [float(n) for n in range(1, queries + 1)]
    random.Random(1).shuffle(latencies)
    result = percentile_90(latencies)
    assert (result.rank, result.seconds, result.queries) == (rank, float(rank), queries)
    assert result.observed <= result.seconds


def test_the_tail_is_the_binomial_s() -> None:
    # By hand: P[B(64, .1) <= 1] = .9^64 + 64 * .1 * .9^63 = 0.0096; for 63 it is 0.0105.
    assert overs_allowed(64, 0.9) == 1
    assert overs_allowed(63, 0.9) == 0
    assert overs_allowed(10, 0.9) == -1


@pytest.mark.parametrize("latencies", [[], [0.1] * 63, [0.1] * 64 + [float("nan")], [0.0] * 64])
def test_what_is_no_measurement_has_no_percentile(latencies: list[float]) -> None:
    with pytest.raises(ValueError, match=r"too few|above zero"):
        percentile_90(latencies)


def test_every_tier_measures_long_enough_for_a_percentile() -> None:
    for name, preset in PRESETS.items():
        assert preset.queries >= queries_needed(0.9), name
        assert preset.warm_up >= 5, name


def test_a_ratio_of_medians_forgives_a_slow_minute_and_sees_ten_percent() -> None:
    random = np.random.default_rng(3)
    minutes = random.choice([1.0, 1.6], 16)[:, None]  # another process, half of the time
    ours, theirs = (minutes * random.normal(0.03, 0.002, (16, 8)) for _ in range(2))
    same = ratio_of_medians(ours, theirs)
    assert same.lower < 1 < same.upper < 1.05
    slower = ratio_of_medians(1.1 * ours, theirs)
    assert slower.value == pytest.approx(1.1 * same.value)
    assert slower.lower > 1.05


def test_a_ratio_needs_blocks_that_were_measured_in_turn() -> None:
    with pytest.raises(ValueError, match="alike"):
        ratio_of_medians(np.ones((16, 8)), np.ones((8, 16)))
    with pytest.raises(ValueError, match="2 sessions"):
        ratio_of_medians(np.ones((9, 8)), np.ones((9, 8)), sessions=2)


def test_what_clings_to_the_processes_of_one_sitting_cancels_out() -> None:
    random = np.random.default_rng(4)
    ours, theirs = (random.normal(0.03, 0.0005, (16, 8)) for _ in range(2))
    ours[:8] *= 1.06  # loaded first, and then second
    theirs[8:] *= 1.06
    found = ratio_of_medians(ours, theirs, sessions=2)
    assert found.value == pytest.approx(1, abs=0.01)
    assert 0.98 < found.lower < found.upper < 1.02


@pytest.mark.benchmark(timer=CLOCK)
def test_pytest_benchmark_records_the_runner_s_clock(benchmark: BenchmarkFixture) -> None:
    seconds = [0.25, 0.5, 1.0]
    replay(benchmark, CLOCK, seconds)
    if benchmark.stats is not None:  # disabled under xdist
        assert benchmark.stats.stats.data == pytest.approx(seconds)
