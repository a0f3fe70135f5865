"""The decision: a bound against a budget, and which verdict outranks which."""

import math

import pytest

from reports import verdict
from reports.verdict import Estimate, Fails, Inconclusive, Invalid, Verdict, VerdictError


def drop(value: float, lower: float | None = None, upper: float | None = None) -> Estimate:
    return Estimate(value, "points", "mean drop, bootstrap", lower, upper)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (drop(0.5, 0.1, 0.9), Verdict.PASSES),
        (drop(0.5, 0.1, 1.0), Verdict.PASSES),
        (drop(0.9, 0.5, 1.1), Verdict.INCONCLUSIVE),
        (drop(1.1, 0.9, 1.3), Verdict.INCONCLUSIVE),
        (drop(1.2, 1.0, 1.4), Verdict.INCONCLUSIVE),
        (drop(1.5, 1.1, 1.9), Verdict.FAILS),
        (drop(1.0), Verdict.PASSES),
        (drop(1.01), Verdict.FAILS),
        (drop(0.5, lower=0.1), Verdict.INCONCLUSIVE),
        (drop(1.5, upper=1.9), Verdict.INCONCLUSIVE),
        (drop(math.nan), Verdict.INVALID),
        (drop(0.5, 0.1, math.nan), Verdict.INVALID),
        (drop(0.5, -math.inf, 0.9), Verdict.INVALID),
        (drop(0.5, 0.6, 0.9), Verdict.INVALID),
    ],
)
def test_at_most_decides_by_the_upper_bound(estimate: Estimate, expected: Verdict) -> None:
    assert verdict.decide("drop", estimate, 1.0, "at most")[0] is expected


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (drop(75, 70, 80), Verdict.PASSES),
        (drop(71, 69, 73), Verdict.INCONCLUSIVE),
        (drop(60, 55, 65), Verdict.FAILS),
        (drop(math.inf), Verdict.INVALID),
    ],
)
def test_at_least_decides_by_the_lower_bound(estimate: Estimate, expected: Verdict) -> None:
    assert verdict.decide("accuracy", estimate, 70, "at least")[0] is expected


@pytest.mark.parametrize("budget", [None, math.nan, math.inf])
def test_without_a_budget_nothing_ships(budget: float | None) -> None:
    assert verdict.decide("drop", drop(0.0), budget, "at most")[0] is Verdict.INVALID


def test_the_sentence_carries_every_figure() -> None:
    _, sentence = verdict.decide("drop", drop(0.5, 0.1, 0.8), 1.0, "at most")
    for part in ("0.5", "[0.1, 0.8]", "points", "mean drop, bootstrap", "at most 1", "0.2"):
        assert part in sentence


def test_worst_outranks_in_the_documented_order() -> None:
    order = [
        Verdict.INVALID,
        Verdict.CANNOT_RUN,
        Verdict.FAILS,
        Verdict.INCONCLUSIVE,
        Verdict.CONFORMS,
        Verdict.PASSES,
    ]
    for index, expected in enumerate(order):
        assert verdict.worst(reversed(order[index:])) is expected


def test_worst_of_nothing_is_invalid() -> None:
    assert verdict.worst([]) is Verdict.INVALID


@pytest.mark.parametrize("kind", [Fails, Inconclusive, Invalid])
def test_demand_raises_the_exception_of_the_verdict(kind: type[VerdictError]) -> None:
    with pytest.raises(kind, match="why"):
        verdict.raise_unless_passing(kind.verdict, "why")


def test_demand_lets_a_passing_verdict_by() -> None:
    verdict.raise_unless_passing(Verdict.PASSES, "")
    verdict.raise_unless_passing(Verdict.CONFORMS, "")


def test_a_target_ships_where_its_checks_pass() -> None:
    assert Verdict.PASSES.for_target() is Verdict.SHIPS
    assert Verdict.FAILS.for_target() is Verdict.DOES_NOT_SHIP
    shared = set(Verdict) - {Verdict.PASSES, Verdict.FAILS}
    assert all(word.for_target() is word for word in shared)
    assert verdict.rank(Verdict.FAILS) == verdict.rank(Verdict.DOES_NOT_SHIP)


def test_the_sentence_of_a_check_says_that_it_passes() -> None:
    _, sentence = verdict.decide("drop", drop(0.5, 0.1, 0.8), 1.0, "at most")
    assert sentence.endswith("budget at most 1 points: passes, margin 0.2 points")
