"""Claim: on its runtime the FlatBuffer answers like the checkpoint it was made from.

Held against the checkpoint's recorded PyTorch logits, text by text. A runtime that answers
wrongly without an error is caught here, by name, before any of its figures count. Distances are
shares of the spread of all recorded logits, so that they mean the same for every model and sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from data.dataset import Dataset
from data.metrics import Interval, sampled_mean
from devices import op_support
from devices.boards.board import Board
from devices.client import Outputs, Worker
from devices.measurement.numerics import label_mismatches, mean_logit_error, normalized_logit_errors
from fixtures.matrix import Target
from fixtures.target import SHORT, OpenWorker
from models.checkpoints.checkpoint import Checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs, file_sha256
from models.contents import inspect
from reports.check import Check
from reports.verdict import Estimate, Inconclusive

OutputsOf = Callable[[Target], Outputs]
SampleOf = Callable[[Target], tuple[list[int], Dataset]]
LogitsHere = Callable[[Target, list[int]], np.ndarray]
SpreadOf = Callable[[Target], float]
OpenFile = Callable[..., AbstractContextManager[Worker]]

FEW = 16  # texts that are asked again
MAX_ALIKE = 5.0  # a stub answers all alike; of integers few texts are
MAX_BY_THREADS = 1e-3  # of the spread: sums in another order
MAX_BY_PADDING = 0.05  # likewise; none was seen but of int16x8, 0.004
MAX_MASK = 100.0  # below zero, of int8 a step of 0.4
MIN_MASK = 20.0  # a token so far below the others has 2e-9 of their weight
FEW_LABELS = 6  # so many can be read in 720 orders
THREAD_SECONDS = 8.0  # with more threads than cores some runtimes take that long for one text


def test_runtime_takes_every_operator(
    target: Target,
    board_of: Callable[[Target], Board],
    model_file_of: Callable[[Target], Path],
    check: Check,
) -> None:
    """Read from the file and held against what the runtime was probed to take: told before it is
    asked. That it is taken is not yet that it is answered: quantizers leave versions too low."""
    found = inspect(model_file_of(target)).operators
    if reasons := op_support.refused(found, board_of(target).release(target.runtime)):
        check.cannot_run(f"this file needs {'; and '.join(reasons)}")
    check.holds("operators", bool(found), f"{len(found)} kinds, each in a version it takes")


def test_answers_like_its_checkpoint(
    target: Target,
    reference_outputs: ReferenceOutputs,
    outputs_of: OutputsOf,
    outputs_here: LogitsHere,
    spread_of: SpreadOf,
    sample_of: SampleOf,
    large_sample: list[int],
    board_of: Callable[[Target], Board],
    check: Check,
) -> None:
    """Distance of the logits from the recorded ones: on the whole, and of the worst one.

    An emulated board has the time for a few texts, and a few keep a bound or miss it by chance.
    What it adds to the distance that this machine's answers have to the same texts is known far
    better: so the mean is this machine's, of some hundred texts, and what the few add to it.
    """
    recorded, spread = np.array(reference_outputs.logits, np.float32), spread_of(target)

    def away(logits: np.ndarray, indices: list[int]) -> np.ndarray:
        return normalized_logit_errors(logits, recorded[indices], spread)

    asked = sample_of(target)[0]
    found = away(outputs_of(target).logits, asked)
    if board_of(target).emulated:
        here = away(outputs_here(target, large_sample), large_sample).mean(1)
        more = (found - away(outputs_here(target, asked), asked)).mean(1)
        mean = sampled_mean(here, more)
        of = f"{len(here)} texts on this machine, and what {len(more)} on the board add"
    elif len(asked) < len(recorded):
        mean, of = sampled_mean(found.mean(1)), f"{len(asked)} of {len(recorded)} texts"
    else:
        value = float(found.mean())
        mean, of = Interval(value, value, value), "all texts"
    worst = float(found.max())
    check.metrics(mean_logit_error=mean.value, max_logit_error=worst)
    estimate = Estimate(mean.value, "of the spread", f"mean of {of}", mean.lower, mean.upper)
    check.at_most("logit distance", estimate, target.promise.mean_logit_error)
    estimate = Estimate(worst, "of the spread", f"worst logit of {len(found)} texts")
    check.at_most("worst logit", estimate, target.promise.max_logit_error)


def test_answers_differ_and_are_finite(target: Target, outputs_of: OutputsOf, check: Check) -> None:
    """No NaN, no infinity, and not one answer for different texts."""
    logits = outputs_of(target).logits
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    check.holds("finite", broken == 0, f"{broken} of {len(logits)} texts with NaN or infinity")
    most = int(np.unique(logits, axis=0, return_counts=True)[1].max())
    others = 100 * (most - 1) / max(1, len(logits) - 1)
    share = Estimate(others, "% of the other texts", "the commonest logits of all")
    check.at_most("one answer for different texts", share, MAX_ALIKE)


def test_labels_are_in_the_declared_order(
    target: Target,
    evaluation: Dataset,
    outputs_of: OutputsOf,
    sample_of: SampleOf,
    check: Check,
) -> None:
    """No other order in which the logits could be read is right more often: beyond chance, of few
    texts (McNemar's test, one-sided, 95%)."""
    outputs, truth = outputs_of(target), np.array(sample_of(target)[1].labels)
    declared = tuple(range(len(outputs.labels)))
    right = {
        order: outputs.logits[:, list(order)].argmax(axis=1) == truth for order in _orders(declared)
    }
    best = max(right, key=lambda order: int(right[order].sum()))
    ours, theirs = right[declared], right[best]
    gained, lost = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    names = [outputs.labels[i] for i in best]
    check.holds(
        "order",
        gained - lost <= 1.645 * (gained + lost) ** 0.5,
        f"the logits read as {names} are right {gained} times more and {lost} times less often",
    )
    same = outputs.labels == evaluation.label_names
    check.holds("labels", same, f"{outputs.labels}; the texts' {evaluation.label_names}")


def _orders(declared: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every order of a few; of many the declared one, and each with two of them swapped."""
    if len(declared) <= FEW_LABELS:
        yield from permutations(declared)
        return
    yield declared
    for i, j in combinations(declared, 2):
        yield tuple({i: j, j: i}.get(n, n) for n in declared)


def test_tokenizer_is_the_checkpoints(
    target: Target,
    reference_outputs: ReferenceOutputs,
    checkpoint: Checkpoint,
    outputs_of: OutputsOf,
    sample_of: SampleOf,
    check: Check,
) -> None:
    """The file that the reference outputs were recorded with; and the board's library reads it as
    it is read here, text by text."""
    digest = file_sha256(checkpoint.tokenizer)
    same = digest == reference_outputs.tokenizer_sha256
    check.holds(
        "tokenizer",
        same,
        f"sha256 {digest}; the reference outputs's {reference_outputs.tokenizer_sha256}",
    )
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    here = [len(e.ids) for e in tokenizer.encode_batch(list(sample_of(target)[1].texts))]
    pairs = zip(here, outputs_of(target).tokens, strict=True)
    other = sum(ours != theirs for ours, theirs in pairs)
    check.holds("tokens", other == 0, f"{other} of {len(here)} texts are cut up otherwise")


@dataclass(frozen=True)
class FreshRun:
    """What a fresh worker answers; nothing is taken from the cache.

    Attributes:
        last: logits of the last judged texts, asked before any other.
        turned: of the first ones, asked in reverse order, and put back into theirs.
        twice: of the first ones, asked once more.
        by_length: of short texts, through the signature of each length that holds them all.
        any_length: each text is run at its own length, and none is padded.
    """

    last: np.ndarray
    turned: np.ndarray
    twice: np.ndarray
    by_length: dict[int, np.ndarray]
    any_length: bool = False


@pytest.fixture(scope="session")
def fresh(
    worker_of: OpenWorker,
    evaluation: Dataset,
    sample_of: SampleOf,
    affordable: Callable[[Target, int], int],
) -> Callable[[Target], FreshRun]:
    """Asks a target in a fresh worker, once a session."""
    known: dict[Target, FreshRun] = {}

    def ask(target: Target) -> FreshRun:
        if target not in known:
            texts, few = sample_of(target)[1].texts, affordable(target, FEW)
            short = _short(evaluation, few)
            with worker_of(target) as worker:
                assert worker.loaded is not None
                last = worker.classify(texts[-few:]).logits
                turned = worker.classify(texts[:few][::-1]).logits[::-1]
                twice = worker.classify(texts[:few]).logits
                tokens = worker.classify(short).tokens
                by_length = {
                    length: worker.classify(short, length=length).logits
                    for length in worker.loaded.lengths
                    if length >= max(tokens)
                }
                any_length = worker.loaded.any_length
            known[target] = FreshRun(last, turned, twice, by_length, any_length)
        return known[target]

    return ask


def test_padding_changes_no_answer(
    target: Target, fresh: Callable[[Target], FreshRun], spread_of: SpreadOf, check: Check
) -> None:
    """The same texts through the shortest signature that takes them, and through each longer: the
    same labels, but for ties, and the logits but for a little. A runtime may do without padding."""
    if fresh(target).any_length:
        check.holds("padding", True, "each text is run at its own length: none is padded")
        return
    by_length = fresh(target).by_length
    lengths = sorted(by_length)
    if len(lengths) < 2:
        raise Inconclusive(f"the file has {lengths} tokens alone: nothing to compare padding with")
    least, spread = by_length[lengths[0]], spread_of(target)
    _check_finite(check, by_length.values())
    tie = target.promise.mean_logit_error * spread
    other = sum(int(label_mismatches(by_length[n], least, tie).sum()) for n in lengths[1:])
    of = len(least) * (len(lengths) - 1)
    check.holds("labels", other == 0, f"{other} of {of} answers have another label")
    worst = max(mean_logit_error(by_length[n], least, spread)[1] for n in lengths[1:])
    check.metrics(padding_error=worst)
    statistic = f"worst logit at {lengths[1:]} tokens against {lengths[0]}"
    check.at_most(
        "padding's effect",
        Estimate(worst, "of the spread", statistic),
        min(MAX_BY_PADDING, target.promise.max_logit_error),
    )


def _check_finite(check: Check, outputs: Iterable[np.ndarray]) -> None:
    """Before a maximum is taken, in which Python loses what is no number."""
    broken = sum(int((~np.isfinite(logits)).any(axis=1).sum()) for logits in outputs)
    check.holds("finite", broken == 0, f"{broken} answers with NaN or infinity")


def test_same_tweet_same_answer(
    target: Target, outputs_of: OutputsOf, fresh: Callable[[Target], FreshRun], check: Check
) -> None:
    """Asked twice, in another process than the one that was judged: the same logits bit for bit."""
    _check_same(check, "repeatability", fresh(target).twice, outputs_of(target).logits)


def test_order_changes_no_answer(
    target: Target, outputs_of: OutputsOf, fresh: Callable[[Target], FreshRun], check: Check
) -> None:
    """In the reverse order, in other batches: the same logits bit for bit."""
    _check_same(check, "reverse order", fresh(target).turned, outputs_of(target).logits)


def test_same_answer_after_many_others(
    target: Target, outputs_of: OutputsOf, fresh: Callable[[Target], FreshRun], check: Check
) -> None:
    """The last texts, as they were judged after all others and as the first a worker is asked: the
    same logits bit for bit. After 6,000 others; where a sample is judged, after hundreds."""
    logits, last = outputs_of(target).logits, fresh(target).last
    _check_same(check, f"after {len(logits) - len(last)} others", last, logits[-len(last) :])


def _check_same(check: Check, name: str, again: np.ndarray, answered: np.ndarray) -> None:
    other = int((again != answered[: len(again)]).any(axis=1).sum())
    check.holds(name, other == 0, f"{other} of {len(again)} texts are answered otherwise")


def test_threads_change_no_answer(
    target: Target,
    open_worker: OpenFile,
    evaluation: Dataset,
    model_file_of: Callable[[Target], Path],
    spread_of: SpreadOf,
    check: Check,
) -> None:
    """The same label with 1, 2 and 4 threads, and the same logits but for the order of sums.

    A short text through each length, the shortest first, for as long as there is time: with more
    threads than cores some runtimes take seconds for each, as an emulated board does.
    """
    by_threads: list[dict[int, np.ndarray]] = []
    (tweet,) = _short(evaluation, 1)
    for threads in (1, 2, 4):
        with open_worker(target, model_file_of(target), threads=threads) as worker:
            assert worker.loaded is not None
            end = time.perf_counter() + THREAD_SECONDS
            first = worker.classify([tweet])
            lengths = [n for n in worker.loaded.lengths if n >= first.tokens[0]]
            lengths = lengths or [max(worker.loaded.lengths)]  # it was cut off
            if worker.loaded.any_length:
                lengths = [min(first.tokens[0], *worker.loaded.lengths)]
            by_threads.append({lengths[0]: first.logits})
            for length in lengths[1:]:
                if time.perf_counter() > end:
                    break
                by_threads[-1][length] = worker.classify([tweet], length=length).logits
    lengths = sorted(set.intersection(*(set(outputs) for outputs in by_threads)))
    logits = [np.concatenate([outputs[n] for n in lengths]) for outputs in by_threads]
    _check_finite(check, logits)
    labels = [x.argmax(axis=1) for x in logits]
    other = int((labels[0] != labels[1:]).any(axis=0).sum())
    check.holds("labels", other == 0, f"at {other} of {lengths} tokens the label is another")
    worst = max(mean_logit_error(x, logits[0], spread_of(target))[1] for x in logits[1:])
    statistic = f"worst logit with 2 or 4 threads against 1, at {lengths} tokens"
    check.at_most("threads' effect", Estimate(worst, "of the spread", statistic), MAX_BY_THREADS)


@pytest.mark.only(mode=("full_integer", "int16x8"))
def test_scales_leave_the_mask_its_effect(
    target: Target, model_file_of: Callable[[Target], Path], check: Check
) -> None:
    """The mask's 1 and 0 become what is added to the scores, 0 and -90: both fit the scales on the
    way. What calibration did wrong shows here first."""
    ranges = inspect(model_file_of(target)).mask_ranges
    check.holds("fixed scales", bool(ranges), f"{len(ranges)} on the mask's way")
    spans = [most - least for least, most in ranges]
    narrowest = Estimate(min(spans), "", "narrowest range of all on the mask's way")
    check.at_least("mask seen in calibration", narrowest, 0.99)
    # The lower end alone: a range of int16 is symmetric, and as wide again.
    deepest = Estimate(-min(least for least, _ in ranges), "", "deepest of all on the mask's way")
    check.at_least("mask deep enough", deepest, MIN_MASK)
    check.at_most("mask clipped", deepest, MAX_MASK)


def test_inputs_are_bound_by_name(target: Target, worker_of: OpenWorker, check: Check) -> None:
    """Every signature has the inputs and the output under their names."""
    with worker_of(target) as worker:
        assert worker.loaded is not None
        signatures = worker.loaded.signatures
    found = [(sorted(s["inputs"]), sorted(s["outputs"])) for s in signatures]
    inputs = ["attention_mask", "input_ids", "token_type_ids"]  # a BERT may do without the last
    wanted = [(inputs, ["logits"]), (inputs[:2], ["logits"])]
    check.holds("names", bool(found) and all(f in wanted for f in found), f"found {found}")


def _short(dataset: Dataset, count: int) -> list[str]:
    """The first texts of few characters, which fit the shortest signatures; where there are none,
    the shortest."""
    short = [text for text in dataset.texts if len(text) <= SHORT]
    return (short or sorted(dataset.texts, key=len))[:count]
