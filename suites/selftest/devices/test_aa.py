"""The A/A check: two workers timed interleaved, and what counts as told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from devices.measurement import aa_test
from devices.measurement.aa_test import Comparison
from devices.measurement.interleaved import BLOCK, interleaved_runs
from devices.measurement.latency import SESSIONS, Ratio, ratio_of_medians
from fit import main


class Machine:
    """Opens made-up workers; the one that is loaded first is slower. What happens is noted."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.timed: list[tuple[str, str]] = []
        self._open = 0

    @contextmanager
    def worker(self, name: str) -> Iterator[Any]:
        self.opened.append(name)
        self._open += 1
        milliseconds = 10.4 if self._open == 1 else 10.0

        def measure(texts: list[str], warm_up: int, slow_down: float = 0.0, **_: Any) -> Any:
            if not warm_up:
                self.timed.append((name, texts[0]))
            seconds = np.full(8, milliseconds / 1e3 * (1 + slow_down))
            return SimpleNamespace(seconds=seconds, cpu_seconds=1.0)

        yield SimpleNamespace(measure=measure)
        self._open -= 1


@pytest.mark.parametrize("slow_down", [0.0, 0.1])
def test_two_are_timed_in_turn_and_neither_is_always_loaded_first(
    slow_down: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([None, "throttled"])
    monkeypatch.setattr("devices.measurement.health.verdict", lambda *_, **__: next(faults))
    machine = Machine()
    interleaved = interleaved_runs(
        lambda: machine.worker("ours"),
        lambda: machine.worker("theirs"),
        [f"text {n}" for n in range(16 * BLOCK + 3)],
        snapshot=lambda worker: cast(Any, None),
        slow_down=slow_down,
    )
    assert machine.opened == ["ours", "theirs", "theirs", "ours"]
    first, second = "text 0", f"text {BLOCK}"
    assert machine.timed[:4] == [
        ("ours", first),
        ("theirs", first),
        ("theirs", second),
        ("ours", second),
    ]
    assert interleaved.ours.shape == interleaved.theirs.shape == (16, BLOCK)
    assert interleaved.fault == "throttled"
    ratio = ratio_of_medians(interleaved.ours, interleaved.theirs, sessions=SESSIONS)
    assert [ratio.lower, ratio.value, ratio.upper] == pytest.approx([1 + slow_down] * 3)


@pytest.mark.parametrize(
    ("bounds", "apart"),
    [((1.01, 1.04), False), ((1.04, 1.2), False), ((1.06, 1.2), True), ((0.8, 0.94), True)],
)
def test_told_apart_is_a_whole_interval_beyond_the_bound(
    bounds: tuple[float, float], apart: bool
) -> None:
    assert Comparison(Ratio(1.0, *bounds), 0.0, None).differs is apart


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
    alike: int,
    planted: int,
    fault: str | None,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compare(*_: Any, times: int, slow_down: float, **__: Any) -> Iterator[Comparison]:
        apart = planted if slow_down else alike
        for number in range(times):
            lower = 1.06 if number < apart else 0.99
            yield Comparison(Ratio(1.07, lower, 1.1), slow_down, fault)

    monkeypatch.setattr(aa_test, "compare", compare)
    (tmp_path / "texts").write_text("a text\n\nanother\n")
    assert main(["aa", "model.tflite", "tokenizer.json", str(tmp_path / "texts")]) == status
    said = capsys.readouterr().out
    assert f"0% planted: told apart {alike} of 20 times" in said
    assert f"10% planted: told apart {planted} of 20 times" in said
    assert ("INVALID" in said) is (fault is not None)


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"\n \n", "no text in it"), (b"\xff\xfe", "can't decode"), (None, "No such file")],
)
def test_what_is_no_file_of_tweets_is_refused(
    text: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "texts").write_bytes(text)
    with pytest.raises(SystemExit, match="2"):
        main(["aa", "model.tflite", "tokenizer.json", str(tmp_path / "texts")])
    assert said in capsys.readouterr().err


def test_no_comparison_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts").write_text("a text")
    with pytest.raises(SystemExit, match="2"):
        main(["aa", "a", "b", str(tmp_path / "texts"), "--times", "0"])
    assert "0: at least 1" in capsys.readouterr().err
