"""Claim: on its runtime the model file computes what the checkpoint computes that it is made from.

Its logits are held against the checkpoint's recorded PyTorch logits, text by text. A runtime that
computes wrong outputs without an error is caught here, by name, before any of its figures count.
Logit errors are normalized by the spread of all recorded logits, so that they mean the same for
every model and sample.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import combinations, permutations

import numpy as np
import pytest
from tokenizers import Tokenizer

from common.checksum import file_sha256
from data.metrics import Interval, sampled_mean
from devices import op_support
from devices.measurement.numerics import label_mismatches, mean_logit_error, normalized_logit_errors
from fixtures.target import Target
from reports.check import Check
from reports.verdict import Estimate, Inconclusive

MAX_ALIKE = 5.0  # %: a stub gives one output for all texts; integers repeat for a few
MAX_BY_THREADS = 1e-3  # normalized logit error: sums in another order
MAX_BY_PADDING = 0.05  # likewise; int16x8 has 0.004, the others none
MAX_MASK = 100.0  # below zero, an int8 has steps of 0.4
MIN_MASK = 20.0  # a token so far below the others has 2e-9 of their weight
FEW_LABELS = 6  # so many have 720 orders
THREAD_SECONDS = 8.0  # with more threads than cores some runtimes take that long for one text


def test_runtime_takes_every_operator(target: Target, check: Check) -> None:
    """The file's operators are among those that the runtime was probed to take.

    It is known before the runtime is asked. A runtime may still compute such an operator wrongly:
    quantizers leave version numbers too low.
    """
    operators = target.contents.operators
    if reasons := op_support.refused(operators, target.board.release(target.runtime)):
        check.cannot_run(f"this file needs {'; and '.join(reasons)}")
    check.holds("operators", bool(operators), f"{len(operators)} kinds, each in a version it takes")


def test_outputs_match_the_checkpoint(target: Target, check: Check) -> None:
    """Normalized logit error against the recorded outputs: the mean, and the maximum.

    An emulated board has the time for a few texts, and a few keep a bound or miss it by chance.
    What it adds to the error that this machine has on the same texts is known far better. So the
    mean is this machine's, of some hundred texts, and what the few add to it.
    """
    recorded, sample = target.expected, target.sample

    def errors(logits: np.ndarray, indices: list[int]) -> np.ndarray:
        return normalized_logit_errors(logits, recorded[indices], target.spread)

    found = errors(target.outputs.logits, sample)
    if target.emulated:
        many = target.run.large_sample
        here = errors(target.outputs_here(many), many).mean(1)
        added = (found - errors(target.outputs_here(sample), sample)).mean(1)
        mean = sampled_mean(here, added)
        of = f"{len(here)} texts on this machine, and what {len(added)} on the board add"
    elif len(sample) < len(recorded):
        mean, of = sampled_mean(found.mean(1)), f"{len(sample)} of {len(recorded)} texts"
    else:
        value = float(found.mean())
        mean, of = Interval(value, value, value), "all texts"
    most = float(found.max())
    check.metrics(mean_logit_error=mean.value, max_logit_error=most)
    estimate = Estimate(mean.value, "of the spread", f"mean of {of}", mean.lower, mean.upper)
    check.at_most("mean logit error", estimate, target.promises.mean_logit_error)
    estimate = Estimate(most, "of the spread", f"maximum of {len(found)} texts")
    check.at_most("maximum logit error", estimate, target.promises.max_logit_error)


def test_outputs_are_finite_and_differ(target: Target, check: Check) -> None:
    """No NaN, no infinity, and not one output for different texts."""
    logits = target.outputs.logits
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    check.holds("finite", broken == 0, f"{broken} of {len(logits)} texts with NaN or infinity")
    most = int(np.unique(logits, axis=0, return_counts=True)[1].max())
    others = 100 * (most - 1) / max(1, len(logits) - 1)
    share = Estimate(others, "% of the other texts", "the commonest logits of all")
    check.at_most("one output for different texts", share, MAX_ALIKE)


def test_labels_are_in_the_declared_order(target: Target, check: Check) -> None:
    """No other order of the logits is right more often.

    More often means beyond chance (McNemar's test, one-sided, 95%).
    """
    outputs, truth = target.outputs, np.array(target.texts.labels)
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
    expected = target.texts.label_names
    check.holds("labels", outputs.labels == expected, f"{outputs.labels}; the texts' {expected}")


def _orders(declared: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield every order of a few labels; of many the declared one, and each with two swapped."""
    if len(declared) <= FEW_LABELS:
        yield from permutations(declared)
        return
    yield declared
    for i, j in combinations(declared, 2):
        yield tuple({i: j, j: i}.get(n, n) for n in declared)


def test_tokenizer_is_the_checkpoints(target: Target, check: Check) -> None:
    """The tokenizer is the one of the reference outputs, and the board reads it as this machine."""
    path = target.checkpoint.tokenizer
    digest, expected = file_sha256(path), target.reference_outputs.tokenizer_sha256
    check.holds(
        "tokenizer",
        digest == expected,
        f"sha256 {digest}; the reference outputs were recorded with {expected}",
    )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    here = [len(encoding.ids) for encoding in tokenizer.encode_batch(list(target.texts.texts))]
    other = sum(ours != theirs for ours, theirs in zip(here, target.outputs.tokens, strict=True))
    check.holds("tokens", other == 0, f"{other} of {len(here)} texts have other tokens")


def test_padding_changes_no_prediction(target: Target, check: Check) -> None:
    """The same texts through the shortest signature that takes them, and through each longer one.

    Of a file with one length the same texts, with other ids in the masked places behind them. The
    labels are the same, but for ties, and the logits nearly so.
    """
    if target.fresh.any_length:
        check.holds("padding", True, "each text is run at its own length: none is padded")
        return
    by_length, masked = target.fresh.by_length, target.fresh.padded_otherwise
    lengths = sorted(by_length)
    others = [by_length[length] for length in lengths[1:]]
    where = f"at {lengths[1:]} tokens against {min(lengths, default=0)}"
    if lengths and masked is not None:
        others, where = [masked], f"at {lengths} tokens, with other ids where the mask is 0"
    if not others:
        raise Inconclusive(f"the file has {lengths} tokens alone: nothing to compare padding with")
    shortest, spread = by_length[lengths[0]], target.spread
    _check_finite(check, (shortest, *others))
    tie = target.promises.mean_logit_error * spread
    other = sum(int(label_mismatches(logits, shortest, tie).sum()) for logits in others)
    of = len(shortest) * len(others)
    check.holds("labels", other == 0, f"{other} of {of} predictions have another label")
    most = max(mean_logit_error(logits, shortest, spread)[1] for logits in others)
    check.metrics(padding_error=most)
    estimate = Estimate(most, "of the spread", f"maximum logit error {where}")
    budget = min(MAX_BY_PADDING, target.promises.max_logit_error)
    check.at_most("effect of padding", estimate, budget)


def _check_finite(check: Check, outputs: Iterable[np.ndarray]) -> None:
    """Check this before a maximum is taken: Python's loses NaN."""
    broken = sum(int((~np.isfinite(logits)).any(axis=1).sum()) for logits in outputs)
    check.holds("finite", broken == 0, f"{broken} outputs with NaN or infinity")


def test_outputs_repeat(target: Target, check: Check) -> None:
    """Asked twice, in another process than the judged one: the same logits bit for bit."""
    _check_same(check, "repeatability", target.fresh.twice, target.outputs.logits)


def test_order_of_texts_changes_no_output(target: Target, check: Check) -> None:
    """In the reverse order, in other batches: the same logits bit for bit."""
    _check_same(check, "reverse order", target.fresh.reverse, target.outputs.logits)


def test_outputs_repeat_after_many_texts(target: Target, check: Check) -> None:
    """The last texts, after all others and as the first of a worker: the same logits bit for bit.

    "All others" are 6,000; where a sample is judged, hundreds.
    """
    logits, last = target.outputs.logits, target.fresh.last
    name = f"after {len(logits) - len(last)} others"
    _check_same(check, name, last, logits[-len(last) :])


def _check_same(check: Check, name: str, again: np.ndarray, first: np.ndarray) -> None:
    other = int((again != first[: len(again)]).any(axis=1).sum())
    check.holds(name, other == 0, f"{other} of {len(again)} texts have other outputs")


def test_threads_change_no_prediction(target: Target, check: Check) -> None:
    """The same label with 1, 2 and 4 threads, and the same logits but for the order of sums.

    A short text through each length, the shortest first, for as long as there is time: with more
    threads than cores some runtimes take seconds for each, as an emulated board does.
    """
    by_threads: list[dict[int, np.ndarray]] = []
    (text,) = target.short_texts(1)
    for threads in (1, 2, 4):
        with target.worker(threads=threads) as worker:
            assert worker.loaded is not None
            end = time.perf_counter() + THREAD_SECONDS
            first = worker.classify([text])
            lengths = [n for n in worker.loaded.lengths if n >= first.tokens[0]]
            lengths = lengths or [max(worker.loaded.lengths)]  # the text was cut
            if worker.loaded.any_length:
                lengths = [min(first.tokens[0], *worker.loaded.lengths)]
            by_threads.append({lengths[0]: first.logits})
            for length in lengths[1:]:
                if time.perf_counter() > end:
                    break
                by_threads[-1][length] = worker.classify([text], length=length).logits
    lengths = sorted(set.intersection(*(set(outputs) for outputs in by_threads)))
    logits = [np.concatenate([outputs[n] for n in lengths]) for outputs in by_threads]
    _check_finite(check, logits)
    labels = [x.argmax(axis=1) for x in logits]
    other = int((labels[0] != labels[1:]).any(axis=0).sum())
    check.holds("labels", other == 0, f"at {other} of {lengths} tokens the label is another")
    most = max(mean_logit_error(x, logits[0], target.spread)[1] for x in logits[1:])
    statistic = f"maximum logit error with 2 or 4 threads against 1, at {lengths} tokens"
    check.at_most("effect of threads", Estimate(most, "of the spread", statistic), MAX_BY_THREADS)


@pytest.mark.only(mode=("full_integer", "int16x8"))
def test_scales_leave_the_mask_its_effect(target: Target, check: Check) -> None:
    """The mask's 1 and 0 become what is added to the scores, 0 and -90: both fit the scales.

    What calibration did wrong shows here first.
    """
    ranges = target.contents.mask_ranges
    check.holds("fixed scales", bool(ranges), f"{len(ranges)} on the mask's way")
    spans = [most - least for least, most in ranges]
    narrowest = Estimate(min(spans), "", "narrowest range of all on the mask's way")
    check.at_least("mask seen in calibration", narrowest, 0.99)
    # The lower end alone: a range of int16 is symmetric, and as wide again.
    deepest = Estimate(-min(least for least, _ in ranges), "", "deepest of all on the mask's way")
    check.at_least("mask deep enough", deepest, MIN_MASK)
    check.at_most("mask clipped", deepest, MAX_MASK)


def test_inputs_are_bound_by_name(target: Target, check: Check) -> None:
    """Every signature has the inputs and the output under their names."""
    with target.worker() as worker:
        assert worker.loaded is not None
        signatures = worker.loaded.signatures
    found = [(sorted(s["inputs"]), sorted(s["outputs"])) for s in signatures]
    inputs = ["attention_mask", "input_ids", "token_type_ids"]  # a BERT may do without the last
    wanted = [(inputs, ["logits"]), (inputs[:2], ["logits"])]
    if target.run.binding(target.model_file):
        wanted.append((inputs[1:2], ["logits"]))  # an embedding may mask by id
    check.holds("names", bool(found) and all(f in wanted for f in found), f"found {found}")
