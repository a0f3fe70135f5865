"""Claim: on its runtime the model file computes what the checkpoint computes that it is made from.

Its logits are held against the checkpoint's recorded PyTorch logits, text by text. A runtime that
computes wrong outputs without an error is caught here, by name, before any of its figures count.
Logit errors are normalized by the spread of all recorded logits, so that they mean the same for
every model and sample.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, permutations

import numpy as np
import pytest
from tokenizers import Tokenizer

from common.checksum import file_sha256
from data.metrics import Interval, sampled_mean
from devices import op_support
from devices.measurement.numerics import label_mismatches, mean_logit_error, normalized_logit_errors
from fixtures.target import Target
from models.checkpoints.probes import KINDS, Probe
from models.tflite.constants import Difference
from reports.check import Check
from reports.verdict import Estimate, Inconclusive

MAX_ALIKE = 5.0  # %: a stub gives one output for all texts; integers repeat for a few
MAX_BY_THREADS = 1e-3  # normalized logit error: sums in another order
MAX_BY_PADDING = 0.05  # likewise; int16x8 has 0.004, the others none
MAX_MASK = 100.0  # below zero, an int8 has steps of 0.4
MIN_MASK = 20.0  # a token so far below the others has 2e-9 of their weight
FEW_LABELS = 6  # so many have 720 orders
FEW_NAMES = 3  # of pieces, rows or constants, where many fail
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

    It is held to what the mode costs this candidate on calibration texts, times a factor.

    An emulated board has the time for a few texts, and a few keep a bound or miss it by chance.
    What it adds to the error that this machine has on the same texts is known far better. So the
    mean is this machine's, of some hundred texts, and what the few add to it.
    """
    recorded, sample = target.expected, target.sample

    def errors(logits: np.ndarray, indices: list[int]) -> np.ndarray:
        return normalized_logit_errors(logits, recorded[indices], target.spread)

    found = errors(target.outputs.logits, sample)
    if target.emulated:
        many = target.sample_here
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
    check.at_most("mean logit error", estimate, target.tolerance.mean)
    estimate = Estimate(most, "of the spread", f"maximum of {len(found)} texts")
    check.at_most("maximum logit error", estimate, target.tolerance.most)


def test_probes_match_the_checkpoint(target: Target, check: Check) -> None:
    """Every piece of the vocabulary, every position, both token types, the tokenizer's edges.

    Texts seldom ask these. The probes are made from the tokenizer, and PyTorch's logits of them are
    recorded with those of the texts. On an emulated board, and where a sample of the texts is
    answered, a share of the pieces is asked.
    """
    probed = target.probed
    asked, pieces = len(probed.asked), "{} of {} pieces".format(*probed.pieces)
    broken = np.flatnonzero(~np.isfinite(probed.logits).all(1))
    where = _where(target, probed.asked, broken) if len(broken) else f"{asked} probes, {pieces}"
    check.holds("finite", not len(broken), where)
    errors = normalized_logit_errors(probed.logits, probed.expected, target.spread).max(1)
    budget = target.tolerance.most
    check.metrics(probe_error=float(errors.max()))
    statistic = f"maximum of {asked} probes, {pieces}"
    if len(wrong := np.flatnonzero(errors > budget)):
        statistic += f"; {_where(target, probed.asked, wrong)}"
    estimate = Estimate(float(errors.max()), "of the spread", statistic)
    check.at_most("maximum logit error", estimate, budget)
    if probed.cut is not None:
        why = "a text of ten thousand characters is answered as its first tokens are"
        check.holds("cut", probed.cut, why)


def _where(target: Target, asked: Sequence[Probe], wrong: np.ndarray) -> str:
    """Say which piece, position, token type or text it is that fails."""
    probes = [asked[n] for n in wrong]
    tokenizer = Tokenizer.from_file(str(target.checkpoint.tokenizer))

    def named(ids: Iterable[int]) -> str:
        return ", ".join(f"{n} {tokenizer.id_to_token(n)!r}" for n in list(ids)[:FEW_NAMES])

    said = []
    by_kind = {kind: [p for p in probes if p.asks == kind] for kind in dict.fromkeys(KINDS)}
    if found := by_kind["piece"]:
        alone = target.broken_pieces(found[0])
        said.append(
            f"piece {named(alone)}"
            if alone
            else f"one of {len(found[0].inner)} pieces, among them {named(found[0].inner)}"
        )
        if len(found) > 1:
            said[-1] += f", and others in {len(found) - 1} more probes"
    if found := by_kind["position"]:
        tokens = min(len(probe.ids) for probe in found)
        said.append(f"texts of {tokens} tokens or more: a position up to {tokens - 1}")
    if by_kind["type"]:
        said.append("token type 1")
    if found := by_kind["edge"]:
        said.append(f"the text {found[0].text!r}")
    return "; ".join(said)


@pytest.mark.only(format="tflite")
def test_weights_are_the_checkpoints(target: Target, check: Check) -> None:
    """Each constant is that of the candidate's float32 file, rounded as its mode rounds.

    A row that is not finite, zeroed, moved or scaled otherwise is named, though no text asks it. A
    tool may fold one constant into another: of a file that was made elsewhere, what is not found is
    counted and said.
    """
    compared = target.weight_differences
    if compared is None:
        check.holds("weights", True, "the float32 file itself, or compared when it was bundled")
        return
    count, found = compared
    missing = [each for each in found if each.what == "not found"]
    other = [each for each in found if each.what != "not found"]
    said = [f"{_difference(target, each)}" for each in other[:FEW_NAMES]]
    if len(other) > FEW_NAMES:
        said.append(f"{len(other) - FEW_NAMES} more")
    about = f"{count - len(missing)} of {count} constants are compared"
    check.holds("weights", not other, "; ".join(said) or about)
    if target.run.binding(target.model_file) is None:
        names = ", ".join(each.name for each in missing[:FEW_NAMES])
        check.holds("all are there", not missing, f"not found: {names}" if missing else about)


def _difference(target: Target, each: Difference) -> str:
    """Say what of a constant differs, with the pieces where it is the table of words."""
    rows = ", ".join(map(str, each.rows[:FEW_NAMES]))
    if "word_embeddings" in each.name:
        tokenizer = Tokenizer.from_file(str(target.checkpoint.tokenizer))
        rows = ", ".join(f"{n} {tokenizer.id_to_token(n)!r}" for n in each.rows[:FEW_NAMES])
    more = f" and {len(each.rows) - FEW_NAMES} more" if len(each.rows) > FEW_NAMES else ""
    size = f" by {each.size:.2f}" if each.what == "scaled" else ""
    return f"{each.name}, row {rows}{more}: {each.what}{size}"


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
    """The same label with 1, 2 and 4 threads, and the same logits but for the order of sums. An
    emulated board is asked with 1 and 4.

    A short text through each length, the shortest first, for as long as there is time: with more
    threads than cores some runtimes take seconds for each, as an emulated board does.
    """
    by_threads: list[dict[int, np.ndarray]] = []
    (text,) = target.short_texts(1)
    for threads in (1, 4) if target.emulated else (1, 2, 4):
        with target.worker(threads=threads) as worker:
            assert worker.loaded is not None
            end = time.perf_counter() + THREAD_SECONDS
            first = worker.classify([text])
            lengths = [n for n in worker.loaded.lengths if n >= first.tokens[0]]
            lengths = lengths or [max(worker.loaded.lengths)]  # the text was cut
            if worker.loaded.any_length:
                lengths = [min(first.tokens[0], *worker.loaded.lengths)]
            lengths = lengths[: target.affordable(4 * len(lengths))]
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
    statistic = f"maximum logit error with more threads against 1, at {lengths} tokens"
    check.at_most("effect of threads", Estimate(most, "of the spread", statistic), MAX_BY_THREADS)


@pytest.mark.only(mode=("full_integer", "int16x8"))
def test_scales_leave_the_mask_its_effect(target: Target, check: Check) -> None:
    """The mask's 1 and 0 become what is added to the scores, 0 and -90: both fit the scales.

    What calibration did wrong shows here first. A model without attention has no scores: it
    multiplies by the mask.
    """
    ranges = target.contents.mask_ranges
    check.holds("fixed scales", bool(ranges), f"{len(ranges)} on the mask's way")
    spans = [most - least for least, most in ranges]
    narrowest = Estimate(min(spans), "", "narrowest range of all on the mask's way")
    check.at_least("mask seen in calibration", narrowest, 0.99)
    if not any(name.startswith("SOFTMAX ") for name in target.contents.operators):
        return
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
