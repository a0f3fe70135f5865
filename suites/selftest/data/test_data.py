"""Readers, splits and measures of texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest

from data.dataset import POLARITY, Dataset, DatasetError
from data.metrics import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    paired_drop,
    proportion,
    sampled_drop,
    sampled_mean,
    score_bounds,
)
from data.readers import read
from data.splits import SHARES, normalise, split

NAMES = ("negative", "neutral", "positive")


def dataset(texts: list[str], labels: list[int] | None = None) -> Dataset:
    return Dataset("made up", tuple(texts), tuple(labels or [0] * len(texts)), NAMES)


@pytest.fixture(scope="module")
def brands() -> Dataset:
    return read("brands")


# Readers


def test_brands_are_read_whole(brands: Dataset) -> None:
    assert brands.counts() == {"negative": 16186, "neutral": 15018, "positive": 6954}


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_own_file_with_entities_and_broken_bytes(
    tmp_path: Path, suffix: str, separator: str
) -> None:
    rows = [
        ["text", "label", "entity"],
        ["good", "Positive", "A"],
        ["caf\xe9 None", "negative", "B"],
    ]
    file = tmp_path / f"mine{suffix}"
    file.write_bytes("\n".join(separator.join(row) for row in rows).encode("latin-1"))
    found = read(str(file))
    assert found.texts == ("good", "caf� None")
    assert [found.label_names[i] for i in found.labels] == ["positive", "negative"]
    assert found.entities == ("A", "B")


def test_other_label_sets_are_sorted(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(
        '{"text": "x", "label": "spam"}\n{"text": "y", "label": "ham"}\n'
    )
    assert read(str(tmp_path / "mine.jsonl")).label_names == ("ham", "spam")


def test_a_label_that_is_not_there_is_no_class(tmp_path: Path) -> None:
    rows = ['{"text": "x", "label": "positive"}', '{"text": "y", "label": null}']
    (tmp_path / "mine.jsonl").write_text("\n".join(rows) + "\n")
    found = read(str(tmp_path / "mine.jsonl"))
    assert (found.texts, found.label_names) == (("x",), POLARITY)


def test_a_hidden_label_is_no_class(tmp_path: Path) -> None:
    """Of a benchmark's test split the labels are -1."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    rows = {"text": ["x", "y", "z"], "label": [0, -1, 1]}
    file = tmp_path / "mine.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(file)
    found = read(str(file))
    assert (found.texts, found.labels, found.label_names) == (("x", "z"), (0, 1), ("ham", "spam"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "message,label\nhi,positive\n", "no column text"),
        ("b.csv", "text,polarity\nhi,positive\n", "no column label"),
        ("c.csv", 'text,label\n" ",positive\n', "no text"),
        ("d.xlsx", "text", "cannot read .xlsx"),
    ],
)
def test_a_file_at_fault_is_told(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=said):
        read(str(tmp_path / name))


def test_a_source_that_is_not_there_is_told() -> None:
    with pytest.raises(DatasetError, match="datasets cannot read it"):
        read("./no/such/folder")


# Splits


def test_splits_are_disjoint_and_large_enough(brands: Dataset) -> None:
    parts = split(brands)
    assert len(parts.evaluation) >= 5000
    words = {
        name: [set(normalise(t).split()) for t in getattr(parts, name).texts] for name in SHARES
    }
    seen = [frozenset(w) for name in SHARES for w in words[name] if w]
    assert len(seen) == len(set(seen)), "the same words stand in two texts"
    # A slow, independent look for near-duplicates of some evaluation texts in the train split.
    for tweet in (w for w in words["evaluation"][:150] if w):
        closest = max(len(tweet & other) / len(tweet | other) for other in words["train"] if other)
        assert closest < 0.8, f"{sorted(tweet)} has a near-duplicate in train ({closest:.2f})"


def test_retweets_and_near_duplicates_are_dropped() -> None:
    words = [f"word{i}" for i in range(9)]
    texts = [
        " ".join(words),
        f"RT @someone: {' '.join(words)} http://t.co/x",
        " ".join([*words, "more"]),
        "!!!",
        "...",
        "!!!",
    ]
    many = [f"text number {i} {'x' * i}" for i in range(300)]
    found = split(dataset(texts + many))
    kept = [t for name in SHARES for t in getattr(found, name).texts]
    assert texts[0] in kept
    assert texts[1] not in kept
    assert texts[2] not in kept
    assert {"!!!", "..."} <= set(kept)
    assert kept.count("!!!") == 1


def test_a_tweet_keeps_its_side_whatever_else_there_is() -> None:
    texts = [f"text number {i} {'x' * i}" for i in range(400)]
    alone, among = split(dataset(texts[:200])), split(dataset(texts))
    assert set(alone.evaluation.texts) == set(among.evaluation.texts) & set(texts[:200])


def test_too_few_tweets_are_told() -> None:
    with pytest.raises(DatasetError, match="no text left for"):
        split(dataset(["one", "two"]))


def test_a_stratified_sample_keeps_the_shares(brands: Dataset) -> None:
    sample = brands.take(brands.stratified(500))
    assert len(sample) == pytest.approx(500, abs=2)
    share = sample.counts()["positive"] / len(sample)
    assert share == pytest.approx(6954 / 38158, abs=0.005)


# Measures


def test_measures_on_a_case_worked_by_hand() -> None:
    labels, outputs = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2]
    assert accuracy(labels, outputs) == pytest.approx(4 / 6)
    assert balanced_accuracy(labels, outputs) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert macro_f1(labels, outputs, 3) == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert confusion_matrix(labels, outputs, 3).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("measure", [accuracy, balanced_accuracy, proportion])
def test_zero_tweets_are_an_error_and_never_a_score(measure: Callable[..., object]) -> None:
    with pytest.raises(DatasetError, match="zero texts"):
        measure([], [])


def test_labels_and_predictions_must_meet() -> None:
    with pytest.raises(DatasetError, match="do not meet"):
        accuracy([0, 1], [0])


def _planted(dataset: int, lost: int, regained: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.arange(dataset) % 3
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


def test_bounds_of_measures_miss_the_truth_as_seldom_as_they_say() -> None:
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


def test_an_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(400):
        outputs = (rng.random(500) < 0.8).astype(int)
        below += proportion(np.ones(500, int), outputs).upper < 80
    assert below / 400 == pytest.approx(0.05, abs=0.03)
