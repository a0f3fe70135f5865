"""What the worker times and when it shows signs of life, on a clock that only its work moves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devices import worker
from devices.client import final_reply
from devices.worker import BEAT_SECONDS, NullClassifier

# Seconds of a worker's steps; a reading of the clock takes next to nothing, but not nothing.
TOKENIZING, INVOKING, READING = 0.01, 0.2, 1e-6
SLACK = 1e-3


class Clock:
    """A machine's time, and the CPU time of the one process on it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cpu = 0.0

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.cpu += seconds

    def perf_counter(self) -> float:
        self.now += READING
        return self.now

    def process_time(self) -> float:
        return self.cpu


class Classifier(NullClassifier):
    """Has signatures of 8 and 16 tokens, and takes the time of the steps above."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.invoked: list[int] = []

    def length_for(self, tokens: int) -> int:
        return 8 if tokens <= 8 else 16

    def encode(self, text: str) -> list[int]:
        self.clock.work(TOKENIZING)
        return [1] * len(text.split())

    def invoke(self, *given: Any) -> tuple[Any, float]:
        self.clock.work(INVOKING)
        self.invoked.append(self.length_for(len(given[0])))
        return super().invoke()[0], INVOKING


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    times = SimpleNamespace(perf_counter=made.perf_counter, process_time=made.process_time)
    monkeypatch.setattr(worker, "time", times)
    return made


def measure(clock: Clock, texts: Sequence[str] = ("a",), **more: Any) -> dict[str, Any]:
    asked = {"min_queries": 1, "min_seconds": 0.0, "warm_up": 0, "beat": lambda: None, **more}
    return Classifier(clock).measure(list(texts), **asked)


QUERY = TOKENIZING + INVOKING


@pytest.mark.parametrize(
    ("queries", "seconds", "made"), [(20, 0.0, 20), (1, 3.0, 15), (20, 3.0, 20)]
)
def test_it_measures_until_there_are_queries_and_seconds_enough(
    clock: Clock, queries: int, seconds: float, made: int
) -> None:
    found = measure(clock, min_queries=queries, min_seconds=seconds)
    assert found["seconds"] == pytest.approx([QUERY] * made, abs=SLACK)
    assert found["invoke"] == [INVOKING] * made
    assert found["wall_seconds"] == pytest.approx(made * QUERY, abs=SLACK)


def test_a_query_s_time_is_slowed_down_by_the_share_that_is_asked(clock: Clock) -> None:
    found = measure(clock, min_queries=3, slow_down=0.5)
    assert found["seconds"] == pytest.approx([1.5 * QUERY] * 3, abs=SLACK)


def test_what_it_does_before_the_queries_is_its_own_and_no_other_process_s(clock: Clock) -> None:
    """Else a slow mode's warm-up is taken for another process that disturbs the measurement."""
    found = measure(clock, ["a", "a " * 12], min_queries=4, warm_up=5)
    assert found["cpu_seconds"] == pytest.approx(4 * QUERY)
    lengths = 2 * TOKENIZING  # which signatures the texts need
    assert found["all_cpu_seconds"] == pytest.approx(lengths + (5 + 4) * QUERY)


@pytest.mark.parametrize(("warm_up", "invoked"), [(0, []), (1, [8, 16]), (3, [8, 16, 8])])
def test_a_warm_up_answers_a_text_of_each_length(
    clock: Clock, warm_up: int, invoked: list[int]
) -> None:
    classifier = Classifier(clock)
    texts = ["a", "a " * 12]
    classifier.measure(texts, min_queries=1, min_seconds=0, warm_up=warm_up, beat=lambda: None)
    assert classifier.invoked == [*invoked, 8]


def test_a_long_measurement_shows_signs_of_life(clock: Clock) -> None:
    """After each text of the warm-up, and then as soon as a query ends half a second later."""
    beats = [0.0]
    measure(clock, min_seconds=30.0, warm_up=7, beat=lambda: beats.append(clock.now))
    silences = [later - earlier for earlier, later in pairwise([*beats, clock.now])]
    assert max(silences) <= BEAT_SECONDS + QUERY + SLACK
    assert silences[1:7] == pytest.approx([QUERY] * 6, abs=SLACK)
    assert len(beats) < 7 + 30 / BEAT_SECONDS, "and not after each query"


def test_meters_are_read_before_the_queries_at_each_sign_of_life_and_after_them(
    clock: Clock, tmp_path: Path
) -> None:
    power = tmp_path / "power"
    power.write_text("1")
    times: list[float] = []

    def beat() -> None:
        power.write_text(f"{len(times) + 2}")
        times.append(clock.now)

    found = measure(clock, min_seconds=1.3, beat=beat, meters=[str(power), "/no/such"])
    ats, texts = zip(*found["read"], strict=True)
    assert len(times) == 2
    assert ats == pytest.approx([0.0, *times, found["wall_seconds"]], abs=0.02)
    assert texts == (["1", None], ["2", None], ["3", None], ["3", None])


def test_a_deadline_is_silence_and_not_work() -> None:
    """As many signs of life as it takes, each before the deadline; and one that comes too late."""
    now, deadline_s = [0.0], 2.0

    def channel(gaps: list[float]) -> Any:
        beats: list[dict[str, Any]] = [{"beat": True}] * (len(gaps) - 1)
        messages, left = iter([*beats, {"ok": "done"}]), iter(gaps)

        def receive(timeout: float) -> dict[str, Any]:
            gap = next(left)
            now[0] += min(gap, timeout)
            if gap > timeout:
                raise TimeoutError
            return next(messages)

        return receive

    assert final_reply(channel([1.9] * 100), deadline_s) == {"ok": "done"}
    assert now[0] == pytest.approx(190)
    for gaps in ([2.1], [1.9, 2.1], [1.9, 1.9, 2.1, 1.9]):
        now[0] = 0.0
        with pytest.raises(TimeoutError):
            final_reply(channel(gaps), deadline_s)
        assert now[0] == pytest.approx(1.9 * gaps.index(2.1) + 2.0)
