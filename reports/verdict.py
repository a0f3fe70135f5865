"""A measured figure with its interval, held against a budget, becomes a verdict.

The rule is one-sided. A check passes when the bound on the wrong side is within the budget, and
fails when the bound on the other side is beyond it. Between the two it is inconclusive: more texts
or more repetitions would decide it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The verdict of a check or of a target (device, runtime, mode), best first.

    A check passes or fails where a target ships or does not ship. Both share the other four.
    """

    PASSES = "passes"
    SHIPS = "ships"
    CONFORMS = "conforms"
    INCONCLUSIVE = "inconclusive"
    FAILS = "fails"
    DOES_NOT_SHIP = "does not ship"
    CANNOT_RUN = "cannot run"
    INVALID = "invalid"

    def for_target(self) -> Verdict:
        """Return the word for a target with this verdict: *ships* for *passes*."""
        return _FOR_TARGET.get(self, self)


_FOR_TARGET = {Verdict.PASSES: Verdict.SHIPS, Verdict.FAILS: Verdict.DOES_NOT_SHIP}
PASSING = frozenset({Verdict.PASSES, Verdict.SHIPS, Verdict.CONFORMS})
# An invalid measurement outranks all others: one fault may spoil everything in a run, and the
# answer is to measure again. "cannot run" outranks "does not ship": a missed budget can be argued
# about, a missing output cannot. "inconclusive" is weaker than a miss that is proven.
_ORDER = tuple(verdict for verdict in Verdict if verdict not in _FOR_TARGET)


def rank(verdict: Verdict) -> int:
    """Return 0 for the best verdict, more for a worse one."""
    return _ORDER.index(verdict.for_target())


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of `verdicts`; *invalid* where there are none."""
    return max(verdicts, key=rank, default=Verdict.INVALID)


class VerdictError(AssertionError):
    """A verdict that makes a test red: `.verdict` is which, the message is why."""

    verdict: Verdict


class Inconclusive(VerdictError):
    """The interval straddles the budget."""

    verdict = Verdict.INCONCLUSIVE


class Fails(VerdictError):
    """A budget is missed, or a claim does not hold."""

    verdict = Verdict.FAILS


class CannotRun(VerdictError):
    """The target has no answer: a declared error of the runtime, the converter or the board."""

    verdict = Verdict.CANNOT_RUN


class Invalid(VerdictError):
    """What was measured is not a valid measurement, or nothing was measured."""

    verdict = Verdict.INVALID


_ERRORS = {kind.verdict: kind for kind in (Inconclusive, Fails, CannotRun, Invalid)}


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


def decide(
    name: str, estimate: Estimate, budget: float | None, comparison: str
) -> tuple[Verdict, str]:
    """Return the verdict of an estimate that is held against a budget, and its sentence.

    "at most": it passes if the upper bound is within `budget`, and fails if the lower bound is
    above it. "at least" is the mirror image.
    """
    sentence = f"{name} is {estimate} ({estimate.statistic})"
    if budget is None or not math.isfinite(budget):
        stated = "none is stated" if budget is None else f"it is {budget}"
        return Verdict.INVALID, f"{sentence}: no budget to hold it against, {stated}"
    if estimate.fault:
        return Verdict.INVALID, f"{sentence}, budget {number(budget)}: {estimate.fault}"
    lower, upper = estimate.bounds
    surest, likeliest = (
        (budget - upper, budget - lower)
        if comparison == "at most"
        else (lower - budget, upper - budget)
    )
    if surest >= 0:
        verdict, margin = Verdict.PASSES, f"margin {number(surest)}"
    elif likeliest < 0:
        verdict, margin = Verdict.FAILS, f"missed by at least {number(-likeliest)}"
    else:
        verdict, margin = Verdict.INCONCLUSIVE, "the interval straddles the budget"
    demanded = f"{comparison} {number(budget)} {estimate.unit}".rstrip()
    unit = "" if verdict is Verdict.INCONCLUSIVE else f" {estimate.unit}".rstrip()
    return verdict, f"{sentence}, budget {demanded}: {verdict}, {margin}{unit}"


def derived(measurement: Mapping[str, Any]) -> Verdict:
    """Return the verdict that a recorded measurement (`reports.schema.Measurement`) comes to.

    It is computed from the value, the bounds, the budget and the comparison alone.
    """
    value, comparison = measurement["value"], measurement["comparison"]
    if value is None:
        return Verdict.INVALID
    if comparison == "holds":
        return {1.0: Verdict.PASSES, 0.0: Verdict.FAILS}.get(value, Verdict.INVALID)
    estimate = Estimate(value, "", "", measurement["lower"], measurement["upper"])
    if comparison == "projected":
        return Verdict.INVALID if estimate.fault else Verdict.CONFORMS
    return decide("", estimate, measurement["budget"], comparison)[0]
