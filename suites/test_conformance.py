"""Claim: on its runtime the FlatBuffer answers like the checkpoint it was made from.

Held against the checkpoint's recorded PyTorch logits, tweet by tweet. A runtime that answers
wrongly without an error is caught here, by name, before any of its figures count. Distances are
shares of the spread of the recorded logits, so that they mean the same for every model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from devices import operators
from devices.answers import logit_distance
from devices.board import Board
from devices.gateway import Answers
from fixtures.cases import Case
from fixtures.runners import SHORT, OpenRunner
from models.card import Card
from models.flatbuffer import inspect
from models.modes import MODES
from reports.decision import Estimate
from reports.judge import Judge
from tweets.corpus import Corpus

AnswersOf = Callable[[Case], Answers]


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
    case: Case, card: Card, answers_of: AnswersOf,
    judged_tweets: Callable[[Case], tuple[list[int], Corpus]], judge: Judge,
) -> None:  # fmt: skip
    """Distance of the logits from the recorded ones: on the whole, and of the worst one."""
    expected = np.array(card.logits, np.float32)[judged_tweets(case)[0]]
    mean, worst = logit_distance(answers_of(case).logits, expected)
    judge.facts(logit_distance_mean=mean, logit_distance_worst=worst)
    estimate = Estimate(mean, "of the spread", "mean over tweets and classes")
    judge.at_most("logit distance", estimate, MODES[case.mode].logit_distance)
    estimate = Estimate(worst, "of the spread", "worst logit of all tweets")
    judge.at_most("worst logit", estimate, MODES[case.mode].worst_logit)


def test_padding_changes_no_answer(
    case: Case, runner_of: OpenRunner, evaluation: Corpus,
    affordable: Callable[[Case, int], int], judge: Judge,
) -> None:  # fmt: skip
    """The same tweets through the shortest signature that takes them, and through the longest."""
    with runner_of(case) as runner:
        assert runner.loaded is not None
        short = evaluation.take(_short(evaluation, affordable(case, 16)))
        tight = runner.classify(short.texts)
        padded = runner.classify(short.texts, length=max(runner.loaded.lengths))
    worst = logit_distance(padded.logits, tight.logits)[1]
    judge.facts(padding_distance=worst)
    estimate = Estimate(worst, "of the spread", "worst logit")
    judge.at_most("padding's effect", estimate, MODES[case.mode].worst_logit)


def test_same_tweet_same_answer(
    case: Case,
    answers_of: AnswersOf,
    judged_tweets: Callable[[Case], tuple[list[int], Corpus]],
    runner_of: OpenRunner,
    affordable: Callable[[Case, int], int],
    judge: Judge,
) -> None:
    """In a fresh runner and in another order: the logits that were judged, bit for bit."""
    texts = judged_tweets(case)[1].texts[: affordable(case, 48)]
    with runner_of(case) as runner:
        again = runner.classify(texts[::-1]).logits[::-1]
    different = int((answers_of(case).logits[: len(texts)] != again).any(axis=1).sum())
    judge.holds(
        "repeatability", different == 0, f"{different} of {len(texts)} tweets answered otherwise"
    )


def test_inputs_are_bound_by_name(case: Case, runner_of: OpenRunner, judge: Judge) -> None:
    """Every signature has the three inputs and the output under their names, int32 and float32."""
    with runner_of(case) as runner:
        assert runner.loaded is not None
        signatures = runner.loaded.signatures
    found = [(sorted(s["inputs"]), sorted(s["outputs"])) for s in signatures]
    wanted = (["attention_mask", "input_ids", "token_type_ids"], ["logits"])
    judge.holds("names", bool(found) and all(f == wanted for f in found), f"found {found}")


def _short(corpus: Corpus, count: int) -> list[int]:
    """The first tweets of few characters, most of which fit the shortest signature."""
    return [i for i, text in enumerate(corpus.texts) if len(text) <= SHORT][:count]
