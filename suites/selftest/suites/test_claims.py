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

import fixtures.measurement
from common.cache import Cache
from data.dataset import Dataset
from devices.boards.board import Board, emulated, this_machine
from devices.client import Outputs, Timings
from devices.measurement.health import Snapshot
from devices.measurement.instruction_count import InstructionCount
from devices.measurement.numerics import label_mismatches, logit_spread, normalized_logit_errors
from devices.profile import profile
from fixtures.matrix import Target
from fixtures.measurement import Energy, Measured
from models.contents import Contents
from models.modes import MODES
from reports.check import Check, worst_measured
from reports.verdict import CannotRun, Fails, Inconclusive, Invalid, Verdict


def _claim(name: str) -> ModuleType:
    """A claim file as a module of another name than pytest's own import of it."""
    path = Path(__file__).parents[2] / f"test_{name}.py"
    spec = importlib.util.spec_from_file_location(f"claim_{name}", path)
    assert spec and spec.loader
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


(
    test_accuracy,
    test_conformance,
    test_cost,
    test_energy,
    test_footprint,
    test_latency,
    test_memory,
    test_privacy,
) = map(
    _claim,
    (
        "accuracy",
        "conformance",
        "instruction_count",
        "energy",
        "footprint",
        "latency",
        "memory",
        "privacy",
    ),
)
TARGET = Target("host", "ai-edge-litert", "dynamic_range")
EMULATED = emulated("pi4", Path("cache_dir"))
PI4 = Target(EMULATED.name, "ai-edge-litert", "dynamic_range")
NAMES = ("negative", "neutral", "positive")
COUNT = 6000
LABELS = np.arange(COUNT) % 3
SAMPLES = Dataset(
    "made up", tuple(f"text {i}" for i in range(COUNT)), tuple(LABELS.tolist()), NAMES
)


@pytest.fixture
def judged() -> Check:
    return Check({"measurements": [], "metrics": {}, "reason": ""})


def _predictions(wrong: int, seed: int = 0) -> np.ndarray:
    found = LABELS.copy()
    chosen = np.random.default_rng(seed).permutation(COUNT)[:wrong]
    found[chosen] = (found[chosen] + 1) % 3
    return found


def _outputs(predictions: np.ndarray, noise: float = 0.0) -> Outputs:
    logits = 4 * np.eye(3, dtype=np.float32)[predictions]
    logits += noise * np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
    return Outputs(logits, logits.argmax(1), NAMES, (10,) * len(logits), 0)


def _reference_outputs(predictions: np.ndarray) -> Any:
    return SimpleNamespace(
        predictions=tuple(predictions.tolist()), logits=_outputs(predictions).logits
    )


def _spread(target: Target) -> float:
    return logit_spread(_outputs(LABELS).logits)


def _everything(target: Target) -> tuple[list[int], Dataset]:
    return list(range(COUNT)), SAMPLES


def _all(target: Target, count: int) -> int:
    return count


def _board_of(target: Target) -> Board:
    return this_machine(target.device, Path("cache_dir"))


def _judge_accuracy(test: Any, judged: Check, outputs: Outputs, reference: np.ndarray) -> None:
    test(
        TARGET,
        _reference_outputs(outputs.predictions),
        _reference_outputs(reference),
        SAMPLES,
        lambda target: outputs,
        _everything,
        judged,
    )


DROPS = [test_accuracy.test_accuracy_drop, test_accuracy.test_balanced_accuracy_drop]


@pytest.mark.parametrize("test", DROPS)
def test_a_planted_accuracy_loss_does_not_ship(test: Any, judged: Check) -> None:
    reference = _predictions(1000)
    _judge_accuracy(test, judged, _outputs(_predictions(1100)), reference)
    with pytest.raises(Fails, match=r"drop is 8\.333"):
        _judge_accuracy(test, _fresh(), _outputs(_predictions(1500)), reference)
    with pytest.raises(Inconclusive, match="straddles"):
        _judge_accuracy(test, _fresh(), _outputs(_predictions(1240)), reference)


def test_the_entity_mean_is_recorded_where_tweets_name_entities() -> None:
    entities = tuple("A" if i < COUNT // 4 else "B" for i in range(COUNT))
    dataset = replace(SAMPLES, entities=entities)
    record: dict[str, Any] = {"measurements": [], "metrics": {}}
    outputs = LABELS.copy()
    outputs[: COUNT // 8] = (outputs[: COUNT // 8] + 1) % 3
    test_accuracy.test_accuracy_drop(
        TARGET,
        _reference_outputs(outputs),
        _reference_outputs(outputs),
        dataset,
        lambda target: _outputs(outputs),
        lambda target: (list(range(COUNT)), dataset),
        Check(record),
    )
    assert record["metrics"]["accuracy"] == pytest.approx(87.5)
    assert record["metrics"]["entity_mean_accuracy"] == pytest.approx(75)


def _fresh() -> Check:
    return Check({"measurements": [], "metrics": {}, "reason": ""})


def test_a_constant_answer_does_not_ship_whatever_the_reference() -> None:
    outputs = _outputs(np.zeros(COUNT, int))
    with pytest.raises(Fails):
        _judge_accuracy(DROPS[1], _fresh(), outputs, _predictions(1000))


def test_disagreement_with_float32_does_not_ship(judged: Check) -> None:
    reference_outputs = _reference_outputs(LABELS)
    few = round(COUNT * (1 - MODES[TARGET.mode].agreement / 100))
    ask = test_accuracy.test_agreement_with_float32
    ask(
        TARGET,
        reference_outputs,
        lambda target: _outputs(_predictions(few - 1)),
        _everything,
        judged,
    )
    with pytest.raises(Fails):
        ask(
            TARGET,
            reference_outputs,
            lambda target: _outputs(_predictions(few + 1)),
            _everything,
            _fresh(),
        )


def _judge_distance(
    judged: Check,
    logits: np.ndarray,
    *,
    target: Target = TARGET,
    recorded: np.ndarray | None = None,
    asked: list[int] | None = None,
    here: np.ndarray | None = None,
    spread: float | None = None,
) -> None:
    """Given what a target answers to all texts, of which it is asked some, and what this
    machine."""
    recorded = _outputs(LABELS).logits if recorded is None else recorded
    indices = list(range(COUNT)) if asked is None else asked
    given = Outputs(logits[indices], logits[indices].argmax(1), NAMES, (10,) * len(indices), 0)
    test_conformance.test_answers_like_its_checkpoint(
        target,
        SimpleNamespace(logits=recorded),
        lambda target: given,
        lambda target, some: here[some] if here is not None else pytest.fail("asked this machine"),
        lambda target: spread or logit_spread(recorded),
        lambda target: (indices, SAMPLES),
        list(range(0, COUNT, 12)),
        lambda target: EMULATED if target == PI4 else _board_of(target),
        judged,
    )


@pytest.mark.parametrize("away", ["all", "one text"])
def test_logits_far_from_the_recorded_ones_do_not_ship(away: str, judged: Check) -> None:
    _judge_distance(judged, _outputs(LABELS, noise=0.05).logits)
    wrong = _outputs(LABELS, noise=1.0 if away == "all" else 0.0).logits
    if away == "one text":
        wrong[7] += np.array([0, 3, 0])
    with pytest.raises(Fails, match="worst logit" if away == "one text" else "distance"):
        _judge_distance(_fresh(), wrong)


def test_a_sample_of_tweets_that_are_alike_is_held_against_the_spread_of_all(judged: Check) -> None:
    """Logits near to each other are no nearer to another model's."""
    recorded, asked = _outputs(LABELS).logits, list(range(0, 600, 3))
    recorded[asked] *= 0.1
    ours = recorded + np.array([0.05, 0, -0.05])
    _judge_distance(judged, ours, recorded=recorded, asked=asked)
    own = logit_spread(recorded[asked])
    with pytest.raises(Fails, match="logit distance"):
        _judge_distance(_fresh(), ours, recorded=recorded, asked=asked, spread=own)


def test_a_sample_decides_what_lies_far_enough_from_the_bound(judged: Check) -> None:
    """Of 100 texts: well within, too near to tell, well beyond."""
    asked, recorded = list(range(100)), _outputs(LABELS).logits
    noise = _outputs(LABELS, 0.1).logits - recorded
    away = normalized_logit_errors(recorded + noise, recorded, logit_spread(recorded))[asked].mean()
    bound = noise * MODES[TARGET.mode].mean_logit_error / away
    _judge_distance(judged, recorded + 0.5 * bound, asked=asked)
    for near in (0.98, 1.02):
        with pytest.raises(Inconclusive, match="mean of 100 of 6000 texts"):
            _judge_distance(_fresh(), recorded + near * bound, asked=asked)
    with pytest.raises(Fails, match="logit distance"):
        _judge_distance(_fresh(), recorded + 1.5 * bound, asked=asked)


def test_the_few_tweets_of_an_emulated_board_are_held_against_the_same_ones_here(
    judged: Check,
) -> None:
    """They are far from the checkpoint by chance, on this machine just so: no fault of the board's.
    What the board adds is one."""
    here, asked = _outputs(LABELS, noise=0.05).logits, list(range(8))
    recorded = _outputs(LABELS).logits
    here[asked] = recorded[asked] + 0.15 * np.sign(here[asked] - recorded[asked])
    _judge_distance(judged, here, target=PI4, asked=asked, here=here)
    there = here + 0.3 * np.sign(here - recorded)
    with pytest.raises(Fails, match="what 8 on the board add"):
        _judge_distance(_fresh(), there, target=PI4, asked=asked, here=here)


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_an_operator_that_the_runtime_does_not_take_cannot_run(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = ("ADD v1", "FULLY_CONNECTED v12")
    monkeypatch.setattr(test_conformance, "inspect", lambda path: SimpleNamespace(operators=needed))
    target, ask = (
        replace(TARGET, runtime=runtime),
        test_conformance.test_runtime_takes_every_operator,
    )
    given = target, _board_of, lambda target: Path("ours.tflite"), _fresh()
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
def test_a_planted_slow_down_does_not_ship(test: Any, judged: Check) -> None:
    host = profile("host")
    test(TARGET, host, lambda target: _measured(900), judged, _benchmark())
    with pytest.raises(Fails, match="1100"):
        test(TARGET, host, lambda target: _measured(1100), _fresh(), _benchmark())
    with pytest.raises(Invalid, match="swapping"):
        test(TARGET, host, lambda target: _measured(900, "was swapping"), _fresh(), _benchmark())


def test_dynamic_range_slower_than_half_of_float32_does_not_ship(judged: Check) -> None:
    ask = test_latency.test_latency_at_most_half_of_float32
    ask(TARGET, lambda target: _measured(40 if target.mode == "float32" else 19), judged)
    with pytest.raises(Fails, match=r"0\.55 of float32"):
        ask(TARGET, lambda target: _measured(40 if target.mode == "float32" else 22), _fresh())
    with pytest.raises(Invalid):
        ask(
            TARGET, lambda target: _measured(9, "x" if target.mode == "float32" else None), _fresh()
        )


@pytest.mark.parametrize(("factor", "error"), [(1.0, None), (1.02, None), (1.1, Fails)])
def test_slower_than_the_baseline_flatbuffer_does_not_ship(
    factor: float,
    error: type[Exception] | None,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("devices.measurement.health.verdict", lambda *_, **__: None)
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
    def opened(target: Target, model_file: Path) -> Any:
        slow = 0.02 * (1.0 if model_file == older else factor)
        yield SimpleNamespace(measure=partial(measure, slow))

    def ask(dataset: Dataset = SAMPLES, target: Target = TARGET) -> None:
        test_latency.test_latency_no_slower_than_baseline(
            target,
            older,
            dataset,
            pytestconfig,
            opened,
            lambda target: SimpleNamespace(snapshot=lambda worker: None),
            lambda target: Path("ours.tflite"),
            _fresh(),
        )

    if error is None:
        ask()
        # Two of each session, before anything of it is timed.
        assert [n for n, queries in enumerate(warmed) if queries] == [0, 1, 18, 19]
        assert set(warmed) == {0, 5}
        ask(SAMPLES.take(range(5)))
        with pytest.raises(Invalid, match="no float16"):
            ask(target=replace(TARGET, mode="float16"))
    else:
        with pytest.raises(error, match=r"1\.\d+ of the baseline's time"):
            ask()


def test_more_energy_than_the_profile_allows_does_not_ship(judged: Check) -> None:
    ask, pi = test_energy.test_energy_a_tweet, profile("pi4")
    ask(TARGET, pi, lambda target: _measured(9, energy=Energy(6.3, "INA219")), None, judged)
    with pytest.raises(Fails, match=r"energy is 6\.5 J a text \(mean, INA219\)"):
        ask(TARGET, pi, lambda target: _measured(9, energy=Energy(6.5, "INA219")), None, _fresh())
    for found in (_measured(9, "throttled"), _measured(9, energy=Energy(None, "", "log ends"))):
        with pytest.raises(Invalid, match=r"throttled|log ends"):
            ask(TARGET, pi, lambda target, found=found: found, None, _fresh())


# An emulated board


def test_a_projected_latency_is_never_held_against_a_budget(
    judged: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: a verdict of conforms, and projected in every place."""
    counted = SimpleNamespace(arithmetic=1e9, weight_bytes=2.5e7, activation_bytes=1e8)
    monkeypatch.setattr(test_latency, "operations", lambda path: {24: counted, 40: counted})
    test_latency.test_latency_projected(
        PI4,
        EMULATED.profile,
        lambda target: InstructionCount({24: 10**9, 40: 10**11}, 0.0),
        39,
        lambda target: Path("ours.tflite"),
        judged,
    )
    found = judged.record["measurements"]
    assert {m["comparison"] for m in found} == {"projected"}
    assert {m["verdict"] for m in found} == {Verdict.CONFORMS}
    assert all("projected" in m["statistic"] and m["budget"] is None for m in found)
    # Of the length that nine of ten texts fit: 10^11 instructions, 0.9 to 1.9 a cycle of 1.5 GHz.
    assert judged.record["metrics"]["projected_p90_lower_ms"] == pytest.approx(1e5 / 1.9 / 1.5)
    assert judged.record["metrics"]["projected_p90_upper_ms"] == pytest.approx(1e5 / 0.9 / 1.5)
    assert worst_measured(judged.record) is Verdict.CONFORMS
    assert "p90_ms" not in judged.record["metrics"]


def test_a_board_of_which_nothing_is_projected_is_undecided(
    judged: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile without [projection]: it conforms, and of its speed nothing is known."""
    counted = SimpleNamespace(arithmetic=1e9, weight_bytes=2.5e7, activation_bytes=1e8)
    monkeypatch.setattr(test_latency, "operations", lambda path: {24: counted})
    with pytest.raises(Inconclusive, match=r"nothing is projected without \[projection\]"):
        test_latency.test_latency_projected(
            PI4,
            replace(EMULATED.profile, projection=None),
            lambda target: InstructionCount({24: 10**9}, 0.0),
            24,
            lambda target: Path("ours.tflite"),
            judged,
        )


def test_instructions_that_do_not_repeat_do_not_ship(
    judged: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_cost, "qemu", lambda cache: Path("qemu"))
    monkeypatch.setattr(test_cost, "qemu_version", lambda path: (7, 2))

    def ask(spread: float, check: Check) -> None:
        cost, cache = InstructionCount({24: 100}, spread), Cache(Path("cache_dir"))
        test_cost.test_instructions_repeat(PI4, lambda target: cost, cache, check)

    ask(0.001, judged)
    assert judged.record["metrics"] == {"instructions": {"24": 100}, "emulator": "QEMU 7.2"}
    with pytest.raises(Fails, match="difference between two counts"):
        ask(0.02, _fresh())


def test_another_label_than_on_this_machine_does_not_ship(judged: Check) -> None:
    def ask(there: Outputs, here: Outputs, check: Check) -> None:
        test_accuracy.test_answers_as_this_machine_does(
            PI4,
            lambda target: there,
            lambda target, some: here.logits[some],
            _spread,
            _everything,
            check,
        )

    ask(_outputs(LABELS, 0.1), _outputs(LABELS), judged)
    other = LABELS.copy()
    other[7] = (other[7] + 1) % 3
    with pytest.raises(Fails, match="1 of 6000 texts got another label"):
        ask(_outputs(other), _outputs(LABELS), _fresh())
    here, there = _outputs(LABELS), _outputs(LABELS)
    here.logits[7], there.logits[7] = [0.01, 0, -4], [0, 0.01, -4]
    ask(there, here, _fresh())  # a tie
    there.logits[7] = [0, 4, -4]
    here.logits[7] = [4, 0, -4]
    with pytest.raises(Fails, match="1 of 6000 texts got another label"):
        ask(there, here, _fresh())


def test_a_tie_may_fall_either_way() -> None:
    spread = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.02, 0.0, -0.02]])
    turned = spread.copy()
    turned[2] = [0.0, 0.02, -0.02]
    assert not label_mismatches(turned, spread, 0.05).any()
    assert label_mismatches(turned, spread, 0.01).tolist() == [False, False, True]
    turned[0] = [0.0, 1.0, -1.0]
    assert label_mismatches(turned, spread, 0.05).tolist() == [True, False, False]


def test_the_runner_s_own_warm_up_does_not_disturb_its_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All CPU time that the worker used between the two snapshots is its own."""
    still = Snapshot(0.0, None, 0.0, 0.0, 0.0, None, None, None, None, 0.0, 0)
    busy = replace(still, time_s=10.0, busy_s=9.0, total_s=20.0)
    seconds = np.full(4, 0.2)
    monkeypatch.setattr(fixtures.measurement, "energy_of", lambda *_: Energy(None, "nothing"))

    def fault(all_cpu_seconds: float) -> str | None:
        snapshots = iter((still, busy))
        timings = Timings(seconds, seconds, 1.0, all_cpu_seconds, 1.0, 0.1, 0.1)
        worker = SimpleNamespace(
            loaded=LABELS,
            overhead=lambda: (0.0, 0.0),
            read=lambda path: None,
            measure=lambda *_, **__: timings,
        )
        board = SimpleNamespace(
            name="host",
            meter=None,
            machine=SimpleNamespace(machine_info={}),
            snapshot=lambda worker: next(snapshots),
            profile=profile("host"),
        )
        config = SimpleNamespace(getoption=lambda name: "smoke")
        ask = inspect.unwrap(cast(Any, fixtures.measurement.measured))
        measure = ask(lambda target: nullcontext(worker), lambda target: board, SAMPLES, config)
        return cast(Measured, measure(TARGET)).fault

    assert fault(9.0) is None
    assert "other processes" in str(fault(1.0))


# Memory and privacy, with a worker that is made up


def _runner_of(**methods: Any) -> Any:
    worker = SimpleNamespace(
        loaded=SimpleNamespace(lengths=(16, 32)), classify=lambda *_, **__: None, **methods
    )

    @contextmanager
    def opened(target: Target) -> Any:
        yield worker

    return opened


def test_too_much_memory_does_not_ship(judged: Check) -> None:
    def weighed(peak: float, lengths: tuple[int, ...] = (16, 32)) -> Any:
        memory = SimpleNamespace(peak_mb=peak, bare_mb=20.0, lengths_used=lengths)
        return _runner_of(memory=lambda: memory)

    host = profile("host")

    def ask(worker_of: Any, check: Check) -> None:
        test_memory.test_memory_peak(TARGET, _board_of, host, worker_of, SAMPLES, _all, check)

    ask(weighed(host.budget.memory_mb - 1), judged)
    with pytest.raises(Fails):
        ask(weighed(host.budget.memory_mb + 1), _fresh())
    with pytest.raises(Fails, match="weighed after"):
        ask(weighed(1, (16,)), _fresh())


def test_memory_of_a_machine_that_swaps_is_invalid() -> None:
    """What is swapped out is not resident."""
    still = Snapshot(0.0, None, 0.0, 0.0, 0.0, None, None, None, None, 0.0, 0)
    memory = SimpleNamespace(peak_mb=1.0, bare_mb=20.0, lengths_used=(16, 32))

    def ask(swapped: int) -> None:
        states = iter((still, replace(still, swapped_pages=swapped)))
        board: Any = SimpleNamespace(emulated=False, snapshot=lambda worker: next(states))
        test_memory.test_memory_peak(
            TARGET,
            lambda target: board,
            profile("host"),
            _runner_of(memory=lambda: memory),
            SAMPLES,
            _all,
            _fresh(),
        )

    ask(5)
    with pytest.raises(Invalid, match="swapping: 5000 pages"):
        ask(5000)


@pytest.mark.parametrize(
    ("peak", "error"), [(390, None), (410, Inconclusive), (441, Fails)], ids=str
)
def test_what_may_be_the_emulators_memory_decides_nothing(
    peak: float, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 of these MB are at most the emulator's; a Pi 4 has a budget of 400."""
    monkeypatch.setattr(test_memory, "translations_mb", lambda pid: 40.0)
    memory = SimpleNamespace(peak_mb=peak, bare_mb=20.0, lengths_used=(16, 32))
    ask = partial(
        test_memory.test_memory_peak,
        PI4,
        lambda target: EMULATED,
        EMULATED.profile,
        _runner_of(memory=lambda: memory, pid=1),
        SAMPLES,
        _all,
        _fresh(),
    )
    if error is None:
        ask()
    else:
        with pytest.raises(error):
            ask()


def test_an_attempt_to_send_or_write_does_not_ship(judged: Check) -> None:
    def guarded(*attempts: str) -> Any:
        report = SimpleNamespace(network="network namespace", files="hook", attempts=attempts)
        return _runner_of(guard=lambda: report)

    ask = test_privacy.test_tweets_stay_on_the_device
    ask(TARGET, guarded(), _everything, _all, judged)
    with pytest.raises(Fails, match="connect"):
        ask(TARGET, guarded("connect 1.2.3.4"), _everything, _all, _fresh())


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
    weights: dict[str, int], activations: dict[str, int], judged: Check
) -> None:
    ask = test_footprint.test_dtypes_are_what_the_mode_promises
    ask(TARGET, _contents(1, {"int8": 361}, {"float32": 900}), judged)
    with pytest.raises(Fails):
        ask(TARGET, _contents(1, weights, activations), _fresh())


def test_a_size_that_is_not_the_modes_does_not_ship(checkpoint: Any, judged: Check) -> None:
    ask = test_footprint.test_size_is_what_the_mode_promises
    ask(TARGET, _contents(25_100_000, {}, {}), checkpoint, judged)
    for size in (38_000_000, 13_000_000):
        with pytest.raises(Fails):
            ask(TARGET, _contents(size, {}, {}), checkpoint, _fresh())
    paper = test_footprint.test_160x_smaller_than_the_training_checkpoint_of_bert_large
    paper(TARGET, _contents(25_100_000, {}, {}), checkpoint, _fresh())
    with pytest.raises(Fails, match="159"):
        paper(TARGET, _contents(25_250_000, {}, {}), checkpoint, _fresh())


def test_facts_are_plain_json(judged: Check) -> None:
    judged.metrics(accuracy=np.float64(80.5), confusion_matrix=np.eye(2, dtype=int))
    assert json.loads(json.dumps(judged.record["metrics"]))["accuracy"] == 80.5
    with pytest.raises(Invalid):
        judged.metrics(drop=float("nan"))
