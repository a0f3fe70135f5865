"""Classes meet by name: a permutation, or one sentence that names the option."""

from __future__ import annotations

import pytest

from models.checkpoints.labels import match_labels

THREE = ("negative", "neutral", "positive")


@pytest.mark.parametrize(
    ("checkpoint", "dataset", "permutation"),
    [
        (THREE, THREE, (0, 1, 2)),
        (("positive", "negative", "neutral"), THREE, (1, 2, 0)),
        (("NEGATIVE", "POSITIVE"), ("negative", "positive"), (0, 1)),
        (("Positive", " negative"), ("NEGATIVE", "positive"), (1, 0)),
        (("1", "0"), ("0", "1"), (1, 0)),
        (("a", "A"), ("A", "a"), (1, 0)),
    ],
)
def test_the_same_names_meet_whatever_their_case_and_order(
    checkpoint: tuple[str, ...], dataset: tuple[str, ...], permutation: tuple[int, ...]
) -> None:
    found = match_labels(checkpoint, dataset)
    assert found == permutation
    assert [checkpoint[i].strip().lower() for i in permutation] == [n.lower() for n in dataset]


@pytest.mark.parametrize(
    ("checkpoint", "dataset", "said"),
    [
        (("bad", "fair", "good"), THREE, "--labels negative,neutral,positive"),
        (("negative", "positive"), THREE, "--dataset"),
        (("A", "a"), ("a", "b"), "two classes of the checkpoint"),
        (("a", "b"), ("B", "b"), "two classes of the texts"),
    ],
)
def test_other_names_are_refused_in_one_sentence(
    checkpoint: tuple[str, ...], dataset: tuple[str, ...], said: str
) -> None:
    found = match_labels(checkpoint, dataset)
    assert isinstance(found, str)
    assert said in found
    assert "\n" not in found
