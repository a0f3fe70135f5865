"""The claims themselves, with planted figures: each is red for what it exists to catch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data.dataset import Dataset
from devices.boards.board import emulated
from devices.client import Timings
from devices.measurement.health import Snapshot
from devices.measurement.instruction_count import InstructionCount
from devices.measurement.latency import PRESETS
from devices.measurement.numerics import label_mismatches, logit_spread, normalized_logit_errors
from devices.measurement.sustained import sustained_load
from fixtures.measurement import Energy, Measurement, measure
from fixtures.target import Target
from models.contents import Contents
from models.modes import MODES
from reports.check import Check, new_record, worst_measured
from reports.verdict import CannotRun, Fails, Inconclusive, Invalid, Verdict
from suites.selftest.suites.planted import (
    NAMES,
    claim,
    fresh_check,
    opens,
    outputs_of,
    planted,
    recorded,
)

CLAIMS = {
    name: claim(name)
    for name in (
        "accuracy",
        "conformance",
        "energy",
        "footprint",
        "instruction_count",
        "latency",
        "memory",
        "privacy",
        "sustained",
    )
}
ACCURACY, CONFORMANCE, LATENCY = (CLAIMS[name] for name in ("accuracy", "conformance", "latency"))
PI4 = emulated("pi4", Path("cache"))
COUNT = 6000
LABELS = np.arange(COUNT) % 3
TEXTS = Dataset("made up", tuple(f"text {i}" for i in range(COUNT)), tuple(LABELS.tolist()), NAMES)
PROMISES = MODES["dynamic_range"]


@pytest.fixture
def record() -> dict[str, Any]:
    return new_record("suites/test_it.py::test_it")


@pytest.fixture
def judged(record: dict[str, Any]) -> Check:
    return Check(record)


def _predictions(wrong: int, seed: int = 0) -> np.ndarray:
    found = LABELS.copy()
    chosen = np.random.default_rng(seed).permutation(COUNT)[:wrong]
    found[chosen] = (found[chosen] + 1) % 3
    return found


def _logits(predictions: np.ndarray, noise: float = 0.0) -> np.ndarray:
    logits = 4 * np.eye(3, dtype=np.float32)[predictions]
    more = noise * np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
    return np.asarray(logits + more)


# Accuracy


def _judged_accuracy(predictions: np.ndarray, reference: np.ndarray) -> Target:
    logits = _logits(predictions)
    return planted(
        TEXTS,
        outputs=outputs_of(logits),
        recorded=recorded(logits),
        reference=recorded(_logits(reference)),
    )


DROPS = [ACCURACY.test_accuracy_drop, ACCURACY.test_balanced_accuracy_drop]


@pytest.mark.parametrize("test", DROPS)
def test_a_planted_accuracy_loss_does_not_ship(test: Any, judged: Check) -> None:
    reference = _predictions(1000)
    test(_judged_accuracy(_predictions(1100), reference), judged)
    with pytest.raises(Fails, match=r"drop is 8\.333"):
        test(_judged_accuracy(_predictions(1500), reference), fresh_check())
    with pytest.raises(Inconclusive, match="straddles"):
        test(_judged_accuracy(_predictions(1240), reference), fresh_check())


def test_the_entity_mean_is_recorded_where_texts_name_entities(
    judged: Check, record: dict[str, Any]
) -> None:
    entities = tuple("A" if i < COUNT // 4 else "B" for i in range(COUNT))
    predictions = LABELS.copy()
    predictions[: COUNT // 8] = (predictions[: COUNT // 8] + 1) % 3
    logits = _logits(predictions)
    target = planted(
        replace(TEXTS, entities=entities),
        outputs=outputs_of(logits),
        recorded=recorded(logits),
        reference=recorded(logits),
    )
    ACCURACY.test_accuracy_drop(target, judged)
    assert record["metrics"]["accuracy"] == pytest.approx(87.5)
    assert record["metrics"]["entity_mean_accuracy"] == pytest.approx(75)


def test_a_constant_prediction_does_not_ship_whatever_the_reference() -> None:
    with pytest.raises(Fails):
        DROPS[1](_judged_accuracy(np.zeros(COUNT, int), _predictions(1000)), fresh_check())


def test_disagreement_with_float32_does_not_ship(judged: Check) -> None:
    few = round(COUNT * (1 - PROMISES.agreement / 100))

    def ask(different: int, check: Check) -> None:
        outputs = outputs_of(_logits(_predictions(different)))
        target = planted(TEXTS, outputs=outputs, recorded=recorded(_logits(LABELS)))
        ACCURACY.test_agreement_with_float32(target, check)

    ask(few - 1, judged)
    with pytest.raises(Fails):
        ask(few + 1, fresh_check())


# Logit errors


def _judge_errors(
    check: Check,
    logits: np.ndarray,
    *,
    known: np.ndarray | None = None,
    sample: list[int] | None = None,
    here: np.ndarray | None = None,
    spread: float | None = None,
) -> None:
    """Judge logits for all texts, of which a target has the sample's; `here` of an emulated one."""
    known = _logits(LABELS) if known is None else known
    sample = list(range(COUNT)) if sample is None else sample

    def outputs_here(indices: list[int]) -> np.ndarray:
        assert here is not None
        return here[indices]

    target = planted(
        TEXTS,
        board=None if here is None else PI4,
        run=SimpleNamespace(large_sample=list(range(0, COUNT, 12))),
        sample=sample,
        recorded=recorded(known),
        outputs=outputs_of(logits[sample]),
        outputs_here=outputs_here,
        spread=spread or logit_spread(known),
    )
    CONFORMANCE.test_outputs_match_the_checkpoint(target, check)


@pytest.mark.parametrize("away", ["all", "one text"])
def test_logits_far_from_the_recorded_ones_do_not_ship(away: str, judged: Check) -> None:
    _judge_errors(judged, _logits(LABELS, noise=0.05))
    wrong = _logits(LABELS, noise=1.0 if away == "all" else 0.0)
    if away == "one text":
        wrong[7] += np.array([0, 3, 0])
    with pytest.raises(Fails, match="maximum logit error" if away == "one text" else "mean logit"):
        _judge_errors(fresh_check(), wrong)


def test_a_sample_of_texts_that_are_alike_is_held_against_the_spread_of_all(judged: Check) -> None:
    """Logits near to each other are no nearer to another model's."""
    known, sample = _logits(LABELS), list(range(0, 600, 3))
    known[sample] *= 0.1
    ours = known + np.array([0.05, 0, -0.05])
    _judge_errors(judged, ours, known=known, sample=sample)
    own = logit_spread(known[sample])
    with pytest.raises(Fails, match="mean logit error"):
        _judge_errors(fresh_check(), ours, known=known, sample=sample, spread=own)


def test_a_sample_decides_what_lies_far_enough_from_the_bound(judged: Check) -> None:
    """Of 100 texts: well within, too near to tell, well beyond."""
    sample, known = list(range(100)), _logits(LABELS)
    noise = _logits(LABELS, 0.1) - known
    errors = normalized_logit_errors(known + noise, known, logit_spread(known))
    bound = noise * PROMISES.mean_logit_error / errors[sample].mean()
    _judge_errors(judged, known + 0.5 * bound, sample=sample)
    for near in (0.98, 1.02):
        with pytest.raises(Inconclusive, match="mean of 100 of 6000 texts"):
            _judge_errors(fresh_check(), known + near * bound, sample=sample)
    with pytest.raises(Fails, match="mean logit error"):
        _judge_errors(fresh_check(), known + 1.5 * bound, sample=sample)


def test_the_few_texts_of_an_emulated_board_are_held_against_the_same_ones_here(
    judged: Check,
) -> None:
    """They are far from the checkpoint by chance, on this machine too: no fault of the board's.
    What the board adds is one."""
    here, sample = _logits(LABELS, noise=0.05), list(range(8))
    known = _logits(LABELS)
    here[sample] = known[sample] + 0.15 * np.sign(here[sample] - known[sample])
    _judge_errors(judged, here, sample=sample, here=here)
    there = here + 0.3 * np.sign(here - known)
    with pytest.raises(Fails, match="what 8 on the board add"):
        _judge_errors(fresh_check(), there, sample=sample, here=here)


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_an_operator_that_the_runtime_does_not_take_cannot_run(runtime: str) -> None:
    contents = SimpleNamespace(operators=("ADD v1", "FULLY_CONNECTED v12"))
    target = planted(TEXTS, runtime=runtime, contents=contents)
    ask = partial(CONFORMANCE.test_runtime_takes_every_operator, target, fresh_check())
    if runtime == "ai-edge-litert":
        ask()
    else:
        with pytest.raises(CannotRun, match=r"needs FULLY_CONNECTED v12; .* stops at v10"):
            ask()


@pytest.mark.parametrize(("asked", "shareable"), [(False, True), (True, True), (True, False)])
def test_texts_are_in_the_report_only_if_asked_for_and_allowed(
    asked: bool, shareable: bool
) -> None:
    texts = replace(TEXTS, shareable=shareable)
    logits = np.eye(3, dtype=np.float32)[LABELS]
    notes: list[str] = []
    target = planted(
        texts,
        outputs=outputs_of(logits, (10,) * COUNT),
        recorded=recorded(np.roll(logits, 1, axis=1)),
        reference=recorded(logits),
        show_texts=asked,
        run=SimpleNamespace(note=notes.append),
    )
    record = new_record("test")
    ACCURACY.test_accuracy_drop(target, Check(record))
    shown = "examples" in record["metrics"]
    assert shown == (asked and shareable)
    assert bool(notes) == (asked and not shareable)
    assert ("text 0" in json.dumps(record)) == shown


# Latency


def _measurement(
    milliseconds: float, fault: str | None = None, energy: Energy | None = None
) -> Measurement:
    seconds = np.full(128, milliseconds / 1000)
    loaded: Any = SimpleNamespace(
        runtime="ai-edge-litert", version="2.3.0", delegate="XNNPACK", threads=1, lengths=(16,)
    )
    timings = Timings(seconds, seconds, 1.0, 1.0, 1.0, 0.1, 0.1)
    energy = energy or Energy(None, "nothing")
    return Measurement(timings, loaded, fault, {}, {"device": "host"}, energy, {})


def _benchmark() -> Any:
    return SimpleNamespace(extra_info={}, pedantic=lambda call, **_: call())


@pytest.mark.parametrize("test", [LATENCY.test_end_to_end_latency, LATENCY.test_inference_latency])
def test_a_planted_slow_down_does_not_ship(test: Any, judged: Check) -> None:
    def ask(measurement: Measurement, check: Check) -> None:
        test(planted(TEXTS, measurement=measurement), check, _benchmark())

    ask(_measurement(900), judged)
    with pytest.raises(Fails, match="1100"):
        ask(_measurement(1100), fresh_check())
    with pytest.raises(Invalid, match="swapping"):
        ask(_measurement(900, "was swapping"), fresh_check())


class Warming:
    """A worker on a board that gets warm: each window has a time and the firmware's word."""

    def __init__(self, *windows: float, throttled: int = 0) -> None:
        self._windows, self._throttled, self._measured = windows, throttled, 0

    def measure(self, texts: Sequence[str], **_: Any) -> Timings:
        seconds = np.full(64, self._windows[self._measured] / 1000)
        self._measured += 1
        return Timings(seconds, seconds, 1.0, 1.0, 300.0, 0.1, 0.1)

    def snapshot(self, _: Any) -> Snapshot:
        """Return recorded sensors of a Raspberry Pi, a second after those before."""
        n = self._measured
        bits = self._throttled if n else 0
        return Snapshot(
            n, 1.0, n, 2.0 * n, 0, "ondemand", 1800 - 400 * n, 50 + 15 * n, bits, 0, 0, True
        )


def _sustained(minutes: float, worker: Any, check: Check) -> None:
    found = sustained_load(worker, TEXTS.texts, minutes=minutes, snapshot=worker.snapshot)
    target = planted(TEXTS, measurement=_measurement(500), sustained=found)
    CLAIMS["sustained"].test_sustained_latency(target, check)


def test_a_board_that_throttles_does_not_ship_for_sustained_load(judged: Check) -> None:
    _sustained(5, Warming(500, 2000), judged)  # the second window is not reached
    record = new_record("test")
    with pytest.raises(Fails, match=r"1100 ms .* after 10\.0 minutes; 2\.20 times .* 500\.0 ms"):
        _sustained(10, Warming(500, 1100, throttled=0b1110), Check(record))
    curve = record["metrics"]["sustained_curve"]
    assert [point["p90_ms"] for point in curve] == [500, 1100]
    assert [point["temperature_c"] for point in curve] == [65, 80]
    assert [point["frequency_mhz"] for point in curve] == [1400, 1000]


def test_too_little_voltage_under_sustained_load_is_invalid() -> None:
    with pytest.raises(Invalid, match="under-voltage"):
        _sustained(10, Warming(500, 1100, throttled=1), fresh_check())


def test_dynamic_range_slower_than_half_of_float32_does_not_ship(judged: Check) -> None:
    def ask(ours: Measurement, float32: Measurement, check: Check) -> None:
        def sibling(mode: str) -> Target:
            assert mode == "float32"
            return planted(TEXTS, mode, measurement=float32)

        target = planted(TEXTS, measurement=ours, sibling=sibling)
        LATENCY.test_latency_at_most_half_of_float32(target, check)

    ask(_measurement(19), _measurement(40), judged)
    with pytest.raises(Fails, match=r"0\.55 of float32"):
        ask(_measurement(22), _measurement(40), fresh_check())
    with pytest.raises(Invalid):
        ask(_measurement(9), _measurement(9, "x"), fresh_check())


class Interleaving:
    """Targets whose workers take a planted time; the warm-ups that they were asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("devices.measurement.health.verdict", lambda *_, **__: None)
        self._random = np.random.default_rng(5)
        self.warmed: list[tuple[int, int]] = []

    def _measure(self, seconds: float, texts: Any, warm_up: int, **_: Any) -> Any:
        self.warmed.append((len(texts), warm_up))
        taken = self._random.normal(seconds, seconds / 50, len(texts))
        return SimpleNamespace(seconds=taken, cpu_seconds=0.0)

    def target(self, texts: Dataset, mode: str, ours: float, baseline: Path | None = None) -> Any:
        """Return a target that takes `ours` seconds, and its older file or other runtime 20 ms."""

        @contextmanager
        def worker(path: Path | None = None) -> Any:
            yield SimpleNamespace(measure=partial(self._measure, 0.02 if path else ours))

        other = SimpleNamespace(runtime="onnxruntime", worker=partial(worker, Path("other")))
        board: Any = SimpleNamespace(name="host", emulated=False, snapshot=lambda worker: None)
        config = SimpleNamespace(
            baseline_model=baseline, compare_runtime="onnxruntime", timing=PRESETS["quick"]
        )
        return planted(
            texts,
            mode,
            board=board,
            run=SimpleNamespace(config=config),
            worker=worker,
            sibling=lambda runtime: other,
        )


@pytest.mark.parametrize(("factor", "error"), [(1.0, None), (1.02, None), (1.1, Fails)])
def test_slower_than_the_baseline_model_does_not_ship(
    factor: float, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = SimpleNamespace(large_weights={"int8": 9})
    monkeypatch.setattr(LATENCY, "inspect", lambda path: contents)
    monkeypatch.setattr(LATENCY, "file_sha256", str)
    interleaving = Interleaving(monkeypatch)

    def ask(texts: Dataset = TEXTS, mode: str = "dynamic_range") -> None:
        target = interleaving.target(texts, mode, 0.02 * factor, Path("older.tflite"))
        LATENCY.test_latency_no_slower_than_baseline(target, fresh_check())

    if error is None:
        ask()
        # Two of each session, before anything of it is timed.
        warmed = [warm_up for _, warm_up in interleaving.warmed]
        assert [n for n, queries in enumerate(warmed) if queries] == [0, 1, 18, 19]
        assert set(warmed) == {0, 5}
        ask(TEXTS.take(range(5)))
        with pytest.raises(Invalid, match="no float16"):
            ask(mode="float16")
    else:
        with pytest.raises(error, match=r"1\.\d+ of the other's time"):
            ask()


@pytest.mark.parametrize(("factor", "outcome"), [(0.6, None), (1.1, Fails)])
def test_slower_than_the_runtime_it_is_compared_with_does_not_ship(
    factor: float,
    outcome: type[Exception] | None,
    judged: Check,
    record: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Interleaving(monkeypatch).target(TEXTS, "dynamic_range", 0.02 * factor)
    with pytest.raises(outcome) if outcome else nullcontext():
        LATENCY.test_latency_no_slower_than_other_runtime(target, judged)
    assert record["metrics"]["median_share_of_other_runtime"] == pytest.approx(factor, rel=0.02)
    assert record["metrics"]["other_runtime"] == "onnxruntime"


# Energy


def test_more_energy_than_the_profile_allows_does_not_ship(judged: Check) -> None:
    def ask(measurement: Measurement, check: Check) -> None:
        CLAIMS["energy"].test_energy_for_a_text(
            planted(TEXTS, board=PI4, measurement=measurement), check
        )

    ask(_measurement(9, energy=Energy(6.3, "INA219")), judged)
    with pytest.raises(Fails, match=r"energy is 6\.5 J a text \(mean, INA219\)"):
        ask(_measurement(9, energy=Energy(6.5, "INA219")), fresh_check())
    for found in (_measurement(9, "throttled"), _measurement(9, energy=Energy(None, "", "ends"))):
        with pytest.raises(Invalid, match=r"throttled|ends"):
            ask(found, fresh_check())


# An emulated board


def _projected(
    instructions: dict[int, int], common_length: int, monkeypatch: pytest.MonkeyPatch, board: Any
) -> Target:
    work = SimpleNamespace(arithmetic=1e9, weight_bytes=2.5e7, activation_bytes=1e8)
    monkeypatch.setattr(LATENCY, "operations", lambda path: dict.fromkeys(instructions, work))
    return planted(
        TEXTS,
        board=board,
        run=SimpleNamespace(
            common_length=common_length, model_file=lambda mode, kind: Path("ours.tflite")
        ),
        instruction_count=InstructionCount(instructions, 0.0),
    )


def test_a_projected_latency_is_never_held_against_a_budget(
    judged: Check, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: a verdict of conforms, and projected in every place."""
    target = _projected({24: 10**9, 40: 10**11}, 39, monkeypatch, PI4)
    LATENCY.test_latency_projected(target, judged)
    found = record["measurements"]
    assert {m["comparison"] for m in found} == {"projected"}
    assert {m["verdict"] for m in found} == {Verdict.CONFORMS}
    assert all("projected" in m["statistic"] and m["budget"] is None for m in found)
    # Of the length that nine of ten texts fit: 10^11 instructions, 0.9 to 1.9 a cycle of 1.5 GHz.
    assert record["metrics"]["projected_p90_lower_ms"] == pytest.approx(1e5 / 1.9 / 1.5)
    assert record["metrics"]["projected_p90_upper_ms"] == pytest.approx(1e5 / 0.9 / 1.5)
    assert worst_measured(record) is Verdict.CONFORMS
    assert "p90_ms" not in record["metrics"]


def test_a_board_without_a_projection_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile without [projection]: of its speed nothing is known."""
    board = replace(PI4, profile=replace(PI4.profile, projection=None))
    target = _projected({24: 10**9}, 24, monkeypatch, board)
    with pytest.raises(Inconclusive, match=r"nothing is projected without \[projection\]"):
        LATENCY.test_latency_projected(target, fresh_check())


def test_instructions_that_do_not_repeat_do_not_ship(
    judged: Check, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = CLAIMS["instruction_count"]
    monkeypatch.setattr(module, "qemu", lambda cache: Path("qemu"))
    monkeypatch.setattr(module, "qemu_version", lambda path: (7, 2))
    run = SimpleNamespace(cache=SimpleNamespace(root=Path("cache")))

    def ask(spread: float, check: Check) -> None:
        count = InstructionCount({24: 100}, spread)
        target = planted(TEXTS, board=PI4, run=run, instruction_count=count)
        module.test_instructions_repeat(target, check)

    ask(0.001, judged)
    assert record["metrics"] == {"instructions": {"24": 100}, "emulator": "QEMU 7.2"}
    with pytest.raises(Fails, match="difference between two counts"):
        ask(0.02, fresh_check())


def test_another_label_than_on_this_machine_does_not_ship(judged: Check) -> None:
    def ask(there: np.ndarray, here: np.ndarray, check: Check) -> None:
        target = planted(
            TEXTS,
            board=PI4,
            outputs=outputs_of(there),
            outputs_here=lambda indices: here[indices],
            spread=logit_spread(_logits(LABELS)),
        )
        ACCURACY.test_predictions_match_this_machine(target, check)

    ask(_logits(LABELS, 0.1), _logits(LABELS), judged)
    other = LABELS.copy()
    other[7] = (other[7] + 1) % 3
    with pytest.raises(Fails, match="1 of 6000 texts got another label"):
        ask(_logits(other), _logits(LABELS), fresh_check())
    here, there = _logits(LABELS), _logits(LABELS)
    here[7], there[7] = [0.01, 0, -4], [0, 0.01, -4]
    ask(there, here, fresh_check())  # a tie
    there[7] = [0, 4, -4]
    here[7] = [4, 0, -4]
    with pytest.raises(Fails, match="1 of 6000 texts got another label"):
        ask(there, here, fresh_check())


def test_a_tie_may_fall_either_way() -> None:
    spread = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.02, 0.0, -0.02]])
    turned = spread.copy()
    turned[2] = [0.0, 0.02, -0.02]
    assert not label_mismatches(turned, spread, 0.05).any()
    assert label_mismatches(turned, spread, 0.01).tolist() == [False, False, True]
    turned[0] = [0.0, 1.0, -1.0]
    assert label_mismatches(turned, spread, 0.05).tolist() == [True, False, False]


# A measurement


def _measured_fault(all_cpu_seconds: float) -> str | None:
    """Return the fault of a measurement by a worker that used so much CPU time."""
    still = Snapshot(0.0, None, 0.0, 0.0, 0.0, None, None, None, None, 0.0, 0)
    busy = replace(still, time_s=10.0, busy_s=9.0, total_s=20.0)
    snapshots = iter((still, busy))
    seconds = np.full(4, 0.2)
    worker = SimpleNamespace(
        loaded=SimpleNamespace(lengths=(16,)),
        overhead=lambda: (0.0, 0.0),
        read=lambda path: None,
        measure=lambda *_, **__: Timings(seconds, seconds, 1.0, all_cpu_seconds, 1.0, 0.1, 0.1),
    )
    board: Any = SimpleNamespace(
        name="host",
        meter=None,
        machine=SimpleNamespace(machine_info={}),
        snapshot=lambda worker: next(snapshots),
        profile=PI4.profile,
    )
    config = SimpleNamespace(timing=PRESETS["smoke"], power_log=None)
    run = SimpleNamespace(config=config, coolest_c={})
    return measure(planted(TEXTS, board=board, run=run, worker=opens(worker))).fault


def test_the_worker_s_own_cpu_time_does_not_disturb_its_measurement() -> None:
    """All CPU time that the worker used between the two snapshots is its own."""
    assert _measured_fault(9.0) is None
    assert "other processes" in str(_measured_fault(1.0))


# Memory and privacy, with a worker that is made up


def _worker(**methods: Any) -> Callable[..., Any]:
    loaded = SimpleNamespace(lengths=(16, 32))
    return opens(SimpleNamespace(loaded=loaded, classify=lambda *_, **__: None, **methods))


def _memory(peak: float, lengths: tuple[int, ...] = (16, 32)) -> Callable[[], Any]:
    return lambda: SimpleNamespace(
        peak_mb=peak, resident_mb=peak / 2, bare_mb=20.0, lengths_used=lengths
    )


def test_too_much_memory_does_not_ship(judged: Check) -> None:
    def ask(memory: Callable[[], Any], check: Check) -> None:
        CLAIMS["memory"].test_memory_peak(planted(TEXTS, worker=_worker(memory=memory)), check)

    budget = planted(TEXTS).profile.budget.memory_mb
    ask(_memory(budget - 1), judged)
    with pytest.raises(Fails):
        ask(_memory(budget + 1), fresh_check())
    with pytest.raises(Fails, match="measured after"):
        ask(_memory(1, (16,)), fresh_check())


def test_memory_of_a_machine_that_swaps_is_invalid() -> None:
    """What is swapped out is not resident."""
    still = Snapshot(0.0, None, 0.0, 0.0, 0.0, None, None, None, None, 0.0, 0)

    def ask(swapped: int) -> None:
        states = iter((still, replace(still, swapped_pages=swapped)))
        board: Any = SimpleNamespace(
            name="host",
            emulated=False,
            profile=planted(TEXTS).profile,
            snapshot=lambda worker: next(states),
        )
        target = planted(TEXTS, board=board, worker=_worker(memory=_memory(1.0)))
        CLAIMS["memory"].test_memory_peak(target, fresh_check())

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
    monkeypatch.setattr(CLAIMS["memory"], "translations_mb", lambda pid: 40.0)
    target = planted(TEXTS, board=PI4, worker=_worker(memory=_memory(peak), pid=1))
    with pytest.raises(error) if error else nullcontext():
        CLAIMS["memory"].test_memory_peak(target, fresh_check())


def test_an_attempt_to_send_or_write_does_not_ship(judged: Check) -> None:
    def ask(check: Check, *attempts: str) -> None:
        report = SimpleNamespace(network="network namespace", files="hook", attempts=attempts)
        target = planted(TEXTS, worker=_worker(guard=lambda: report))
        CLAIMS["privacy"].test_texts_stay_on_the_device(target, check)

    ask(judged)
    with pytest.raises(Fails, match="connect"):
        ask(fresh_check(), "connect 1.2.3.4")


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
    def ask(contents: Contents, check: Check) -> None:
        target = planted(TEXTS, contents=contents)
        CLAIMS["footprint"].test_dtypes_are_what_the_mode_promises(target, check)

    ask(_contents(1, {"int8": 361}, {"float32": 900}), judged)
    with pytest.raises(Fails):
        ask(_contents(1, weights, activations), fresh_check())


def test_a_size_that_is_not_the_modes_does_not_ship(checkpoint: Any, judged: Check) -> None:
    footprint = CLAIMS["footprint"]

    def sized(size: int) -> Target:
        return planted(TEXTS, contents=_contents(size, {}, {}), checkpoint=checkpoint)

    footprint.test_size_is_what_the_mode_promises(sized(25_100_000), judged)
    for size in (38_000_000, 13_000_000):
        with pytest.raises(Fails):
            footprint.test_size_is_what_the_mode_promises(sized(size), fresh_check())
    paper = footprint.test_160x_smaller_than_the_training_checkpoint_of_bert_large
    paper(sized(25_100_000), fresh_check())
    with pytest.raises(Fails, match="159"):
        paper(sized(25_250_000), fresh_check())


def test_metrics_are_plain_json(judged: Check, record: dict[str, Any]) -> None:
    judged.metrics(accuracy=np.float64(80.5), confusion_matrix=np.eye(2, dtype=int))
    assert json.loads(json.dumps(record["metrics"]))["accuracy"] == 80.5
    with pytest.raises(Invalid):
        judged.metrics(drop=float("nan"))
