"""Splits: of one pool of texts by a hash, of a source with its own as they are given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.dataset import Dataset, DatasetError
from data.readers import read
from data.splits import SHARES, load_splits, normalize, own_splits, split

ZOO = Path(__file__).parents[3] / "models" / "zoo"
NAMES = ("negative", "neutral", "positive")
# The splits that the shipped checkpoints were trained with.
BRANDS = {
    "calibration": "f0cfc626198a203d91578b8b5cbf5ccda04cd4319bf44254f717298e473f9c4b",
    "validation": "eb6fde5ebbf53d2b0918148789b5f8ccfae4f5d27e43fce230a48dee827e5548",
    "train": "99e1d2fc00e15ba8b229214d73c43b422503e5ba99c099ecc7159628d0f539aa",
}


def dataset(texts: list[str], labels: list[int] | None = None, name: str = "made up") -> Dataset:
    return Dataset(name, tuple(texts), tuple(labels or [0] * len(texts)), NAMES)


def many(count: int, word: str = "text") -> list[str]:
    """Texts that are no near-duplicates."""
    return [f"{word} number {i} {'x' * (i + 1)}" for i in range(count)]


@pytest.fixture(scope="module")
def brands() -> Dataset:
    return read("brands")


# One pool


def test_brands_are_shared_out_as_the_shipped_checkpoints_learned_them() -> None:
    found = load_splits("brands")
    recorded = json.loads((ZOO / "mobilebert-brands" / "reference_outputs.json").read_text())
    assert found.evaluation.checksum() == recorded["samples_sha256"]
    assert {name: getattr(found, name).checksum() for name in BRANDS} == BRANDS
    assert found.duplicates == 4414
    assert found.describe()["read"] == "bytes that are not utf-8, read as U+FFFD: 27045"
    assert found.is_train_of(recorded["provenance"])
    assert not found.is_train_of({"splits": {"train": "10 texts, sha256 0"}})


def test_splits_are_disjoint_and_large_enough(brands: Dataset) -> None:
    parts = split(brands)
    assert len(parts.evaluation) >= 5000
    words = {
        name: [set(normalize(t).split()) for t in getattr(parts, name).texts] for name in SHARES
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
    found = split(dataset(texts + many(300)))
    kept = [t for name in SHARES for t in getattr(found, name).texts]
    assert texts[0] in kept
    assert texts[1] not in kept
    assert texts[2] not in kept
    assert {"!!!", "..."} <= set(kept)
    assert kept.count("!!!") == 1


def test_a_text_keeps_its_split_whatever_else_there_is() -> None:
    texts = many(400)
    alone, among = split(dataset(texts[:200])), split(dataset(texts))
    assert set(alone.evaluation.texts) == set(among.evaluation.texts) & set(texts[:200])


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(DatasetError, match="no text left for"):
        split(dataset(["one", "two"]))


def test_a_stratified_sample_keeps_the_shares(brands: Dataset) -> None:
    sample = brands.take(brands.stratified(500))
    assert len(sample) == pytest.approx(500, abs=2)
    share = sample.counts()["positive"] / len(sample)
    assert share == pytest.approx(6954 / 38158, abs=0.005)


# Splits of the source's own


def parts(**counts: int) -> dict[str, Dataset]:
    return {name: dataset(many(count, name), name="own") for name, count in counts.items()}


def test_the_test_split_is_the_evaluation_split() -> None:
    given = parts(train=600, validation=40, test=60)
    found = own_splits(given)
    assert found.evaluation.texts == given["test"].texts
    assert found.validation.texts == given["validation"].texts
    assert {*found.train.texts, *found.calibration.texts} == {*given["train"].texts}
    assert len(found.calibration) == pytest.approx(600 * 0.04 / 0.77, abs=15)
    assert not {*found.train.texts} & {*found.calibration.texts}
    assert "evaluation is its test split; calibration drawn from its train" in found.rule
    assert found.rule == found.describe()["rule"]
    assert "the test split of own. If the checkpoint learned from them" in found.caveat


def test_validation_is_drawn_from_train_where_it_is_not_given() -> None:
    given = parts(train=600, test=60)
    found = own_splits(given)
    assert found.evaluation.texts == given["test"].texts
    learned = {*found.train.texts, *found.calibration.texts, *found.validation.texts}
    assert learned == {*given["train"].texts}
    assert "calibration and validation drawn from its train split" in found.rule


def test_validation_is_the_evaluation_split_without_a_test_split() -> None:
    given = parts(train=600, validation=60)
    found = own_splits(given)
    assert found.evaluation.texts == given["validation"].texts
    assert "the validation split of own, on which checkpoints are often selected" in found.caveat


def test_calibration_is_drawn_from_validation_without_a_train_split() -> None:
    given = parts(validation=600, test=60)
    found = own_splits(given)
    assert found.evaluation.texts == given["test"].texts
    assert {*found.calibration.texts} < {*given["validation"].texts}


def test_near_duplicates_across_splits_are_dropped_from_train() -> None:
    given = parts(train=600, validation=40, test=60)
    shared = " ".join(f"word{i}" for i in range(9))
    given["test"] = dataset([*given["test"].texts, shared, f"{shared} again"], name="own")
    given["validation"] = dataset([*given["validation"].texts, f"{shared} !"], name="own")
    twice = given["train"].texts[0]
    train = [*given["train"].texts, f"RT @who: {shared} http://t.co/x", f"{shared} more", twice]
    found = own_splits(given | {"train": dataset(train, name="own")})
    assert found.duplicates == 3
    assert found.describe()["dropped"].startswith("3 near-duplicates")
    assert found.evaluation.texts == given["test"].texts, "the given evaluation split stays"
    learned = (*found.train.texts, *found.calibration.texts)
    assert not [text for text in learned if "word0" in text]
    assert learned.count(twice) == 2, "near-duplicates within a split stay"
    assert len(found.validation) == 40


def test_own_splits_without_enough_texts_are_refused() -> None:
    with pytest.raises(DatasetError, match="own: no text left for"):
        own_splits(parts(train=2, test=5))


# Classes in another order


def test_classes_are_reordered_by_name_whatever_the_case() -> None:
    texts = dataset(["a", "b", "c", "d"], [0, 1, 2, 0])
    found = texts.reordered(["Positive", "NEGATIVE", "neutral"])
    assert found.label_names == ("Positive", "NEGATIVE", "neutral")
    assert found.labels == (1, 2, 0, 1)
    assert found.texts == texts.texts
    assert found.checksum() == texts.checksum(), "reference outputs of the texts still apply"


@pytest.mark.parametrize(
    "names",
    [["negative", "positive"], ["negative", "neutral", "good"], ["negative", "neutral", "Neutral"]],
)
def test_other_classes_are_refused(names: list[str]) -> None:
    with pytest.raises(DatasetError, match="its classes are negative, neutral, positive, and the"):
        dataset(["a"]).reordered(names)


def test_the_refusal_of_other_classes_says_what_to_type() -> None:
    two = Dataset("mine", ("a", "b"), (0, 1), ("negative", "positive"))
    with pytest.raises(DatasetError, match=r"option labels=positive/neutral/negative$"):
        two.reordered(["positive", "neutral", "negative"])
    with pytest.raises(DatasetError, match=r"option labels=negative=NAME/positive=NAME$"):
        two.reordered(["bad", "good"])


def test_what_the_split_does_not_show_is_said() -> None:
    found = own_splits(parts(train=600, validation=40, test=60))
    assert found.limits() == [
        "the texts have no times: whether the drop grows over time is not shown"
    ]
    evaluation = replace(found.evaluation, entities=("A", "B") * 30, times=tuple(range(60)))
    train = replace(found.train, entities=("A",) * len(found.train))
    assert replace(found, evaluation=evaluation, train=train).limits() == [
        "1 of the 2 entities of the evaluation texts are in the training texts too: what the drop "
        "is for a new entity is not shown"
    ]
