"""Accuracy on parts of the texts, and how often a confident prediction is right."""

from __future__ import annotations

import numpy as np
import pytest

from data.dataset import Dataset
from data.slices import BINS, EXAMPLES, drift, examples, flips, reliability, slices, softmax


def test_softmax_of_any_size_sums_to_one() -> None:
    found = softmax([[1000.0, 0.0], [0.0, 0.0], [-1000.0, 0.0]])
    np.testing.assert_allclose(found, np.array([[1, 0], [0.5, 0.5], [0, 1]]))


def test_reliability_of_a_case_worked_by_hand() -> None:
    """Four texts at 75%, half of them right; four at 95%, all of them right."""
    logits = np.log([[0.25, 0.75]] * 4 + [[0.05, 0.95]] * 4)
    bins, error = reliability([1, 1, 0, 0, 1, 1, 1, 1], logits)
    assert [count for count, _, _ in bins] == [4, 4]
    np.testing.assert_allclose(bins, [[4, 75, 50], [4, 95, 100]])
    assert error == pytest.approx((25 + 5) / 2)


def test_certainty_is_in_the_last_bin() -> None:
    bins, error = reliability([0], [[1000.0, 0.0]])
    assert bins == [[1.0, 100.0, 100.0]] and error == 0


def test_flips_are_counted_where_the_first_model_was_unsure() -> None:
    before = np.log([[0.55, 0.45], [0.55, 0.45], [0.95, 0.05]])
    after = before.copy()
    after[0] = after[0][::-1]
    assert flips(before, after) == [[50.0, 2.0, 1.0], [100.0 - 100 / BINS, 1.0, 0.0]]


def test_parts_come_worst_first_with_bounds_and_drop() -> None:
    count = 400
    texts = tuple(
        f"see https://x.y {i}" if i % 4 == 0 else f"a \U0001f600 {i}" for i in range(count)
    )
    labels = tuple(i % 2 for i in range(count))
    dataset = Dataset(
        "made up", texts, labels, ("bad", "good"), tuple("AB"[i % 2] for i in range(count))
    )
    predictions = np.array(labels)
    predictions[::4] = 1  # every text with a link is bad and called good
    found = slices(dataset, predictions, labels, [5 + i % 40 for i in range(count)], [0] * count)
    assert found == sorted(found, key=lambda part: part["accuracy"])
    by_name = {part["name"]: part for part in found}
    worst = by_name["with link"]
    assert worst["accuracy"] == 0 and worst["drop"] == 100 and worst["texts"] == 100
    assert by_name["without link"]["accuracy"] == 100
    assert by_name["bad"]["accuracy"] == 50 == by_name["A"]["accuracy"]
    assert by_name["bad"]["lower"] < 50 < by_name["bad"]["upper"]
    assert by_name["without emoji"]["texts"] == 100
    assert "some" not in by_name, "no text has an unknown piece"
    assert sum(part["texts"] for part in found if part["kind"] == "length") == count
    assert all(
        "drop" not in part for part in slices(dataset, predictions, None, [9] * count, [0] * count)
    )


def test_a_part_of_few_texts_is_left_out() -> None:
    texts = tuple(f"@me {i}" if i < 5 else str(i) for i in range(100))
    dataset = Dataset("made up", texts, (0, 1) * 50, ("a", "b"))
    names = {part["name"] for part in slices(dataset, dataset.labels, None, [3] * 100, [0] * 100)}
    assert names == {"a", "b", "without mention"}


def test_periods_are_parts_where_texts_have_times() -> None:
    dataset = Dataset("made up", ("a",) * 200, (0, 1) * 100, ("a", "b"), times=tuple(range(200)))
    found = slices(dataset, dataset.labels, None, [3] * 200, [0] * 200)
    times = [part for part in found if part["kind"] == "time"]
    assert [part["texts"] for part in times] == [50] * 4


def _over_time(wrong: tuple[int, ...], count: int = 800) -> list[str]:
    """Return what is said where so many of each quarter's texts are answered wrong."""
    labels = np.zeros(count, int)
    predictions = labels.copy()
    for quarter, number in enumerate(wrong):
        predictions[quarter * count // 4 :][:number] = 1
    dataset = Dataset(
        "made up",
        ("a",) * count,
        tuple(labels.tolist()),
        ("a", "b"),
        ("old",) * (count // 2) + ("new",) * (count // 2),
        times=tuple(range(count)),
    )
    return drift(slices(dataset, predictions, labels, [3] * count, [0] * count))


def test_a_drop_that_grows_over_time_is_said() -> None:
    time, entity = _over_time((2, 4, 10, 40))
    assert "is 1.0 points" in time and "20.0 points" in time and "it grows" in time
    assert entity.startswith("the drop is greatest for the entity new: 12.5 points (")
    assert "no growth is proven" in _over_time((10, 8, 9, 12))[0]


def test_without_times_and_entities_nothing_is_said_of_them() -> None:
    dataset = Dataset("made up", ("a",) * 100, (0, 1) * 50, ("a", "b"))
    assert not drift(slices(dataset, dataset.labels, dataset.labels, [3] * 100, [0] * 100))


def test_examples_are_the_texts_that_changed_and_the_surest_errors() -> None:
    before = np.log([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
    after = np.log([[0.4, 0.6], [0.7, 0.3], [0.05, 0.95]])
    texts = Dataset("made up", ("a" * 999, "b", "c"), (0, 0, 0), ("bad", "good"))
    changed, surest, other = examples(texts, before, after)
    assert (changed["kind"], changed["before"], changed["predicted"]) == ("changed", "bad", "good")
    assert changed["text"] == "a" * 280
    assert (surest["kind"], surest["text"], surest["label"]) == ("wrong", "c", "bad")
    assert surest["confidence"] == pytest.approx(95) and other["text"][0] == "a"
    many = Dataset("made up", ("a",) * 99, (0,) * 99, ("bad", "good"))
    assert len(examples(many, None, np.log([[0.1, 0.9]] * 99))) == EXAMPLES
