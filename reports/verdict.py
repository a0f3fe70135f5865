"""A measured figure with its interval, held against a budget, becomes a verdict.

The rule is one-sided: a budget is kept when the bound on its wrong side is within it, missed when
the bound on the other side is beyond it, and anything between is inconclusive: more texts or more
repetitions would settle it, a shrug does not.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What is said of a test or of a target (device, runtime, mode)."""

    SHIPS = "ships"
    CONFORMS = "conforms"
    INCONCLUSIVE = "undecided"
    DOES_NOT_SHIP = "does not ship"
    CANNOT_RUN = "cannot run"
    INVALID = "invalid"


# Best to worst. An invalid measurement outranks every other: what the same run says next to it may
# come from the same fault, and the answer is to measure again. "cannot run" outranks "does not
# ship": a budget missed by something that runs can be argued about, an absent answer cannot.
# "inconclusive" is weaker than a miss that is proven, and stronger than any way of passing.
_ORDER = tuple(Verdict)

PASSING = frozenset({Verdict.SHIPS, Verdict.CONFORMS})


def rank(verdict: Verdict) -> int:
    """0 for ships; the higher, the worse."""
    return _ORDER.index(verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of `verdicts`: invalid > cannot run > does not ship > inconclusive > conforms >
    ships.

    Of none it is invalid: nothing was judged, and nothing passes vacuously.
    """
    return max(verdicts, key=rank, default=Verdict.INVALID)


class VerdictError(AssertionError):
    """A verdict that makes a test red; `.verdict` says which, the message says why."""

    verdict: Verdict


class Inconclusive(VerdictError):
    """The interval straddles the budget."""

    verdict = Verdict.INCONCLUSIVE


class DoesNotShip(VerdictError):
    """A budget is missed, or a claim does not hold."""

    verdict = Verdict.DOES_NOT_SHIP


class CannotRun(VerdictError):
    """The target has no answer: a declared error of the runtime, the converter or the board."""

    verdict = Verdict.CANNOT_RUN


class Invalid(VerdictError):
    """What was measured is not a valid measurement, or nothing was measured."""

    verdict = Verdict.INVALID


_ERRORS = {kind.verdict: kind for kind in (Inconclusive, DoesNotShip, CannotRun, Invalid)}


def raise_unless_passing(verdict: Verdict, sentence: str) -> None:
    """Raise the exception of `verdict` with `sentence`, unless the verdict passes."""
    if verdict not in PASSING:
        raise _ERRORS[verdict](sentence)


@dataclass(frozen=True)
class Estimate:
    """A figure and its one-sided 95% bounds, in `unit`.

    `statistic` names what is decided ("p90, early stopping"). Without either bound the figure is
    exact (bytes of a file). With only one, nothing is known on the other side.
    """

    value: float
    unit: str
    statistic: str
    lower: float | None = None
    upper: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound, infinite where nothing is known."""
        if self.lower is None and self.upper is None:
            return self.value, self.value
        return (
            -math.inf if self.lower is None else self.lower,
            math.inf if self.upper is None else self.upper,
        )

    @property
    def fault(self) -> str | None:
        """Why this is not a measurement, or None."""
        stated = [figure for figure in (self.value, self.lower, self.upper) if figure is not None]
        if not stated or not all(math.isfinite(figure) for figure in stated):
            return "a figure is not a finite number"
        lower, upper = self.bounds
        slack = 1e-9 * max(1.0, abs(self.value))
        if not lower - slack <= self.value <= upper + slack:
            return "the value lies outside its own interval"
        return None

    def __str__(self) -> str:
        bounds = ", ".join("–" if bound is None else number(bound) for bound in self._interval)
        interval = f" [{bounds}]" if bounds else ""
        return f"{number(self.value)}{interval} {self.unit}".rstrip()

    @property
    def _interval(self) -> tuple[float | None, ...]:
        return () if self.lower is None and self.upper is None else (self.lower, self.upper)


def number(value: float) -> str:
    """A figure for a reader: whole numbers in full, others with four significant digits."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def at_most(name: str, estimate: Estimate, budget: float | None) -> tuple[Verdict, str]:
    """Ships if the upper bound is within `budget`; does not if the lower one is above it."""
    return _decide(name, estimate, budget, "at most")


def at_least(name: str, estimate: Estimate, budget: float | None) -> tuple[Verdict, str]:
    """Ships if the lower bound reaches `budget`; does not if the upper one is below it."""
    return _decide(name, estimate, budget, "at least")


def _decide(name: str, estimate: Estimate, budget: float | None, sense: str) -> tuple[Verdict, str]:
    said = f"{name} is {estimate} ({estimate.statistic})"
    if budget is None or not math.isfinite(budget):
        stated = "none is stated" if budget is None else f"it is {budget}"
        return Verdict.INVALID, f"{said}: no budget to hold it against, {stated}"
    if estimate.fault:
        return Verdict.INVALID, f"{said}, budget {number(budget)}: {estimate.fault}"
    lower, upper = estimate.bounds
    margins = (
        (budget - upper, budget - lower) if sense == "at most" else (lower - budget, upper - budget)
    )
    surest, likeliest = margins
    if surest >= 0:
        verdict, margin = Verdict.SHIPS, f"margin {number(surest)}"
    elif likeliest < 0:
        verdict, margin = Verdict.DOES_NOT_SHIP, f"missed by at least {number(-likeliest)}"
    else:
        verdict, margin = Verdict.INCONCLUSIVE, "the interval straddles the budget"
    demanded = f"{sense} {number(budget)} {estimate.unit}".rstrip()
    unit = "" if verdict is Verdict.INCONCLUSIVE else f" {estimate.unit}".rstrip()
    return verdict, f"{said}, budget {demanded}: {verdict}, {margin}{unit}"
