"""The claim of conformance, given planted answers: each test is red for what it exists to catch."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fixtures.target
from data.dataset import Dataset
from devices.client import Outputs
from devices.measurement.numerics import logit_spread
from fixtures.matrix import Target
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import file_sha256
from reports.check import Check
from reports.verdict import Fails, Inconclusive


def _module() -> ModuleType:
    """The claim's file, under another name than pytest's own import of it."""
    path = Path(__file__).parents[2] / "test_conformance.py"
    spec = importlib.util.spec_from_file_location("claim_conformance_planted", path)
    assert spec and spec.loader
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


claim = _module()
TARGET = Target("host", "ai-edge-litert", "full_integer")
NAMES = ("negative", "neutral", "positive")
LOGITS = np.random.default_rng(3).normal(size=(300, 3)).astype(np.float32)
TEXTS = tuple(" ".join(["good"] * i) for i in range(len(LOGITS)))
SAMPLES = Dataset("made up", TEXTS, tuple((np.arange(len(TEXTS)) % 3).tolist()), NAMES)


def _check() -> Check:
    return Check({"measurements": [], "metrics": {}, "reason": ""})


def _outputs(logits: np.ndarray, tokens: tuple[int, ...] = ()) -> Any:
    return lambda target: Outputs(logits, logits.argmax(1), NAMES, tokens, 0)


def _spread(target: Target) -> float:
    return logit_spread(LOGITS)


def _judged(target: Target) -> tuple[list[int], Dataset]:
    return list(range(len(TEXTS))), SAMPLES


def _but(row: int, logits: np.ndarray = LOGITS, by: float = 1e-6) -> np.ndarray:
    """The same logits, one text's moved."""
    moved = logits.copy()
    moved[row] += np.array([by, 0, -by], np.float32)
    return moved


def test_the_spread_is_that_of_all_recorded_logits_or_of_what_is_answered() -> None:
    few = LOGITS[:8] / 3
    spread_of: Any = inspect.unwrap(fixtures.target.spread_of)
    recorded = SimpleNamespace(logits=LOGITS.tolist())
    assert spread_of(recorded, _outputs(few))(TARGET) == pytest.approx(_spread(TARGET))
    assert spread_of(None, _outputs(few))(TARGET) == logit_spread(few)


def test_this_machine_answers_a_tweet_once_and_in_the_order_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def classify(texts: tuple[str, ...]) -> Any:
        asked.extend(texts)
        return SimpleNamespace(logits=LOGITS[[TEXTS.index(text) for text in texts]])

    worker = SimpleNamespace(load=lambda *_: None, classify=classify)
    board = SimpleNamespace(worker=lambda runtime: nullcontext(worker))
    monkeypatch.setattr(fixtures.target, "this_machine", lambda *_: board)
    metadata: Any = SimpleNamespace(tokenizer=None, label_names=NAMES, root=None)
    outputs_here: Any = inspect.unwrap(fixtures.target.outputs_here)
    here = outputs_here(metadata, metadata, lambda target: None, SAMPLES)
    for indices in ([7, 3], [3, 9, 7]):
        np.testing.assert_array_equal(here(TARGET, indices), LOGITS[indices])
    assert asked == [TEXTS[i] for i in (7, 3, 9)]


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (np.where(np.arange(300)[:, None] == 7, np.nan, LOGITS), "1 of 300 texts with NaN"),
        (np.where(np.arange(300)[:, None] < 20, LOGITS[:1], LOGITS), "one answer for different"),
        (np.zeros_like(LOGITS), "one answer for different"),
    ],
)
def test_answers_that_are_none(planted: np.ndarray, told: str) -> None:
    ask = claim.test_answers_differ_and_are_finite
    ask(TARGET, _outputs(LOGITS), _check())
    with pytest.raises(Fails, match=told):
        ask(TARGET, _outputs(planted), _check())


def test_permuted_labels() -> None:
    logits = 3 * np.eye(3, dtype=np.float32)[list(SAMPLES.labels)] + LOGITS
    ask = claim.test_labels_are_in_the_declared_order
    ask(TARGET, SAMPLES, _outputs(logits), _judged, _check())
    with pytest.raises(Fails, match=r"read as \['positive', 'negative', 'neutral'\]"):
        ask(TARGET, SAMPLES, _outputs(logits[:, [1, 2, 0]]), _judged, _check())
    # Of few texts another order may be right more often by chance; of ten not ten times.
    for right, verdict in (
        (1, nullcontext()),
        (9, pytest.raises(Fails, match="10 times more")),
    ):
        few = Dataset("few", ("a",) * right + ("b",), (0,) * right + (1,), NAMES)
        read = 3 * np.eye(3, dtype=np.float32)[[1] * right + [2]]
        with verdict:
            ask(TARGET, few, _outputs(read), lambda target, few=few: ([], few), _check())
    turned = replace(SAMPLES, label_names=NAMES[::-1])
    with pytest.raises(Fails, match="the texts'"):
        ask(TARGET, turned, _outputs(logits), _judged, _check())


def test_two_of_many_labels_swapped() -> None:
    """Of twelve, which have 479,001,600 orders."""
    names = tuple(f"class {i}" for i in range(12))
    truth = tuple(i % 12 for i in range(120))
    dataset = Dataset("many", ("a",) * 120, truth, names)
    logits = np.eye(12, dtype=np.float32)[list(truth)]
    ask = claim.test_labels_are_in_the_declared_order

    def outputs(logits: np.ndarray) -> Any:
        return lambda target: Outputs(logits, logits.argmax(1), names, (), 0)

    ask(TARGET, dataset, outputs(logits), lambda target: ([], dataset), _check())
    swapped = logits[:, [0, 5, 2, 3, 4, 1, *range(6, 12)]]
    with pytest.raises(Fails, match="20 times more"):
        ask(TARGET, dataset, outputs(swapped), lambda target: ([], dataset), _check())


def test_another_tokenizer_and_a_library_that_reads_it_otherwise(checkpoint: Checkpoint) -> None:
    ask = claim.test_tokenizer_is_the_checkpoints
    reference_outputs = SimpleNamespace(tokenizer_sha256=file_sha256(checkpoint.tokenizer))
    tokens = tuple(range(2, len(TEXTS) + 2))  # [CLS] good ... good [SEP]
    ask(TARGET, reference_outputs, checkpoint, _outputs(LOGITS, tokens), _judged, _check())
    with pytest.raises(Fails, match="1 of 300 texts are cut up otherwise"):
        ask(
            TARGET,
            reference_outputs,
            checkpoint,
            _outputs(LOGITS, (6, *tokens[1:])),
            _judged,
            _check(),
        )
    reference_outputs.tokenizer_sha256 = "0" * 64
    with pytest.raises(Fails, match="the reference outputs's 000"):
        ask(TARGET, reference_outputs, checkpoint, _outputs(LOGITS, tokens), _judged, _check())


@pytest.mark.parametrize(
    ("test", "attribute"),
    [
        (claim.test_same_tweet_same_answer, "twice"),
        (claim.test_order_changes_no_answer, "turned"),
        (claim.test_same_answer_after_many_others, "last"),
    ],
)
def test_one_answer_that_is_another_time_another(test: Any, attribute: str) -> None:
    few = claim.FEW
    same: dict[str, Any] = {
        "twice": LOGITS[:few],
        "turned": LOGITS[:few],
        "last": LOGITS[-few:],
        "by_length": {},
    }
    test(TARGET, _outputs(LOGITS), lambda target: claim.FreshRun(**same), _check())
    other = same | {attribute: _but(3, same[attribute])}
    with pytest.raises(Fails, match="1 of 16 texts are answered otherwise"):
        test(TARGET, _outputs(LOGITS), lambda target: claim.FreshRun(**other), _check())


def test_an_answer_that_padding_changes() -> None:
    def fresh(**by_length: np.ndarray) -> Any:
        lengths = {int(name[1:]): logits for name, logits in by_length.items()}
        return lambda target: claim.FreshRun(LOGITS, LOGITS, LOGITS, lengths)

    ask, few = claim.test_padding_changes_no_answer, LOGITS[:12]
    ask(TARGET, fresh(n24=few, n40=_but(1, few), n128=few), _spread, _check())
    surer = _but(few.argmax(1).tolist().index(0), few, by=2)  # the same label
    with pytest.raises(Fails, match=r"worst logit at \[40, 128\] tokens against 24"):
        ask(TARGET, fresh(n24=few, n40=surer, n128=few), _spread, _check())
    with pytest.raises(Fails, match="1 answers with NaN or infinity"):
        ask(TARGET, fresh(n24=few, n40=few, n128=_but(1, few, by=np.nan)), _spread, _check())
    near = few.copy()
    near[1] = [0, 0.5, 0]  # no tie
    with pytest.raises(Fails, match="1 of 24 answers have another label"):
        ask(TARGET, fresh(n24=near, n40=near, n128=_but(1, near, by=0.6)), _spread, _check())
    with pytest.raises(Inconclusive, match=r"\[24\] tokens alone"):
        ask(TARGET, fresh(n24=few), _spread, _check())


@pytest.mark.parametrize("planted", [24, 40, 128])
@pytest.mark.parametrize(
    ("by", "told"),
    [
        (0.0, None),
        (1e-5, None),
        (0.01, "threads' effect"),
        (9.0, "the label is another"),
        (np.nan, "1 answers with NaN or infinity"),
    ],
)
def test_threads_that_change_an_answer(planted: int, by: float, told: str | None) -> None:
    """In whichever signature."""
    answer = np.array([[0, 1, 0]], np.float32)

    @contextmanager
    def opened(target: Target, model_file: Path, threads: int) -> Any:
        def classify(texts: list[str], length: int = 24) -> Any:
            (_,) = texts
            logits = _but(0, answer, by) if (threads, length) == (4, planted) else answer
            return SimpleNamespace(logits=logits, tokens=(5,))

        yield SimpleNamespace(classify=classify, loaded=SimpleNamespace(lengths=(24, 40, 128)))

    def ask() -> None:
        path = Path("ours.tflite")
        claim.test_threads_change_no_answer(
            TARGET, opened, SAMPLES, lambda target: path, _spread, _check()
        )

    if told is None:
        ask()
    else:
        with pytest.raises(Fails, match=told):
            ask()


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        (((0.0, 1.0), (-90.0, 0.0)), None),
        (((-1.0, 1.0), (-90.0, 90.0)), None),
        (((0.0, 1e-6), (-90.0, 0.0)), "mask seen in calibration"),
        (((0.0, 1.0), (-10000.0, 0.0)), "mask clipped"),
        (((0.0, 1.0), (-1.0, 0.0)), "mask deep enough"),
        ((), "0 on the mask's way"),
    ],
)
def test_scales_that_leave_the_mask_no_effect(
    ranges: Any, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "inspect", lambda path: SimpleNamespace(mask_ranges=ranges))
    ask = claim.test_scales_leave_the_mask_its_effect
    if told is None:
        ask(TARGET, lambda target: Path("ours.tflite"), _check())
    else:
        with pytest.raises(Fails, match=told):
            ask(TARGET, lambda target: Path("ours.tflite"), _check())
