"""The A/A check: two runners timed in turn, and what counts as told apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from devices import __main__ as command
from devices import same
from devices.latency import Ratio, ratio_of_medians
from devices.same import Comparison
from devices.turns import BLOCK, in_turn


def test_two_are_timed_in_turn_with_the_same_tweets() -> None:
    asked: list[tuple[str, str]] = []

    def runner(name: str, milliseconds: float) -> Any:
        def measure(texts: list[str], slow_down: float, **_: Any) -> Any:
            asked.append((name, texts[0]))
            seconds = np.full(len(texts), milliseconds / 1e3 * (1 + slow_down))
            return SimpleNamespace(seconds=seconds, cpu_seconds=1.0)

        return SimpleNamespace(measure=measure)

    texts = [f"tweet {n}" for n in range(8 * BLOCK + 3)]
    turns = in_turn(runner("ours", 10), runner("theirs", 10), texts, slow_down=0.1)
    assert [name for name, _ in asked[:4]] == ["ours", "theirs", "theirs", "ours"]
    first, third = "tweet 0", f"tweet {BLOCK}"
    assert [text for _, text in asked[:4]] == [first, first, third, third]
    assert turns.ours.shape == turns.theirs.shape == (8, BLOCK)
    assert turns.cpu_seconds == 16
    assert ratio_of_medians(turns.ours, turns.theirs).value == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("bounds", "apart"),
    [((1.01, 1.04), False), ((1.04, 1.2), False), ((1.06, 1.2), True), ((0.8, 0.94), True)],
)
def test_told_apart_is_a_whole_interval_beyond_the_bound(
    bounds: tuple[float, float], apart: bool
) -> None:
    assert Comparison(Ratio(1.0, *bounds), 0.0, None).told_apart is apart


@pytest.mark.parametrize(
    ("alike", "planted", "fault", "status"),
    [
        (0, 20, None, 0),
        (1, 19, None, 0),
        (2, 20, None, 1),
        (0, 18, None, 1),
        (0, 20, "other processes took 40%", 1),
    ],
)
def test_the_command_says_whether_the_statistic_sees(
    alike: int, planted: int, fault: str | None, status: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def compare(*_: Any, times: int, slow_down: float, **__: Any) -> Iterator[Comparison]:
        apart = planted if slow_down else alike
        for number in range(times):
            low = 1.06 if number < apart else 0.99
            yield Comparison(Ratio(1.07, low, 1.1), slow_down, fault)

    monkeypatch.setattr(same, "compare", compare)
    monkeypatch.setattr(command, "python_for", lambda runtime, store: store / runtime)
    (tmp_path / "texts").write_text("a tweet\n\nanother\n")
    assert command.main(["aa", "model.tflite", "tokenizer.json", str(tmp_path / "texts")]) == status
    said = capsys.readouterr().out
    assert f"0% planted: told apart {alike} of 20 times" in said
    assert f"10% planted: told apart {planted} of 20 times" in said
    assert ("INVALID" in said) is (fault is not None)
