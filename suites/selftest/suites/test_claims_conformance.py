"""The claim of conformance, with planted outputs: each test is red for what it exists to catch."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fixtures.run
from common.checksum import file_sha256
from data.dataset import Dataset
from devices.client import Outputs
from devices.measurement.numerics import are_probabilities, logit_spread, softmax
from fixtures.run import Run
from fixtures.target import FEW, FreshRun, Target
from models.checkpoints.checkpoint import Checkpoint
from reports.verdict import Fails, Inconclusive
from suites.selftest.suites.planted import (
    NAMES,
    claim,
    fresh_check,
    outputs_of,
    planted,
    recorded,
)

CLAIM = claim("conformance")
LOGITS = np.random.default_rng(3).normal(size=(300, 3)).astype(np.float32)
TEXTS = Dataset(
    "made up",
    tuple(" ".join(["good"] * i) for i in range(len(LOGITS))),
    tuple((np.arange(len(LOGITS)) % 3).tolist()),
    NAMES,
)


def _target(texts: Dataset = TEXTS, **values: Any) -> Target:
    known: dict[str, Any] = {"outputs": outputs_of(LOGITS), "spread": logit_spread(LOGITS)}
    return planted(texts, "full_integer", **(known | values))


def _but(row: int, logits: np.ndarray = LOGITS, by: float = 1e-6) -> np.ndarray:
    """Return the same logits, one text's moved."""
    moved = logits.copy()
    moved[row] += np.array([by, 0, -by], np.float32)
    return moved


def test_the_spread_is_that_of_all_recorded_logits_or_of_the_outputs() -> None:
    few = LOGITS[:8] / 3
    for known, spread in ((logit_spread(LOGITS), logit_spread(LOGITS)), (None, logit_spread(few))):
        run = SimpleNamespace(recorded_spread=known)
        target = planted(TEXTS, run=run, outputs=outputs_of(few), answers_probabilities=False)
        assert target.spread == spread


def test_this_machine_classifies_a_text_once_and_in_the_order_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def classify(texts: tuple[str, ...]) -> Any:
        asked.extend(texts)
        return SimpleNamespace(logits=LOGITS[[TEXTS.texts.index(text) for text in texts]])

    worker = SimpleNamespace(load=lambda *_, **__: None, classify=classify)
    board = SimpleNamespace(worker=lambda runtime: nullcontext(worker))
    monkeypatch.setattr(fixtures.run, "this_machine", lambda *_: board)
    config: Any = SimpleNamespace(external=None)
    run = Run(config, {})
    vars(run).update(
        cache=SimpleNamespace(root=None),
        checkpoint=SimpleNamespace(tokenizer=None, label_names=NAMES),
        evaluation=TEXTS,
    )
    target = planted(TEXTS, run=run, model_file=None)
    for indices in ([7, 3], [3, 9, 7]):
        np.testing.assert_array_equal(target.outputs_here(indices), LOGITS[indices])
    assert asked == [TEXTS.texts[i] for i in (7, 3, 9)]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (np.where(np.arange(300)[:, None] == 7, np.nan, LOGITS), "1 of 300 texts with NaN"),
        (np.where(np.arange(300)[:, None] < 20, LOGITS[:1], LOGITS), "one output for different"),
        (np.zeros_like(LOGITS), "one output for different"),
    ],
)
def test_outputs_that_are_none(wrong: np.ndarray, why: str) -> None:
    ask = CLAIM.test_outputs_are_finite_and_differ
    ask(_target(), fresh_check())
    with pytest.raises(Fails, match=why):
        ask(_target(outputs=outputs_of(wrong)), fresh_check())


def test_permuted_labels() -> None:
    ask = CLAIM.test_labels_are_in_the_declared_order
    right = outputs_of(3 * np.eye(3, dtype=np.float32)[list(TEXTS.labels)] + LOGITS)
    ask(_target(outputs=right), fresh_check())
    permuted = outputs_of(right.logits[:, [1, 2, 0]])
    with pytest.raises(Fails, match=r"read as \['positive', 'negative', 'neutral'\]"):
        ask(_target(outputs=permuted), fresh_check())
    # Of few texts another order may be right more often by chance; of ten not ten times.
    for count, verdict in (
        (1, nullcontext()),
        (9, pytest.raises(Fails, match="10 times more")),
    ):
        few = Dataset("few", ("a",) * count + ("b",), (0,) * count + (1,), NAMES)
        read = outputs_of(3 * np.eye(3, dtype=np.float32)[[1] * count + [2]])
        with verdict:
            ask(_target(few, outputs=read), fresh_check())
    turned = replace(TEXTS, label_names=NAMES[::-1])
    with pytest.raises(Fails, match="the texts'"):
        ask(_target(turned, outputs=right), fresh_check())


def test_two_of_many_labels_swapped() -> None:
    """Of twelve, which have 479,001,600 orders."""
    names = tuple(f"class {i}" for i in range(12))
    truth = tuple(i % 12 for i in range(120))
    texts = Dataset("many", ("a",) * 120, truth, names)
    logits = np.eye(12, dtype=np.float32)[list(truth)]

    def ask(logits: np.ndarray) -> None:
        outputs = Outputs(logits, logits.argmax(1), names, (), 0)
        CLAIM.test_labels_are_in_the_declared_order(_target(texts, outputs=outputs), fresh_check())

    ask(logits)
    with pytest.raises(Fails, match="20 times more"):
        ask(logits[:, [0, 5, 2, 3, 4, 1, *range(6, 12)]])


def test_another_tokenizer_and_a_library_that_reads_it_otherwise(checkpoint: Checkpoint) -> None:
    def ask(tokens: tuple[int, ...], digest: str) -> None:
        target = _target(
            checkpoint=checkpoint,
            recorded=recorded(LOGITS, tokenizer_sha256=digest),
            outputs=outputs_of(LOGITS, tokens),
        )
        CLAIM.test_tokenizer_is_the_checkpoints(target, fresh_check())

    digest = file_sha256(checkpoint.tokenizer)
    tokens = tuple(range(2, len(TEXTS) + 2))  # [CLS] good ... good [SEP]
    ask(tokens, digest)
    with pytest.raises(Fails, match="1 of 300 texts have other tokens"):
        ask((6, *tokens[1:]), digest)
    with pytest.raises(Fails, match="were recorded with 000"):
        ask(tokens, "0" * 64)


@pytest.mark.parametrize(
    ("test", "attribute"),
    [
        (CLAIM.test_outputs_repeat, "twice"),
        (CLAIM.test_order_of_texts_changes_no_output, "reverse"),
        (CLAIM.test_outputs_repeat_after_many_texts, "last"),
    ],
)
def test_an_output_that_does_not_repeat(test: Any, attribute: str) -> None:
    same = FreshRun(last=LOGITS[-FEW:], reverse=LOGITS[:FEW], twice=LOGITS[:FEW], by_length={})
    test(_target(fresh=same), fresh_check())
    changed: dict[str, Any] = {attribute: _but(3, getattr(same, attribute))}
    other = replace(same, **changed)
    with pytest.raises(Fails, match="1 of 16 texts have other outputs"):
        test(_target(fresh=other), fresh_check())


def test_an_output_that_padding_changes() -> None:
    def ask(**by_length: np.ndarray) -> None:
        lengths = {int(name[1:]): logits for name, logits in by_length.items()}
        fresh = FreshRun(LOGITS, LOGITS, LOGITS, lengths)
        CLAIM.test_padding_changes_no_prediction(_target(fresh=fresh), fresh_check())

    few = LOGITS[:12]
    ask(n24=few, n40=_but(1, few), n128=few)
    surer = _but(few.argmax(1).tolist().index(0), few, by=2)  # the same label
    with pytest.raises(Fails, match=r"maximum logit error at \[40, 128\] tokens against 24"):
        ask(n24=few, n40=surer, n128=few)
    with pytest.raises(Fails, match="1 outputs with NaN or infinity"):
        ask(n24=few, n40=few, n128=_but(1, few, by=np.nan))
    near = few.copy()
    near[1] = [0, 0.5, 0]  # no tie
    with pytest.raises(Fails, match="1 of 24 predictions have another label"):
        ask(n24=near, n40=near, n128=_but(1, near, by=0.6))
    with pytest.raises(Inconclusive, match=r"\[24\] tokens alone"):
        ask(n24=few)


def test_an_output_that_masked_ids_change() -> None:
    """Of a file with one length, where there is no other to compare with."""

    def ask(otherwise: np.ndarray) -> None:
        fresh = FreshRun(few, few, few, {24: few}, padded_otherwise=otherwise)
        CLAIM.test_padding_changes_no_prediction(_target(fresh=fresh), fresh_check())

    few = LOGITS[:12]
    ask(_but(1, few))
    with pytest.raises(Fails, match=r"at \[24\] tokens, with other ids where the mask is 0"):
        ask(_but(few.argmax(1).tolist().index(0), few, by=2))


def test_probabilities_are_known_by_what_they_are() -> None:
    probabilities = softmax(LOGITS)
    assert are_probabilities(probabilities)
    assert not are_probabilities(LOGITS)
    assert not are_probabilities(probabilities[:1])
    assert not are_probabilities(probabilities / 2)
    rounded = np.round(probabilities * 256) / 256
    assert are_probabilities(rounded, 1 / 256)
    assert not are_probabilities(1 / (1 + np.exp(-LOGITS)), 1 / 256)


@pytest.mark.parametrize("length_at_fault", [24, 40, 128])
@pytest.mark.parametrize(
    ("by", "why"),
    [
        (0.0, None),
        (1e-5, None),
        (0.01, "effect of threads"),
        (9.0, "the label is another"),
        (np.nan, "1 outputs with NaN or infinity"),
    ],
)
def test_threads_that_change_an_output(length_at_fault: int, by: float, why: str | None) -> None:
    """In whichever signature."""
    output = np.array([[0, 1, 0]], np.float32)

    @contextmanager
    def worker(threads: int) -> Any:
        def classify(texts: list[str], length: int = 24) -> Any:
            (_,) = texts
            logits = _but(0, output, by) if (threads, length) == (4, length_at_fault) else output
            return SimpleNamespace(logits=logits, tokens=(5,))

        loaded = SimpleNamespace(lengths=(24, 40, 128), any_length=False)
        yield SimpleNamespace(classify=classify, loaded=loaded)

    with pytest.raises(Fails, match=why) if why else nullcontext():
        CLAIM.test_threads_change_no_prediction(_target(worker=worker), fresh_check())


@pytest.mark.parametrize(
    ("ranges", "why"),
    [
        (((0.0, 1.0), (-90.0, 0.0)), None),
        (((-1.0, 1.0), (-90.0, 90.0)), None),
        (((0.0, 1e-6), (-90.0, 0.0)), "mask seen in calibration"),
        (((0.0, 1.0), (-10000.0, 0.0)), "mask clipped"),
        (((0.0, 1.0), (-1.0, 0.0)), "mask deep enough"),
        ((), "0 on the mask's way"),
    ],
)
def test_scales_that_leave_the_mask_no_effect(ranges: Any, why: str | None) -> None:
    target = _target(contents=SimpleNamespace(mask_ranges=ranges, operators=("SOFTMAX v1",)))
    with pytest.raises(Fails, match=why) if why else nullcontext():
        CLAIM.test_scales_leave_the_mask_its_effect(target, fresh_check())


@pytest.mark.parametrize(("ranges", "seen"), [(((0.0, 1.0),), True), (((0.0, 1e-6),), False)])
def test_a_mask_that_is_multiplied_by_need_not_be_deep(ranges: Any, seen: bool) -> None:
    contents = SimpleNamespace(mask_ranges=ranges, operators=("MUL v1",))
    with nullcontext() if seen else pytest.raises(Fails, match="mask seen in calibration"):
        CLAIM.test_scales_leave_the_mask_its_effect(_target(contents=contents), fresh_check())
