"""Does the gate's statistic see what is there, and nothing else? An A/A check.

The same FlatBuffer is timed as if it were two, many times over, each time by fresh workers in
turn; then as often with a regression planted in one of the two. The statistic and the bound are
those that a FlatBuffer is held against an older one by: told apart means that the interval of the
ratio lies wholly beyond `latency.SAME_SPEED`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devices.boards.board import Board
from devices.client import Worker
from devices.measurement.interleaved import interleaved_runs
from devices.measurement.latency import PRESETS, SAME_SPEED, SESSIONS, Ratio, ratio_of_medians


@dataclass(frozen=True)
class Comparison:
    """One comparison of a FlatBuffer with itself.

    `slow_down` is what was planted; `fault` says why the machine was not fit to measure, or None.
    """

    ratio: Ratio
    slow_down: float
    fault: str | None

    @property
    def differs(self) -> bool:
        """Whether one is found to be slower than the other."""
        return self.ratio.lower > SAME_SPEED or self.ratio.upper < 1 / SAME_SPEED


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
    preset: str = "quick",
) -> Iterator[Comparison]:
    """Compare a FlatBuffer with itself, `times` times, on a board.

    `files`: the FlatBuffer and its tokenizer.
    """
    asked = [texts[n % len(texts)] for n in range(PRESETS[preset].queries)]

    @contextmanager
    def opened() -> Iterator[Worker]:
        with board.worker(runtime) as worker:
            worker.load(*files, labels, runtime, threads)
            yield worker

    for _ in range(times):
        interleaved = interleaved_runs(
            opened, opened, asked, snapshot=board.snapshot, slow_down=slow_down
        )
        ratio = ratio_of_medians(interleaved.ours, interleaved.theirs, sessions=SESSIONS)
        yield Comparison(ratio, slow_down, interleaved.fault)
