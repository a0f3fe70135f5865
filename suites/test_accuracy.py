"""Claim: quantized and on its runtime, the candidate answers nearly as well as the best model.

Budget: 4.1 points of drop against the accuracy reference, the figure of arXiv 2310.03971. It is
demanded of accuracy and of balanced accuracy (a model that always says "negative" loses little of
the first), and of the upper one-sided 95% bound of a paired bootstrap over the evaluation tweets.

An emulated board answers too few tweets for either. Its claim is that it gives this machine's
answers, tweet by tweet: what accuracy they have is judged here, with `-m host`.

A slow case answers a stratified sample. Its drop is then the candidate's own, from its recorded
PyTorch answers to all tweets, plus what the sample says the FlatBuffer adds to it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from devices.answers import logit_distance, told_apart
from devices.gateway import Answers
from fixtures.cases import Case
from models.card import Card
from models.modes import MODES
from reports.decision import Estimate
from reports.judge import Judge
from tweets.corpus import Corpus
from tweets.measures import (
    Interval,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    entity_mean,
    macro_f1,
    paired_drop,
    proportion,
    sampled_drop,
)

MAX_DROP_POINTS = 4.1

AnswersOf = Callable[[Case], Answers]
JudgedTweets = Callable[[Case], tuple[list[int], Corpus]]


def _drop(
    case: Case, recorded: Card | None, reference: Card, evaluation: Corpus,
    answers_of: AnswersOf, judged_tweets: JudgedTweets, balanced: bool,
) -> Interval:  # fmt: skip
    if recorded is None:
        indices, tweets = judged_tweets(case)
        best = np.array(reference.predictions)[indices]
        return paired_drop(tweets.labels, best, answers_of(case).predictions, balanced)
    return sampled_drop(
        evaluation.labels, reference.predictions, recorded.predictions,
        judged_tweets(case)[0], answers_of(case).predictions, balanced=balanced,
    )  # fmt: skip


def _judge_drop(judge: Judge, name: str, drop: Interval) -> None:
    statistic = "upper one-sided 95% bound, paired bootstrap"
    judge.at_most(
        name, Estimate(drop.value, "points", statistic, drop.low, drop.high), MAX_DROP_POINTS
    )


@pytest.mark.only(emulated=False)
def test_accuracy_drop(
    case: Case, recorded: Card | None, reference: Card, evaluation: Corpus,
    answers_of: AnswersOf, judged_tweets: JudgedTweets, judge: Judge,
) -> None:  # fmt: skip
    """Drop in accuracy against the accuracy reference."""
    answers, tweets = answers_of(case), judged_tweets(case)[1]
    interval = proportion(tweets.labels, answers.predictions)
    drop = _drop(case, recorded, reference, evaluation, answers_of, judged_tweets, balanced=False)
    judge.facts(
        tweets=len(tweets),
        truncated=answers.truncated,
        accuracy=interval.value,
        accuracy_low=interval.low,
        accuracy_high=interval.high,
        drop=drop.value,
        drop_high=drop.high,
        reference_accuracy=100 * accuracy(evaluation.labels, reference.predictions),
    )
    if tweets.entities:
        mean = entity_mean(tweets.labels, answers.predictions, tweets.entities)
        judge.facts(entity_mean_accuracy=100 * mean)
    _judge_drop(judge, "accuracy drop", drop)


@pytest.mark.only(emulated=False)
def test_balanced_accuracy_drop(
    case: Case, recorded: Card | None, reference: Card, evaluation: Corpus,
    answers_of: AnswersOf, judged_tweets: JudgedTweets, judge: Judge,
) -> None:  # fmt: skip
    """Drop in the mean recall of the classes against the accuracy reference."""
    drop = _drop(case, recorded, reference, evaluation, answers_of, judged_tweets, balanced=True)
    labels, predictions = judged_tweets(case)[1].labels, answers_of(case).predictions
    classes = len(evaluation.label_names)
    judge.facts(
        balanced_accuracy=100 * balanced_accuracy(labels, predictions),
        macro_f1=100 * macro_f1(labels, predictions, classes),
        confusion_matrix=confusion_matrix(labels, predictions, classes),
        balanced_drop=drop.value,
        balanced_drop_high=drop.high,
    )
    _judge_drop(judge, "balanced accuracy drop", drop)


@pytest.mark.only(emulated=False)
def test_agreement_with_float32(
    case: Case, card: Card, answers_of: AnswersOf, judged_tweets: JudgedTweets, judge: Judge
) -> None:
    """The share of tweets answered as the candidate's recorded float32 PyTorch model answers."""
    indices, _ = judged_tweets(case)
    expected = np.array(card.predictions)[indices]
    agreement = proportion(expected, answers_of(case).predictions)
    judge.facts(agreement=agreement.value)
    estimate = Estimate(
        agreement.value, "%", f"top-1 on {len(indices)} of {len(card.logits)} tweets"
    )
    judge.at_least("agreement with float32", estimate, MODES[case.mode].agreement)


@pytest.mark.only(emulated=True)
def test_answers_as_this_machine_does(
    case: Case, answers_of: AnswersOf, logits_here: Callable[[Case, list[int]], np.ndarray],
    spread_of: Callable[[Case], float], judged_tweets: JudgedTweets, judge: Judge,
) -> None:  # fmt: skip
    """Every tweet's label is the one that this runtime gives to the same file on this machine.

    Where two labels are nearer than the mode's own logit distance, either is.
    """
    answers, spread = answers_of(case).logits, spread_of(case)
    here = logits_here(case, judged_tweets(case)[0])
    tie = MODES[case.mode].logit_distance * spread
    different = int(told_apart(answers, here, tie).sum())
    mean, worst = logit_distance(answers, here, spread)
    judge.facts(tweets=len(here), distance_from_here_mean=mean, distance_from_here_worst=worst)
    judge.holds(
        "same labels as on this machine", different == 0,
        f"{different} of {len(here)} tweets got another label; the logits are {mean:.4f} of "
        f"their spread away (worst {worst:.4f})",
    )  # fmt: skip
