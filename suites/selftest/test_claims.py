"""The claims themselves, given planted figures: each is red for what it exists to catch."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import fixtures.measured
from devices.answers import logit_distances, spread_of_logits, told_apart
from devices.board import Board, emulated, this_machine
from devices.cost import Cost
from devices.gateway import Answers, Timings
from devices.health import Snapshot
from devices.profile import profile
from fixtures.cases import Case
from fixtures.measured import Energy, Measured
from models.flatbuffer import Contents
from models.modes import MODES
from models.store import Store
from reports.decision import CannotRun, DoesNotShip, Invalid, Undecided, Verdict
from reports.judge import Judge, worst_measured
from tweets.corpus import Corpus


def _claim(name: str) -> ModuleType:
    """A claim file as a module of another name than pytest's own import of it."""
    path = Path(__file__).parents[1] / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"claim_{name}", path)
    assert spec and spec.loader
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


(
    test_accuracy, test_conformance, test_cost, test_energy, test_footprint, test_latency,
    test_memory, test_privacy,
) = map(
    _claim,
    ("accuracy", "conformance", "cost", "energy", "footprint", "latency", "memory", "privacy"),
)  # fmt: skip
CASE = Case("host", "ai-edge-litert", "dynamic_range")
EMULATED = emulated("pi4", Path("store"))
PI4 = Case(EMULATED.name, "ai-edge-litert", "dynamic_range")
NAMES = ("negative", "neutral", "positive")
COUNT = 6000
LABELS = np.arange(COUNT) % 3
TWEETS = Corpus("made up", tuple(f"tweet {i}" for i in range(COUNT)), tuple(LABELS.tolist()), NAMES)


@pytest.fixture
def judged() -> Judge:
    return Judge({"measurements": [], "facts": {}, "reason": ""})


def _predictions(wrong: int, seed: int = 0) -> np.ndarray:
    found = LABELS.copy()
    chosen = np.random.default_rng(seed).permutation(COUNT)[:wrong]
    found[chosen] = (found[chosen] + 1) % 3
    return found


def _answers(predictions: np.ndarray, noise: float = 0.0) -> Answers:
    logits = 4 * np.eye(3, dtype=np.float32)[predictions]
    logits += noise * np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
    return Answers(logits, logits.argmax(1), NAMES, (10,) * len(logits), 0)


def _card(predictions: np.ndarray) -> Any:
    return SimpleNamespace(
        predictions=tuple(predictions.tolist()), logits=_answers(predictions).logits
    )


def _spread(case: Case) -> float:
    return spread_of_logits(_answers(LABELS).logits)


def _everything(case: Case) -> tuple[list[int], Corpus]:
    return list(range(COUNT)), TWEETS


def _all(case: Case, count: int) -> int:
    return count


def _board_of(case: Case) -> Board:
    return this_machine(case.device, Path("store"))


def _judge_accuracy(test: Any, judged: Judge, answers: Answers, reference: np.ndarray) -> None:
    test(
        CASE, _card(answers.predictions), _card(reference), TWEETS, lambda case: answers,
        _everything, judged,
    )  # fmt: skip


DROPS = [test_accuracy.test_accuracy_drop, test_accuracy.test_balanced_accuracy_drop]


@pytest.mark.parametrize("test", DROPS)
def test_a_planted_accuracy_loss_does_not_ship(test: Any, judged: Judge) -> None:
    reference = _predictions(1000)
    _judge_accuracy(test, judged, _answers(_predictions(1100)), reference)
    with pytest.raises(DoesNotShip, match=r"drop is 8\.333"):
        _judge_accuracy(test, _fresh(), _answers(_predictions(1500)), reference)
    with pytest.raises(Undecided, match="straddles"):
        _judge_accuracy(test, _fresh(), _answers(_predictions(1240)), reference)


def test_the_entity_mean_is_recorded_where_tweets_name_entities() -> None:
    entities = tuple("A" if i < COUNT // 4 else "B" for i in range(COUNT))
    tweets = replace(TWEETS, entities=entities)
    record: dict[str, Any] = {"measurements": [], "facts": {}}
    answers = LABELS.copy()
    answers[: COUNT // 8] = (answers[: COUNT // 8] + 1) % 3
    test_accuracy.test_accuracy_drop(
        CASE, _card(answers), _card(answers), tweets, lambda case: _answers(answers),
        lambda case: (list(range(COUNT)), tweets), Judge(record),
    )  # fmt: skip
    assert record["facts"]["accuracy"] == pytest.approx(87.5)
    assert record["facts"]["entity_mean_accuracy"] == pytest.approx(75)


def _fresh() -> Judge:
    return Judge({"measurements": [], "facts": {}, "reason": ""})


def test_a_constant_answer_does_not_ship_whatever_the_reference() -> None:
    answers = _answers(np.zeros(COUNT, int))
    with pytest.raises(DoesNotShip):
        _judge_accuracy(DROPS[1], _fresh(), answers, _predictions(1000))


def test_disagreement_with_float32_does_not_ship(judged: Judge) -> None:
    card = _card(LABELS)
    few = round(COUNT * (1 - MODES[CASE.mode].agreement / 100))
    ask = test_accuracy.test_agreement_with_float32
    ask(CASE, card, lambda case: _answers(_predictions(few - 1)), _everything, judged)
    with pytest.raises(DoesNotShip):
        ask(CASE, card, lambda case: _answers(_predictions(few + 1)), _everything, _fresh())


def _judge_distance(
    judged: Judge, logits: np.ndarray, *, case: Case = CASE, recorded: np.ndarray | None = None,
    asked: list[int] | None = None, here: np.ndarray | None = None, spread: float | None = None,
) -> None:  # fmt: skip
    """Given what a case answers to all tweets, of which it is asked some, and what this machine."""
    recorded = _answers(LABELS).logits if recorded is None else recorded
    indices = list(range(COUNT)) if asked is None else asked
    given = Answers(logits[indices], logits[indices].argmax(1), NAMES, (10,) * len(indices), 0)
    test_conformance.test_answers_like_its_checkpoint(
        case, SimpleNamespace(logits=recorded), lambda case: given,
        lambda case, some: here[some] if here is not None else pytest.fail("asked this machine"),
        lambda case: spread or spread_of_logits(recorded), lambda case: (indices, TWEETS),
        list(range(0, COUNT, 12)),
        lambda case: EMULATED if case == PI4 else _board_of(case), judged,
    )  # fmt: skip


@pytest.mark.parametrize("away", ["all", "one tweet"])
def test_logits_far_from_the_recorded_ones_do_not_ship(away: str, judged: Judge) -> None:
    _judge_distance(judged, _answers(LABELS, noise=0.05).logits)
    wrong = _answers(LABELS, noise=1.0 if away == "all" else 0.0).logits
    if away == "one tweet":
        wrong[7] += np.array([0, 3, 0])
    with pytest.raises(DoesNotShip, match="worst logit" if away == "one tweet" else "distance"):
        _judge_distance(_fresh(), wrong)


def test_a_sample_of_tweets_that_are_alike_is_held_against_the_spread_of_all(judged: Judge) -> None:
    """Logits near to each other are no nearer to another model's."""
    recorded, asked = _answers(LABELS).logits, list(range(0, 600, 3))
    recorded[asked] *= 0.1
    ours = recorded + np.array([0.05, 0, -0.05])
    _judge_distance(judged, ours, recorded=recorded, asked=asked)
    own = spread_of_logits(recorded[asked])
    with pytest.raises(DoesNotShip, match="logit distance"):
        _judge_distance(_fresh(), ours, recorded=recorded, asked=asked, spread=own)


def test_a_sample_decides_what_lies_far_enough_from_the_bound(judged: Judge) -> None:
    """Of 100 tweets: well within, too near to tell, well beyond."""
    asked, recorded = list(range(100)), _answers(LABELS).logits
    noise = _answers(LABELS, 0.1).logits - recorded
    away = logit_distances(recorded + noise, recorded, spread_of_logits(recorded))[asked].mean()
    bound = noise * MODES[CASE.mode].logit_distance / away
    _judge_distance(judged, recorded + 0.5 * bound, asked=asked)
    for near in (0.98, 1.02):
        with pytest.raises(Undecided, match="mean of 100 of 6000 tweets"):
            _judge_distance(_fresh(), recorded + near * bound, asked=asked)
    with pytest.raises(DoesNotShip, match="logit distance"):
        _judge_distance(_fresh(), recorded + 1.5 * bound, asked=asked)


def test_the_few_tweets_of_an_emulated_board_are_held_against_the_same_ones_here(
    judged: Judge,
) -> None:
    """They are far from the checkpoint by chance, on this machine just so: no fault of the board's.
    What the board adds is one."""
    here, asked = _answers(LABELS, noise=0.05).logits, list(range(8))
    recorded = _answers(LABELS).logits
    here[asked] = recorded[asked] + 0.15 * np.sign(here[asked] - recorded[asked])
    _judge_distance(judged, here, case=PI4, asked=asked, here=here)
    there = here + 0.3 * np.sign(here - recorded)
    with pytest.raises(DoesNotShip, match="what 8 on the board add"):
        _judge_distance(_fresh(), there, case=PI4, asked=asked, here=here)


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_an_operator_that_the_runtime_does_not_take_cannot_run(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = ("ADD v1", "FULLY_CONNECTED v12")
    monkeypatch.setattr(test_conformance, "inspect", lambda path: SimpleNamespace(operators=needed))
    case, ask = replace(CASE, runtime=runtime), test_conformance.test_runtime_takes_every_operator
    given = case, _board_of, lambda case: Path("ours.tflite"), _fresh()
    if runtime == "ai-edge-litert":
        ask(*given)
    else:
        with pytest.raises(CannotRun, match=r"needs FULLY_CONNECTED v12; .* stops at v10"):
            ask(*given)


# Latency


def _measured(milliseconds: float, fault: str | None = None, energy: Energy | None = None) -> Any:
    seconds = np.full(128, milliseconds / 1000)
    loaded: Any = SimpleNamespace(
        runtime="ai-edge-litert", version="2.3.0", delegate="XNNPACK", threads=1, lengths=(16,)
    )
    timings = Timings(seconds, seconds, 1.0, 1.0, 1.0, 0.1, 0.1)
    energy = energy or Energy(None, "nothing")
    return Measured(timings, loaded, fault, {}, {"device": "host"}, energy, {})


def _benchmark() -> Any:
    return SimpleNamespace(extra_info={}, pedantic=lambda call, **_: call())


@pytest.mark.parametrize(
    "test", [test_latency.test_latency_text_to_label, test_latency.test_latency_invoke]
)
def test_a_planted_slow_down_does_not_ship(test: Any, judged: Judge) -> None:
    host = profile("host")
    test(CASE, host, lambda case: _measured(900), judged, _benchmark())
    with pytest.raises(DoesNotShip, match="1100"):
        test(CASE, host, lambda case: _measured(1100), _fresh(), _benchmark())
    with pytest.raises(Invalid, match="swapping"):
        test(CASE, host, lambda case: _measured(900, "was swapping"), _fresh(), _benchmark())


def test_dynamic_range_slower_than_half_of_float32_does_not_ship(judged: Judge) -> None:
    ask = test_latency.test_latency_at_most_half_of_float32
    ask(CASE, lambda case: _measured(40 if case.mode == "float32" else 19), judged)
    with pytest.raises(DoesNotShip, match=r"0\.55 of float32"):
        ask(CASE, lambda case: _measured(40 if case.mode == "float32" else 22), _fresh())
    with pytest.raises(Invalid):
        ask(CASE, lambda case: _measured(9, "x" if case.mode == "float32" else None), _fresh())


@pytest.mark.parametrize(("factor", "error"), [(1.0, None), (1.02, None), (1.1, DoesNotShip)])
def test_slower_than_the_baseline_flatbuffer_does_not_ship(
    factor: float, error: type[Exception] | None, pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("devices.health.verdict", lambda *_, **__: None)
    monkeypatch.setattr(
        test_latency, "inspect", lambda path: SimpleNamespace(large_weights={"int8": 9})
    )
    monkeypatch.setattr(test_latency, "file_sha256", str)
    random, older = np.random.default_rng(5), Path("older.tflite")
    warmed: list[int] = []

    def measure(slow: float, texts: Any, warm_up: int, **_: Any) -> Any:
        warmed.append(warm_up)
        return SimpleNamespace(seconds=random.normal(slow, slow / 50, len(texts)), cpu_seconds=0.0)

    @contextmanager
    def opened(case: Case, flatbuffer: Path) -> Any:
        slow = 0.02 * (1.0 if flatbuffer == older else factor)
        yield SimpleNamespace(measure=partial(measure, slow))

    def ask(tweets: Corpus = TWEETS, case: Case = CASE) -> None:
        test_latency.test_latency_no_slower_than_baseline(
            case, older, tweets, pytestconfig, opened,
            lambda case: SimpleNamespace(snapshot=lambda runner: None),
            lambda case: Path("ours.tflite"), _fresh(),
        )  # fmt: skip

    if error is None:
        ask()
        # Two of each sitting, before anything of it is timed.
        assert [n for n, queries in enumerate(warmed) if queries] == [0, 1, 18, 19]
        assert set(warmed) == {0, 5}
        ask(TWEETS.take(range(5)))
        with pytest.raises(Invalid, match="no float16"):
            ask(case=replace(CASE, mode="float16"))
    else:
        with pytest.raises(error, match=r"1\.\d+ of the baseline's time"):
            ask()


def test_more_energy_than_the_profile_allows_does_not_ship(judged: Judge) -> None:
    ask, pi = test_energy.test_energy_a_tweet, profile("pi4")
    ask(CASE, pi, lambda case: _measured(9, energy=Energy(6.3, "INA219")), None, judged)
    with pytest.raises(DoesNotShip, match=r"energy is 6\.5 J a tweet \(mean, INA219\)"):
        ask(CASE, pi, lambda case: _measured(9, energy=Energy(6.5, "INA219")), None, _fresh())
    for found in (_measured(9, "throttled"), _measured(9, energy=Energy(None, "", "log ends"))):
        with pytest.raises(Invalid, match=r"throttled|log ends"):
            ask(CASE, pi, lambda case, found=found: found, None, _fresh())


# An emulated board


def test_a_projected_latency_is_never_held_against_a_budget(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: a verdict of conforms, and projected in every place."""
    counted = SimpleNamespace(arithmetic=1e9, weight_bytes=2.5e7, activation_bytes=1e8)
    monkeypatch.setattr(test_latency, "operations", lambda path: {24: counted, 40: counted})
    test_latency.test_latency_projected(
        PI4, EMULATED.profile, lambda case: Cost({24: 10**9, 40: 10**11}, 0.0), 39,
        lambda case: Path("ours.tflite"), judged,
    )  # fmt: skip
    found = judged._record["measurements"]
    assert {m["sense"] for m in found} == {"projected"}
    assert {m["verdict"] for m in found} == {Verdict.CONFORMS}
    assert all("projected" in m["statistic"] and m["budget"] is None for m in found)
    # Of the length that nine of ten tweets fit: 10^11 instructions, 0.9 to 1.9 a cycle of 1.5 GHz.
    assert judged._record["facts"]["projected_p90_low_ms"] == pytest.approx(1e5 / 1.9 / 1.5)
    assert judged._record["facts"]["projected_p90_high_ms"] == pytest.approx(1e5 / 0.9 / 1.5)
    assert worst_measured(judged._record) is Verdict.CONFORMS
    assert "p90_ms" not in judged._record["facts"]


def test_a_board_of_which_nothing_is_projected_is_undecided(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile without [projection]: it conforms, and of its speed nothing is known."""
    counted = SimpleNamespace(arithmetic=1e9, weight_bytes=2.5e7, activation_bytes=1e8)
    monkeypatch.setattr(test_latency, "operations", lambda path: {24: counted})
    with pytest.raises(Undecided, match=r"nothing is projected without \[projection\]"):
        test_latency.test_latency_projected(
            PI4, replace(EMULATED.profile, projection=None), lambda case: Cost({24: 10**9}, 0.0),
            24, lambda case: Path("ours.tflite"), judged,
        )  # fmt: skip


def test_instructions_that_do_not_repeat_do_not_ship(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_cost, "qemu", lambda store: Path("qemu"))
    monkeypatch.setattr(test_cost, "qemu_version", lambda path: (7, 2))

    def ask(spread: float, judge: Judge) -> None:
        cost, store = Cost({24: 100}, spread), Store(Path("store"))
        test_cost.test_instructions_repeat(PI4, lambda case: cost, store, judge)

    ask(0.001, judged)
    assert judged._record["facts"] == {"instructions": {"24": 100}, "emulator": "QEMU 7.2"}
    with pytest.raises(DoesNotShip, match="difference between two counts"):
        ask(0.02, _fresh())


def test_another_label_than_on_this_machine_does_not_ship(judged: Judge) -> None:
    def ask(there: Answers, here: Answers, judge: Judge) -> None:
        test_accuracy.test_answers_as_this_machine_does(
            PI4, lambda case: there, lambda case, some: here.logits[some], _spread, _everything,
            judge,
        )  # fmt: skip

    ask(_answers(LABELS, 0.1), _answers(LABELS), judged)
    other = LABELS.copy()
    other[7] = (other[7] + 1) % 3
    with pytest.raises(DoesNotShip, match="1 of 6000 tweets got another label"):
        ask(_answers(other), _answers(LABELS), _fresh())
    here, there = _answers(LABELS), _answers(LABELS)
    here.logits[7], there.logits[7] = [0.01, 0, -4], [0, 0.01, -4]
    ask(there, here, _fresh())  # a tie
    there.logits[7] = [0, 4, -4]
    here.logits[7] = [4, 0, -4]
    with pytest.raises(DoesNotShip, match="1 of 6000 tweets got another label"):
        ask(there, here, _fresh())


def test_a_tie_may_fall_either_way() -> None:
    spread = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.02, 0.0, -0.02]])
    turned = spread.copy()
    turned[2] = [0.0, 0.02, -0.02]
    assert not told_apart(turned, spread, 0.05).any()
    assert told_apart(turned, spread, 0.01).tolist() == [False, False, True]
    turned[0] = [0.0, 1.0, -1.0]
    assert told_apart(turned, spread, 0.05).tolist() == [True, False, False]


def test_the_runner_s_own_warm_up_does_not_disturb_its_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All CPU time that the runner used between the two snapshots is its own."""
    still = Snapshot(0.0, None, 0.0, 0.0, 0.0, None, None, None, None, 0.0, 0)
    busy = replace(still, time_s=10.0, busy_s=9.0, total_s=20.0)
    seconds = np.full(4, 0.2)
    monkeypatch.setattr(fixtures.measured, "_energy", lambda *_: Energy(None, "nothing"))

    def fault(all_cpu_seconds: float) -> str | None:
        snapshots = iter((still, busy))
        timings = Timings(seconds, seconds, 1.0, all_cpu_seconds, 1.0, 0.1, 0.1)
        runner = SimpleNamespace(
            loaded=LABELS, overhead=lambda: (0.0, 0.0), read=lambda path: None,
            measure=lambda *_, **__: timings,
        )  # fmt: skip
        board = SimpleNamespace(
            name="host", meter=None, machine=SimpleNamespace(board_key_parts={}),
            snapshot=lambda runner: next(snapshots), profile=profile("host"),
        )  # fmt: skip
        config = SimpleNamespace(getoption=lambda name: "rapid")
        ask = inspect.unwrap(cast(Any, fixtures.measured.measured))
        measure = ask(lambda case: nullcontext(runner), lambda case: board, TWEETS, config)
        return cast(Measured, measure(CASE)).fault

    assert fault(9.0) is None
    assert "other processes" in str(fault(1.0))


# Memory and privacy, with a runner that is made up


def _runner_of(**methods: Any) -> Any:
    runner = SimpleNamespace(
        loaded=SimpleNamespace(lengths=(16, 32)), classify=lambda *_, **__: None, **methods
    )

    @contextmanager
    def opened(case: Case) -> Any:
        yield runner

    return opened


def test_too_much_memory_does_not_ship(judged: Judge) -> None:
    def weighed(peak: float, lengths: tuple[int, ...] = (16, 32)) -> Any:
        memory = SimpleNamespace(peak_mb=peak, bare_mb=20.0, lengths_used=lengths)
        return _runner_of(memory=lambda: memory)

    host = profile("host")

    def ask(runner_of: Any, judge: Judge) -> None:
        test_memory.test_memory_peak(CASE, _board_of, host, runner_of, TWEETS, _all, judge)

    ask(weighed(host.budget.memory_mb - 1), judged)
    with pytest.raises(DoesNotShip):
        ask(weighed(host.budget.memory_mb + 1), _fresh())
    with pytest.raises(DoesNotShip, match="weighed after"):
        ask(weighed(1, (16,)), _fresh())


def test_memory_of_a_machine_that_swaps_is_invalid() -> None:
    """What is swapped out is not resident."""
    still = Snapshot(0.0, None, 0.0, 0.0, 0.0, None, None, None, None, 0.0, 0)
    memory = SimpleNamespace(peak_mb=1.0, bare_mb=20.0, lengths_used=(16, 32))

    def ask(swapped: int) -> None:
        states = iter((still, replace(still, swapped_pages=swapped)))
        board: Any = SimpleNamespace(emulated=False, snapshot=lambda runner: next(states))
        test_memory.test_memory_peak(
            CASE, lambda case: board, profile("host"), _runner_of(memory=lambda: memory), TWEETS,
            _all, _fresh(),
        )  # fmt: skip

    ask(5)
    with pytest.raises(Invalid, match="swapping: 5000 pages"):
        ask(5000)


@pytest.mark.parametrize(
    ("peak", "error"), [(390, None), (410, Undecided), (441, DoesNotShip)], ids=str
)
def test_what_may_be_the_emulators_memory_decides_nothing(
    peak: float, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 of these MB are at most the emulator's; a Pi 4 has a budget of 400."""
    monkeypatch.setattr(test_memory, "translations_mb", lambda pid: 40.0)
    memory = SimpleNamespace(peak_mb=peak, bare_mb=20.0, lengths_used=(16, 32))
    ask = partial(
        test_memory.test_memory_peak, PI4, lambda case: EMULATED, EMULATED.profile,
        _runner_of(memory=lambda: memory, pid=1), TWEETS, _all, _fresh(),
    )  # fmt: skip
    if error is None:
        ask()
    else:
        with pytest.raises(error):
            ask()


def test_an_attempt_to_send_or_write_does_not_ship(judged: Judge) -> None:
    def guarded(*attempts: str) -> Any:
        report = SimpleNamespace(network="network namespace", files="hook", attempts=attempts)
        return _runner_of(guard=lambda: report)

    ask = test_privacy.test_tweets_stay_on_the_device
    ask(CASE, guarded(), _everything, _all, judged)
    with pytest.raises(DoesNotShip, match="connect"):
        ask(CASE, guarded("connect 1.2.3.4"), _everything, _all, _fresh())


# Footprint


def _contents(size: int, weights: dict[str, int], activations: dict[str, int]) -> Contents:
    return Contents(size, (), 0, {}, weights, activations, (), ())


@pytest.mark.parametrize(
    ("weights", "activations"),
    [
        ({"int8": 360, "float32": 1}, {"float32": 900}),  # an embedding left in float32
        ({"int4": 361}, {"float32": 900}),
        ({}, {"float32": 900}),
        ({"int8": 361}, {"int8": 900}),  # activations that became int8
        ({"int8": 361}, {"float32": 899, "int8": 1}),  # of one layer, or in one signature
        ({"int8": 361}, {}),
    ],
)
def test_other_dtypes_than_promised_do_not_ship(
    weights: dict[str, int], activations: dict[str, int], judged: Judge
) -> None:
    ask = test_footprint.test_dtypes_are_what_the_mode_promises
    ask(CASE, _contents(1, {"int8": 361}, {"float32": 900}), judged)
    with pytest.raises(DoesNotShip):
        ask(CASE, _contents(1, weights, activations), _fresh())


def test_a_size_that_is_not_the_modes_does_not_ship(checkpoint: Any, judged: Judge) -> None:
    ask = test_footprint.test_size_is_what_the_mode_promises
    ask(CASE, _contents(25_100_000, {}, {}), checkpoint, judged)
    for size in (38_000_000, 13_000_000):
        with pytest.raises(DoesNotShip):
            ask(CASE, _contents(size, {}, {}), checkpoint, _fresh())
    paper = test_footprint.test_160x_smaller_than_the_training_checkpoint_of_bert_large
    paper(CASE, _contents(25_100_000, {}, {}), checkpoint, _fresh())
    with pytest.raises(DoesNotShip, match="159"):
        paper(CASE, _contents(25_250_000, {}, {}), checkpoint, _fresh())


def test_facts_are_plain_json(judged: Judge) -> None:
    judged.facts(accuracy=np.float64(80.5), confusion_matrix=np.eye(2, dtype=int))
    assert json.loads(json.dumps(judged._record["facts"]))["accuracy"] == 80.5
    with pytest.raises(Invalid):
        judged.facts(drop=float("nan"))
