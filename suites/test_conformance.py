"""Claim: on its runtime the FlatBuffer answers like the checkpoint it was made from.

Held against the checkpoint's recorded PyTorch logits, tweet by tweet. A runtime that answers
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

from devices import operators
from devices.answers import logit_distance, logit_distances, told_apart
from devices.board import Board
from devices.gateway import Answers, Runner
from fixtures.cases import Case
from fixtures.runners import SHORT, OpenRunner
from models.card import Card, file_sha256
from models.checkpoint import Checkpoint
from models.flatbuffer import inspect
from models.modes import MODES
from reports.decision import Estimate, Undecided
from reports.judge import Judge
from tweets.corpus import Corpus
from tweets.measures import Interval, sampled_mean

AnswersOf = Callable[[Case], Answers]
JudgedTweets = Callable[[Case], tuple[list[int], Corpus]]
LogitsHere = Callable[[Case, list[int]], np.ndarray]
SpreadOf = Callable[[Case], float]
OpenFile = Callable[..., AbstractContextManager[Runner]]

FEW = 16  # tweets that are asked anew
MAX_ALIKE = 5.0  # a stub answers all alike; of integers few tweets are
MAX_BY_THREADS = 1e-3  # of the spread: sums in another order
MAX_BY_PADDING = 0.05  # likewise; none was seen but of int16x8, 0.004
MAX_MASK = 100.0  # below zero, of int8 a step of 0.4
MIN_MASK = 20.0  # a token so far below the others has 2e-9 of their weight
FEW_LABELS = 6  # so many can be read in 720 orders
THREAD_SECONDS = 8.0  # with more threads than cores some runtimes take that long for one tweet


def test_runtime_takes_every_operator(
    case: Case, board_of: Callable[[Case], Board], flatbuffer_of: Callable[[Case], Path],
    judge: Judge,
) -> None:  # fmt: skip
    """Read from the file and held against what the runtime was probed to take: told before it is
    asked. That it is taken is not yet that it is answered: quantizers leave versions too low."""
    found = inspect(flatbuffer_of(case)).operators
    if reasons := operators.refused(found, board_of(case).release(case.runtime)):
        judge.cannot_run(f"this file needs {'; and '.join(reasons)}")
    judge.holds("operators", bool(found), f"{len(found)} kinds, each in a version it takes")


def test_answers_like_its_checkpoint(
    case: Case, card: Card, answers_of: AnswersOf, logits_here: LogitsHere, spread_of: SpreadOf,
    judged_tweets: JudgedTweets, whole_sample: list[int], board_of: Callable[[Case], Board],
    judge: Judge,
) -> None:  # fmt: skip
    """Distance of the logits from the recorded ones: on the whole, and of the worst one.

    An emulated board has the time for a few tweets, and a few keep a bound or miss it by chance.
    What it adds to the distance that this machine's answers have to the same tweets is known far
    better: so the mean is this machine's, of some hundred tweets, and what the few add to it.
    """
    recorded, spread = np.array(card.logits, np.float32), spread_of(case)

    def away(logits: np.ndarray, indices: list[int]) -> np.ndarray:
        return logit_distances(logits, recorded[indices], spread)

    asked = judged_tweets(case)[0]
    found = away(answers_of(case).logits, asked)
    if board_of(case).emulated:
        here = away(logits_here(case, whole_sample), whole_sample).mean(1)
        more = (found - away(logits_here(case, asked), asked)).mean(1)
        mean = sampled_mean(here, more)
        of = f"{len(here)} tweets on this machine, and what {len(more)} on the board add"
    elif len(asked) < len(recorded):
        mean, of = sampled_mean(found.mean(1)), f"{len(asked)} of {len(recorded)} tweets"
    else:
        value = float(found.mean())
        mean, of = Interval(value, value, value), "all tweets"
    worst = float(found.max())
    judge.facts(logit_distance_mean=mean.value, logit_distance_worst=worst)
    estimate = Estimate(mean.value, "of the spread", f"mean of {of}", mean.low, mean.high)
    judge.at_most("logit distance", estimate, MODES[case.mode].logit_distance)
    estimate = Estimate(worst, "of the spread", f"worst logit of {len(found)} tweets")
    judge.at_most("worst logit", estimate, MODES[case.mode].worst_logit)


def test_answers_differ_and_are_finite(case: Case, answers_of: AnswersOf, judge: Judge) -> None:
    """No NaN, no infinity, and not one answer for different tweets."""
    logits = answers_of(case).logits
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    judge.holds("finite", broken == 0, f"{broken} of {len(logits)} tweets with NaN or infinity")
    most = int(np.unique(logits, axis=0, return_counts=True)[1].max())
    others = 100 * (most - 1) / max(1, len(logits) - 1)
    share = Estimate(others, "% of the other tweets", "the commonest logits of all")
    judge.at_most("one answer for different tweets", share, MAX_ALIKE)


def test_labels_are_in_the_declared_order(
    case: Case, evaluation: Corpus, answers_of: AnswersOf, judged_tweets: JudgedTweets,
    judge: Judge,
) -> None:  # fmt: skip
    """No other order in which the logits could be read is right more often: beyond chance, of few
    tweets (McNemar's test, one-sided, 95%)."""
    answers, truth = answers_of(case), np.array(judged_tweets(case)[1].labels)
    declared = tuple(range(len(answers.labels)))
    right = {
        order: answers.logits[:, list(order)].argmax(axis=1) == truth for order in _orders(declared)
    }
    best = max(right, key=lambda order: int(right[order].sum()))
    ours, theirs = right[declared], right[best]
    gained, lost = int((theirs & ~ours).sum()), int((ours & ~theirs).sum())
    names = [answers.labels[i] for i in best]
    judge.holds(
        "order", gained - lost <= 1.645 * (gained + lost) ** 0.5,
        f"the logits read as {names} are right {gained} times more and {lost} times less often",
    )  # fmt: skip
    same = answers.labels == evaluation.label_names
    judge.holds("labels", same, f"{answers.labels}; the tweets' {evaluation.label_names}")


def _orders(declared: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every order of a few; of many the declared one, and each with two of them swapped."""
    if len(declared) <= FEW_LABELS:
        yield from permutations(declared)
        return
    yield declared
    for i, j in combinations(declared, 2):
        yield tuple({i: j, j: i}.get(n, n) for n in declared)


def test_tokenizer_is_the_checkpoints(
    case: Case, card: Card, checkpoint: Checkpoint, answers_of: AnswersOf,
    judged_tweets: JudgedTweets, judge: Judge,
) -> None:  # fmt: skip
    """The file that the card was recorded with; and the board's library reads it as it is read
    here, tweet by tweet."""
    digest = file_sha256(checkpoint.tokenizer)
    same = digest == card.tokenizer_sha256
    judge.holds("tokenizer", same, f"sha256 {digest}; the card's {card.tokenizer_sha256}")
    tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    here = [len(e.ids) for e in tokenizer.encode_batch(list(judged_tweets(case)[1].texts))]
    pairs = zip(here, answers_of(case).tokens, strict=True)
    other = sum(ours != theirs for ours, theirs in pairs)
    judge.holds("tokens", other == 0, f"{other} of {len(here)} tweets are cut up otherwise")


@dataclass(frozen=True)
class Anew:
    """What a fresh runner answers; nothing is taken from the store.

    Attributes:
        last: logits of the last judged tweets, asked before any other.
        turned: of the first ones, asked in reverse order, and put back into theirs.
        twice: of the first ones, asked once more.
        by_length: of short tweets, through the signature of each length that holds them all.
    """

    last: np.ndarray
    turned: np.ndarray
    twice: np.ndarray
    by_length: dict[int, np.ndarray]


@pytest.fixture(scope="session")
def anew(
    runner_of: OpenRunner, evaluation: Corpus, judged_tweets: JudgedTweets,
    affordable: Callable[[Case, int], int],
) -> Callable[[Case], Anew]:  # fmt: skip
    """Asks a case in a fresh runner, once a session."""
    known: dict[Case, Anew] = {}

    def ask(case: Case) -> Anew:
        if case not in known:
            texts, few = judged_tweets(case)[1].texts, affordable(case, FEW)
            short = _short(evaluation, few)
            with runner_of(case) as runner:
                assert runner.loaded is not None
                last = runner.classify(texts[-few:]).logits
                turned = runner.classify(texts[:few][::-1]).logits[::-1]
                twice = runner.classify(texts[:few]).logits
                tokens = runner.classify(short).tokens
                by_length = {
                    length: runner.classify(short, length=length).logits
                    for length in runner.loaded.lengths if length >= max(tokens)
                }  # fmt: skip
            known[case] = Anew(last, turned, twice, by_length)
        return known[case]

    return ask


def test_padding_changes_no_answer(
    case: Case, anew: Callable[[Case], Anew], spread_of: SpreadOf, judge: Judge
) -> None:
    """The same tweets through the shortest signature that takes them, and through each longer: the
    same labels, but for ties, and the logits but for a little."""
    by_length = anew(case).by_length
    lengths = sorted(by_length)
    if len(lengths) < 2:
        raise Undecided(f"the file has {lengths} tokens alone: nothing to compare padding with")
    least, spread = by_length[lengths[0]], spread_of(case)
    _judge_finite(judge, by_length.values())
    tie = MODES[case.mode].logit_distance * spread
    other = sum(int(told_apart(by_length[n], least, tie).sum()) for n in lengths[1:])
    of = len(least) * (len(lengths) - 1)
    judge.holds("labels", other == 0, f"{other} of {of} answers have another label")
    worst = max(logit_distance(by_length[n], least, spread)[1] for n in lengths[1:])
    judge.facts(padding_distance=worst)
    statistic = f"worst logit at {lengths[1:]} tokens against {lengths[0]}"
    judge.at_most(
        "padding's effect",
        Estimate(worst, "of the spread", statistic),
        min(MAX_BY_PADDING, MODES[case.mode].worst_logit),
    )


def _judge_finite(judge: Judge, answers: Iterable[np.ndarray]) -> None:
    """Before a maximum is taken, in which Python loses what is no number."""
    broken = sum(int((~np.isfinite(logits)).any(axis=1).sum()) for logits in answers)
    judge.holds("finite", broken == 0, f"{broken} answers with NaN or infinity")


def test_same_tweet_same_answer(
    case: Case, answers_of: AnswersOf, anew: Callable[[Case], Anew], judge: Judge
) -> None:
    """Asked twice, in another process than the one that was judged: the same logits bit for bit."""
    _judge_same(judge, "repeatability", anew(case).twice, answers_of(case).logits)


def test_order_changes_no_answer(
    case: Case, answers_of: AnswersOf, anew: Callable[[Case], Anew], judge: Judge
) -> None:
    """In the reverse order, in other batches: the same logits bit for bit."""
    _judge_same(judge, "reverse order", anew(case).turned, answers_of(case).logits)


def test_same_answer_after_many_others(
    case: Case, answers_of: AnswersOf, anew: Callable[[Case], Anew], judge: Judge
) -> None:
    """The last tweets, as they were judged after all others and as the first a runner is asked: the
    same logits bit for bit. After 6,000 others; where a sample is judged, after hundreds."""
    logits, last = answers_of(case).logits, anew(case).last
    _judge_same(judge, f"after {len(logits) - len(last)} others", last, logits[-len(last) :])


def _judge_same(judge: Judge, name: str, again: np.ndarray, answered: np.ndarray) -> None:
    other = int((again != answered[: len(again)]).any(axis=1).sum())
    judge.holds(name, other == 0, f"{other} of {len(again)} tweets are answered otherwise")


def test_threads_change_no_answer(
    case: Case, open_runner: OpenFile, evaluation: Corpus,
    flatbuffer_of: Callable[[Case], Path], spread_of: SpreadOf, judge: Judge,
) -> None:  # fmt: skip
    """The same label with 1, 2 and 4 threads, and the same logits but for the order of sums.

    A short tweet through each length, the shortest first, for as long as there is time: with more
    threads than cores some runtimes take seconds for each, as an emulated board does.
    """
    by_threads: list[dict[int, np.ndarray]] = []
    (tweet,) = _short(evaluation, 1)
    for threads in (1, 2, 4):
        with open_runner(case, flatbuffer_of(case), threads=threads) as runner:
            assert runner.loaded is not None
            end = time.perf_counter() + THREAD_SECONDS
            first = runner.classify([tweet])
            lengths = [n for n in runner.loaded.lengths if n >= first.tokens[0]]
            lengths = lengths or [max(runner.loaded.lengths)]  # it was cut off
            by_threads.append({lengths[0]: first.logits})
            for length in lengths[1:]:
                if time.perf_counter() > end:
                    break
                by_threads[-1][length] = runner.classify([tweet], length=length).logits
    lengths = sorted(set.intersection(*(set(answers) for answers in by_threads)))
    logits = [np.concatenate([answers[n] for n in lengths]) for answers in by_threads]
    _judge_finite(judge, logits)
    labels = [x.argmax(axis=1) for x in logits]
    other = int((labels[0] != labels[1:]).any(axis=0).sum())
    judge.holds("labels", other == 0, f"at {other} of {lengths} tokens the label is another")
    worst = max(logit_distance(x, logits[0], spread_of(case))[1] for x in logits[1:])
    statistic = f"worst logit with 2 or 4 threads against 1, at {lengths} tokens"
    judge.at_most("threads' effect", Estimate(worst, "of the spread", statistic), MAX_BY_THREADS)


@pytest.mark.only(mode=("full_integer", "int16x8"))
def test_scales_leave_the_mask_its_effect(
    case: Case, flatbuffer_of: Callable[[Case], Path], judge: Judge
) -> None:
    """The mask's 1 and 0 become what is added to the scores, 0 and -90: both fit the scales on the
    way. What calibration did wrong shows here first."""
    ranges = inspect(flatbuffer_of(case)).mask_ranges
    judge.holds("fixed scales", bool(ranges), f"{len(ranges)} on the mask's way")
    spans = [most - least for least, most in ranges]
    narrowest = Estimate(min(spans), "", "narrowest range of all on the mask's way")
    judge.at_least("mask seen in calibration", narrowest, 0.99)
    # The lower end alone: a range of int16 is symmetric, and as wide again.
    deepest = Estimate(-min(least for least, _ in ranges), "", "deepest of all on the mask's way")
    judge.at_least("mask deep enough", deepest, MIN_MASK)
    judge.at_most("mask clipped", deepest, MAX_MASK)


def test_inputs_are_bound_by_name(case: Case, runner_of: OpenRunner, judge: Judge) -> None:
    """Every signature has the inputs and the output under their names."""
    with runner_of(case) as runner:
        assert runner.loaded is not None
        signatures = runner.loaded.signatures
    found = [(sorted(s["inputs"]), sorted(s["outputs"])) for s in signatures]
    inputs = ["attention_mask", "input_ids", "token_type_ids"]  # a BERT may do without the last
    wanted = [(inputs, ["logits"]), (inputs[:2], ["logits"])]
    judge.holds("names", bool(found) and all(f in wanted for f in found), f"found {found}")


def _short(corpus: Corpus, count: int) -> list[str]:
    """The first tweets of few characters, which fit the shortest signatures; where there are none,
    the shortest."""
    short = [text for text in corpus.texts if len(text) <= SHORT]
    return (short or sorted(corpus.texts, key=len))[:count]
