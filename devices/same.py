"""Does the gate's statistic see what is there, and nothing else? An A/A check.

The same FlatBuffer is timed as if it were two, many times over, each time by fresh runners in
turn; then as often with a regression planted in one of the two. The statistic and the bound are
those that a FlatBuffer is held against an older one by: told apart means that the interval of the
ratio lies wholly beyond `latency.SAME_SPEED`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devices.board import Board
from devices.gateway import Runner
from devices.latency import SAME_SPEED, SITTINGS, TIERS, Ratio, ratio_of_medians
from devices.turns import in_turn


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
    board: Board,
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
    """Compare a FlatBuffer with itself, `times` times, on a board.

    `files`: the FlatBuffer and its tokenizer.
    """
    asked = [texts[n % len(texts)] for n in range(TIERS[tier].queries)]

    @contextmanager
    def opened() -> Iterator[Runner]:
        with board.runner(runtime) as runner:
            runner.load(*files, labels, runtime, threads)
            yield runner

    for _ in range(times):
        turns = in_turn(opened, opened, asked, snapshot=board.snapshot, slow_down=slow_down)
        ratio = ratio_of_medians(turns.ours, turns.theirs, sittings=SITTINGS)
        yield Comparison(ratio, slow_down, turns.fault)
