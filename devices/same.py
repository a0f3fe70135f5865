"""Does the gate's statistic see what is there, and nothing else? An A/A check.

The same FlatBuffer is timed as if it were two, many times over, each time by two fresh runners in
turn; then once more with a regression planted in one of them. The statistic and the bound are those
that a FlatBuffer is held against an older one by: told apart means that the interval of the ratio
lies wholly beyond `latency.SAME_SPEED`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devices import health
from devices.gateway import Runner
from devices.latency import SAME_SPEED, TIERS, Ratio, ratio_of_medians
from devices.turns import in_turn, warm_up


@dataclass(frozen=True)
class Comparison:
    """One comparison of a FlatBuffer with itself.

    `slow_down` is what was planted; `fault` says why the machine was not fit to measure, or None.
    """

    ratio: Ratio
    slow_down: float
    fault: str | None

    @property
    def told_apart(self) -> bool:
        """Whether one is found to be slower than the other."""
        return self.ratio.low > SAME_SPEED or self.ratio.high < 1 / SAME_SPEED


def compare(
    spec: str,
    files: tuple[Path, Path],
    labels: Sequence[str],
    texts: Sequence[str],
    *,
    runtime: str,
    threads: int,
    times: int,
    slow_down: float,
    tier: str = "quick",
) -> Iterator[Comparison]:
    """Compare a FlatBuffer with itself, `times` times, by runners at an execnet spec.

    `files`: the FlatBuffer and its tokenizer.
    """
    asked = [texts[n % len(texts)] for n in range(TIERS[tier].queries)]
    for _ in range(times):
        with Runner(spec) as ours, Runner(spec) as theirs:
            for runner in (ours, theirs):
                runner.load(*files, labels, runtime, threads)
                warm_up(runner, asked)
            before = health.snapshot()
            turns = in_turn(ours, theirs, asked, slow_down=slow_down)
            fault = health.verdict(before, health.snapshot(), runner_cpu_s=turns.cpu_seconds)
        yield Comparison(ratio_of_medians(turns.ours, turns.theirs), slow_down, fault)
