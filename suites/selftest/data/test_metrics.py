"""Metrics of predictions, held against cases worked by hand and against simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data.dataset import Dataset, DatasetError
from data.metrics import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    paired_drop,
    proportion,
    sampled_accuracy,
    sampled_drop,
    sampled_mean,
    score_bounds,
)


def test_metrics_of_a_case_worked_by_hand() -> None:
    labels, outputs = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2]
    assert accuracy(labels, outputs) == pytest.approx(4 / 6)
    assert balanced_accuracy(labels, outputs) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert macro_f1(labels, outputs, 3) == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert confusion_matrix(labels, outputs, 3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("measure", [accuracy, balanced_accuracy, proportion])
def test_zero_texts_are_an_error_and_no_score(measure: Callable[..., object]) -> None:
    with pytest.raises(DatasetError, match="zero texts"):
        measure([], [])


def test_labels_and_predictions_must_meet() -> None:
    with pytest.raises(DatasetError, match="differ in shape"):
        accuracy([0, 1], [0])


def _planted(count: int, lost: int, regained: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.arange(count) % 3
    reference, candidate = labels.copy(), labels.copy()
    candidate[:lost] = (candidate[:lost] + 1) % 3
    reference[lost : lost + regained] = (reference[lost : lost + regained] + 1) % 3
    return labels, reference, candidate


@pytest.mark.parametrize("balanced", [False, True])
def test_a_planted_drop_is_measured(balanced: bool) -> None:
    drop = paired_drop(*_planted(3000, 180, 60), balanced)
    assert drop.value == pytest.approx(4.0)
    # sqrt((0.06 + 0.02 - 0.04²) / 3000) = 0.51 points; 1.645 of those on each side.
    assert drop.upper == pytest.approx(4.84, abs=0.1)
    assert drop.lower == pytest.approx(3.16, abs=0.1)


def test_balanced_drop_sees_what_accuracy_hides() -> None:
    labels = np.array([0] * 950 + [1] * 50)
    constant = np.zeros(1000, int)
    assert paired_drop(labels, labels, constant).value == pytest.approx(5)
    assert paired_drop(labels, labels, constant, balanced=True).value == pytest.approx(50)


def test_bounds_miss_the_truth_as_seldom_as_they_say() -> None:
    """95% on each side: of 200 draws of 600 texts, classes fixed, at most 20 are outside."""
    rng, names = np.random.default_rng(5), ("a", "b", "c")
    answered = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.2, 0.3, 0.5]])
    counts = np.array([300, 200, 100])
    truth = np.repeat([0, 1, 2], counts)
    hits, columns = np.diag(answered) * counts, answered.T @ counts
    true = {
        "accuracy": hits.sum() / 6,
        "balanced_accuracy": 100 * np.diag(answered).mean(),
        "macro_f1": 100 * (2 * hits / (counts + columns)).mean(),
    }
    dataset = Dataset("drawn", tuple(map(str, range(600))), tuple(truth.tolist()), names)
    outside = dict.fromkeys(true, (0, 0))
    for _ in range(200):
        outputs = [rng.choice(3, p=answered[c]) for c in truth]
        for name, found in score_bounds(dataset, outputs).items():
            below, above = outside[name]
            outside[name] = (below + (true[name] < found.lower), above + (true[name] > found.upper))
    assert max(max(sides) for sides in outside.values()) <= 20, outside
    assert min(sum(sides) for sides in outside.values()) >= 4, f"too wide: {outside}"


def test_a_mean_of_a_sample_and_what_a_few_others_add() -> None:
    figures = np.array([1.0, 2.0, 3.0, 4.0])  # mean 2.5, standard error 0.645
    alone = sampled_mean(figures)
    assert (alone.value, alone.upper) == (2.5, pytest.approx(2.5 + 1.895 * 0.6455, abs=1e-3))
    both = sampled_mean(figures, [0.4, 0.6])  # adds 0.5, standard error 0.1
    assert both.value == pytest.approx(3.0)
    assert both.value - both.lower == pytest.approx(1.895 * np.hypot(0.6455, 0.1), abs=1e-3)
    assert sampled_mean(figures, [0.4]).upper == np.inf, "one shows nothing of how they differ"


def test_a_sample_adds_what_it_loses_and_what_it_cannot_see() -> None:
    labels, reference, candidate = _planted(3000, 180, 60)
    indices = list(range(0, 3000, 6))
    same = sampled_drop(labels, reference, candidate, indices, candidate[indices])
    whole = paired_drop(labels, reference, candidate)
    assert same.value == pytest.approx(whole.value)
    assert same.upper > whole.upper, "perfect agreement on a sample is no proof for the rest"
    worse = candidate[indices].copy()
    right = np.flatnonzero(worse == labels[indices])[:50]
    worse[right] = (worse[right] + 1) % 3
    lost = sampled_drop(labels, reference, candidate, indices, worse)
    assert lost.value == pytest.approx(whole.value + 10)


def test_a_sample_s_accuracy_is_of_all_texts() -> None:
    """Of 4,000 texts 80% are right; the sample is an easy one, and its outputs lose one of 400."""
    labels = np.tile([0, 1], 2000)
    candidate = labels.copy()
    candidate[400:1200] ^= 1
    indices = list(range(400))
    outputs = candidate[indices].copy()
    outputs[0] ^= 1
    found = sampled_accuracy(labels, candidate, indices, outputs)
    assert found.value == pytest.approx(80 - 0.25)
    assert found.lower < 79 < 80 < found.upper < 81.5
    balanced = sampled_accuracy(labels, candidate, indices, outputs, balanced=True)
    assert balanced.value == pytest.approx(80 - 0.25)


def test_an_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(400):
        outputs = (rng.random(500) < 0.8).astype(int)
        below += proportion(np.ones(500, int), outputs).upper < 80
    assert below / 400 == pytest.approx(0.05, abs=0.03)
