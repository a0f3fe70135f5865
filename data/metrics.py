"""Metrics of predictions, in numpy alone: a board computes them too.

Every function takes class indices: ``labels`` and ``predictions`` of shape (texts,), integers in
[0, classes). An empty input is an error, never a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.dataset import Dataset, DatasetError

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with its one-sided 95% bounds (together a 90% interval), in the same unit."""

    value: float
    lower: float
    upper: float


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return counts of shape (classes, classes): row = label, column = prediction."""
    truth, answer = _checked(labels, predictions)
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (truth, answer), 1)
    return matrix


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return the share of right predictions, in [0, 1]."""
    truth, answer = _checked(labels, predictions)
    return float(np.mean(truth == answer))


def balanced_accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return the mean recall of the classes that occur in ``labels``, in [0, 1]."""
    truth, answer = _checked(labels, predictions)
    return float(np.mean([np.mean(answer[truth == c] == c) for c in np.unique(truth)]))


def macro_f1(labels: ArrayLike, predictions: ArrayLike, classes: int) -> float:
    """Return the mean F1 of the classes that occur in labels or predictions, in [0, 1]."""
    matrix = confusion_matrix(labels, predictions, classes)
    hits, named, answered = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    occurs = named + answered > 0
    return float(np.mean(2 * hits[occurs] / (named + answered)[occurs]))


def entity_mean(labels: ArrayLike, predictions: ArrayLike, entities: Sequence[str]) -> float:
    """Return the mean over entities of the accuracy on each one's texts, in [0, 1].

    RepLab 2013's official metric of polarity (Amigó et al. 2013, and the organizers' scorer,
    EVAL_POLARITY_ACC.pl). A prediction of -1, for a text without one, counts as wrong.
    """
    truth, answer = _checked(labels, predictions)
    names, entity = np.unique(np.asarray(entities), return_inverse=True)
    if entity.shape != truth.shape:
        raise DatasetError(f"labels {truth.shape} and entities {entity.shape} differ in shape")
    right = np.bincount(entity, truth == answer, len(names))
    return float(np.mean(right / np.bincount(entity)))


def scores(dataset: Dataset, predictions: ArrayLike) -> dict[str, float]:
    """Return every metric that ``dataset`` allows, by name, in percent."""
    found = {
        "accuracy": accuracy(dataset.labels, predictions),
        "balanced_accuracy": balanced_accuracy(dataset.labels, predictions),
        "macro_f1": macro_f1(dataset.labels, predictions, len(dataset.label_names)),
    }
    if dataset.entities:
        found["entity_mean_accuracy"] = entity_mean(dataset.labels, predictions, dataset.entities)
    return {name: 100 * share for name, share in found.items()}


def proportion(labels: ArrayLike, predictions: ArrayLike) -> Interval:
    """Return accuracy in percent with Wilson's score bounds, one-sided 95% each (Wilson 1927)."""
    truth, _ = _checked(labels, predictions)
    n, p, z = len(truth), accuracy(labels, predictions), 1.6449
    centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 100 / (1 + z * z / n)
    return Interval(100 * p, float(scale * (centre - half)), float(scale * (centre + half)))


def score_bounds(dataset: Dataset, predictions: ArrayLike) -> dict[str, Interval]:
    """Return metrics of `scores` in percent, with one-sided 95% bounds.

    Accuracy has Wilson's bounds. The others have those of a bootstrap that resamples the texts of
    each class separately.
    """
    matrix = confusion_matrix(dataset.labels, predictions, len(dataset.label_names))
    named = matrix.sum(1)
    rng = np.random.default_rng(0)
    rows = [
        rng.multinomial(n, row / max(n, 1), RESAMPLES) for n, row in zip(named, matrix, strict=True)
    ]
    drawn = np.stack(rows, axis=1)  # (RESAMPLES, classes, classes)
    hits, answered = np.diagonal(drawn, axis1=1, axis2=2), drawn.sum(1)
    recalls = (hits / np.maximum(named, 1))[:, named > 0]
    f1 = 2 * hits / np.maximum(named + answered, 1)
    occurs = matrix.sum(0) + named > 0
    value = scores(dataset, predictions)
    found = {"accuracy": proportion(dataset.labels, predictions)}
    draws = {"balanced_accuracy": recalls.mean(1), "macro_f1": f1[:, occurs].mean(1)}
    for name, shares in draws.items():
        lower, upper = 100 * np.quantile(shares, (0.05, 0.95))
        found[name] = Interval(value[name], float(lower), float(upper))
    return found


def paired_drop(
    labels: ArrayLike, reference: ArrayLike, candidate: ArrayLike, balanced: bool = False
) -> Interval:
    """Return how much worse ``candidate`` is than ``reference`` on the same texts, in points.

    A paired bootstrap: texts are drawn with replacement, and both models are scored on the same
    draw (Efron and Tibshirani 1993, ch. 8). With ``balanced`` the texts of each class are resampled
    separately, so that a mean of recalls stays defined.

    Returns:
        Interval: positive = the candidate loses; one-sided 95% bounds.
    """
    value, draws = _drop(labels, reference, candidate, balanced, seed=0)
    return Interval(value, float(np.quantile(draws, 0.05)), float(np.quantile(draws, 0.95)))


def sampled_drop(
    labels: ArrayLike,
    reference: ArrayLike,
    candidate: ArrayLike,
    indices: list[int],
    outputs: ArrayLike,
    *,
    balanced: bool = False,
) -> Interval:
    """Return the drop from ``reference`` to ``outputs``, predictions of the texts at ``indices``.

    Predictions of all texts are compared directly (`paired_drop`). Those of a sample are compared
    with ``candidate``, another form of the same model, whose predictions of all texts are known:
    its drop, plus what the sample loses from it to ``outputs`` (the difference estimator of
    two-phase sampling, Cochran 1977, ch. 12). One more lost text is counted in each group of the
    sample, so perfect agreement on a sample does not prove perfect agreement.
    """
    truth = np.asarray(labels)
    if len(indices) == len(truth):
        return paired_drop(labels, reference, outputs, balanced)
    all_texts, draws_all = _drop(labels, reference, candidate, balanced, seed=0)
    form = np.asarray(candidate)[indices]
    sample, draws_sample = _drop(truth[indices], form, outputs, balanced, seed=1, unseen=1)
    draws = draws_all + draws_sample
    return Interval(
        all_texts + sample, float(np.quantile(draws, 0.05)), float(np.quantile(draws, 0.95))
    )


def sampled_accuracy(
    labels: ArrayLike,
    candidate: ArrayLike,
    indices: list[int],
    outputs: ArrayLike,
    *,
    balanced: bool = False,
) -> Interval:
    """Return the accuracy of ``outputs`` over all texts in percent, as `sampled_drop` estimates."""
    lost = sampled_drop(labels, labels, candidate, indices, outputs, balanced=balanced)
    return Interval(100 - lost.value, 100 - lost.upper, 100 - lost.lower)


def sampled_mean(figures: ArrayLike, difference: ArrayLike = ()) -> Interval:
    """Estimate a mean over all texts, with bounds, from a sample: ``figures``, one for each text.

    Args:
        figures: the sample.
        difference: what to add, measured on a few other texts, as on a slow board (the difference
            estimator, as in `sampled_drop`).

    The bounds use Student's t with the seven degrees of freedom of eight texts; with more texts
    they are a little wider than necessary.
    """
    value, variance = 0.0, 0.0
    for sample in (np.asarray(figures, float), np.asarray(difference, float)):
        if sample.size:
            value += sample.mean()
            variance += sample.var(ddof=1) / sample.size if sample.size > 1 else np.inf
    half = 1.895 * np.sqrt(variance)
    return Interval(float(value), float(value - half), float(value + half))


def _drop(
    labels: ArrayLike,
    reference: ArrayLike,
    candidate: ArrayLike,
    balanced: bool,
    *,
    seed: int,
    unseen: int = 0,
) -> tuple[float, NDArray[np.float64]]:
    """Return the drop in points, and its bootstrap draws, shape (RESAMPLES,)."""
    truth, answers_r = _checked(labels, reference)
    _, answers_c = _checked(labels, candidate)
    lost = (answers_r == truth).astype(np.int64) - (answers_c == truth)
    rng = np.random.default_rng(seed)
    groups = [lost[truth == c] for c in np.unique(truth)] if balanced else [lost]
    # Resampling n texts that are each -1, 0 or 1 is a multinomial draw: exact, and fast.
    draws = np.zeros(RESAMPLES)
    for group in groups:
        counts = np.array([np.sum(group == v) for v in (-1, 0, 1)]) + np.array([0, 0, unseen])
        drawn = rng.multinomial(len(group), counts / counts.sum(), RESAMPLES)
        draws += (drawn[:, 2] - drawn[:, 0]) / len(group)
    value = 100 * float(np.mean([group.mean() for group in groups]))
    return value, 100 * draws / len(groups)


def _checked(labels: ArrayLike, predictions: ArrayLike) -> tuple[NDArray, NDArray]:
    truth, answer = np.asarray(labels), np.asarray(predictions)
    if truth.shape != answer.shape or truth.ndim != 1:
        raise DatasetError(f"labels {truth.shape} and predictions {answer.shape} differ in shape")
    if not truth.size:
        raise DatasetError("zero texts: there is nothing to measure")
    return truth, answer
