"""The judge of one test: its record, and the measurements that are held against budgets in it."""

import json
import re
from typing import Any, NoReturn

from reports import schema
from reports import verdict as decision
from reports.schema import ReportError
from reports.verdict import CannotRun, Estimate, Invalid, Verdict, worst

_CLAIM_FILE = re.compile(r"suites/test_(\w+)\.py(::|$)")


def claim_of(nodeid: str) -> str | None:
    """`latency` for a test in suites/test_latency.py; None for one that makes no claim."""
    found = _CLAIM_FILE.match(nodeid)
    return found and found[1]


def new_record(nodeid: str) -> dict[str, Any]:
    """The record (`reports.schema.Record`) of a test that has not run."""
    return {
        "nodeid": nodeid,
        "claim": claim_of(nodeid),
        "target": None,
        "measurements": [],
        "metrics": {},
        "verdict": Verdict.INVALID.value,
        "reason": "not run",
        "outcome": "not run",
        "expected_failure": False,
        "duration": 0.0,
    }


class Check:
    """Hold measurements against budgets: each is recorded, then raises unless it ships."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    def metrics(self, **figures: Any) -> None:
        """Figures of this case for the table; the keys are reports.schema.Facts.

        Invalid if one is not a finite number, or not of its key's type.
        """
        try:
            found = json.loads(json.dumps(figures, default=plain, allow_nan=False))
            schema.conform(found, schema.Metrics, "metrics")
            self._record["metrics"] = schema.merged(self._record["metrics"], found, "metrics")
        except (ReportError, ValueError, TypeError) as error:
            raise Invalid(f"metrics {', '.join(figures)}: {error}") from error

    def at_most(self, name: str, estimate: Estimate, budget: float | None) -> None:
        """The upper bound of `estimate` is within `budget`."""
        self._check(name, estimate, budget, "at most", *decision.at_most(name, estimate, budget))

    def at_least(self, name: str, estimate: Estimate, budget: float | None) -> None:
        """The lower bound of `estimate` reaches `budget`."""
        self._check(name, estimate, budget, "at least", *decision.at_least(name, estimate, budget))

    def holds(self, name: str, condition: bool, why: str) -> None:
        """`condition` is true; `why` says what was found, with its values."""
        verdict = Verdict.SHIPS if condition else Verdict.DOES_NOT_SHIP
        estimate = Estimate(float(bool(condition)), "", "condition")
        self._check(name, estimate, None, "holds", verdict, f"{name}: {why}")

    def projected(self, name: str, estimate: Estimate, why: str) -> None:
        """A speed that is computed for an emulated board, and so ships nothing by itself."""
        verdict = Verdict.INVALID if estimate.fault else Verdict.CONFORMS
        sentence = f"{name} is projected to be {estimate} ({estimate.statistic}): {why}"
        self._check(name, estimate, None, "projected", verdict, sentence)

    def invalid(self, reason: str) -> NoReturn:
        """What was measured is not a valid measurement."""
        raise Invalid(reason)

    def cannot_run(self, reason: str) -> NoReturn:
        """The target has no answer, for a declared reason."""
        raise CannotRun(reason)

    def _check(
        self,
        name: str,
        estimate: Estimate,
        budget: float | None,
        sense: str,
        verdict: Verdict,
        sentence: str,
    ) -> None:
        measurement = {
            "name": name,
            "value": _finite(estimate.value),
            "unit": estimate.unit,
            "lower": _finite(estimate.lower),
            "upper": _finite(estimate.upper),
            "budget": _finite(budget),
            "sense": sense,
            "statistic": estimate.statistic,
            "verdict": verdict.value,
        }
        self._record["measurements"].append(measurement)
        self._record["reason"] = sentence
        decision.raise_unless_passing(verdict, sentence)


def worst_measured(record: dict[str, Any]) -> Verdict:
    """The verdict that a record's measurements come to."""
    return worst(Verdict(measured["verdict"]) for measured in record["measurements"])


def plain(value: Any) -> Any:
    """A numpy scalar or array as Python's own numbers; a path as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _finite(value: float | None) -> float | None:
    """The number as JSON can hold it: null where it is not finite."""
    return None if value is None or not abs(value) < float("inf") else float(value)
