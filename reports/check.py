"""The `check` of one test: it holds measurements against budgets, and records them."""

import json
import re
from typing import Any, NoReturn

from reports import schema
from reports.schema import ReportError
from reports.verdict import (
    CannotRun,
    Estimate,
    Invalid,
    Verdict,
    decide,
    raise_unless_passing,
    worst,
)

_CLAIM_FILE = re.compile(r"suites/test_(\w+)\.py(::|$)")


def claim_of(nodeid: str) -> str | None:
    """Return `latency` for a test in suites/test_latency.py; None for one without a claim."""
    found = _CLAIM_FILE.match(nodeid)
    return found and found[1]


def new_record(nodeid: str) -> dict[str, Any]:
    """Return the record (`reports.schema.Record`) of a test that has not run."""
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
    """Hold measurements against budgets: each is recorded, then raises unless it passes."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._record = record

    def metrics(self, **values: Any) -> None:
        """State metrics of this target: keys and types are rows of `reports.metrics.METRICS`.

        Raises:
            Invalid: a key is no metric, or a value is not a finite number or of another type.
        """
        try:
            found = json.loads(json.dumps(values, default=plain, allow_nan=False))
            schema.check_metrics(found, "metrics")
            self._record["metrics"] = schema.merged(self._record["metrics"], found, "metrics")
        except (ReportError, ValueError, TypeError) as error:
            raise Invalid(f"metrics {', '.join(values)}: {error}") from error

    def at_most(self, name: str, estimate: Estimate, budget: float | None) -> None:
        """Record that the upper bound of `estimate` is within `budget`; raise unless it passes."""
        self._compare(name, estimate, budget, "at most")

    def at_least(self, name: str, estimate: Estimate, budget: float | None) -> None:
        """Record that the lower bound of `estimate` reaches `budget`; raise unless it passes."""
        self._compare(name, estimate, budget, "at least")

    def holds(self, name: str, condition: bool, why: str) -> None:
        """Record that `condition` is true; `why` is what was found, with its values."""
        verdict = Verdict.PASSES if condition else Verdict.FAILS
        estimate = Estimate(float(bool(condition)), "", "condition")
        self._conclude(name, estimate, None, "holds", (verdict, f"{name}: {why}"))

    def projected(self, name: str, estimate: Estimate, why: str) -> None:
        """Record a speed that is computed for an emulated board; it conforms at best."""
        verdict = Verdict.INVALID if estimate.fault else Verdict.CONFORMS
        sentence = f"{name} is projected to be {estimate} ({estimate.statistic}): {why}"
        self._conclude(name, estimate, None, "projected", (verdict, sentence))

    def invalid(self, reason: str) -> NoReturn:
        """Raise: what was measured is not a valid measurement."""
        raise Invalid(reason)

    def cannot_run(self, reason: str) -> NoReturn:
        """Raise: the target has no output, for a declared reason."""
        raise CannotRun(reason)

    def _compare(
        self, name: str, estimate: Estimate, budget: float | None, comparison: str
    ) -> None:
        decision = decide(name, estimate, budget, comparison)
        self._conclude(name, estimate, budget, comparison, decision)

    def _conclude(
        self,
        name: str,
        estimate: Estimate,
        budget: float | None,
        comparison: str,
        decision: tuple[Verdict, str],
    ) -> None:
        """Record a measurement with its verdict, and raise unless it passes."""
        verdict, sentence = decision
        measurement = {
            "name": name,
            "value": _finite(estimate.value),
            "unit": estimate.unit,
            "lower": _finite(estimate.lower),
            "upper": _finite(estimate.upper),
            "budget": _finite(budget),
            "comparison": comparison,
            "statistic": estimate.statistic,
            "verdict": verdict.value,
        }
        self._record["measurements"].append(measurement)
        self._record["reason"] = sentence
        raise_unless_passing(verdict, sentence)


def worst_measured(record: dict[str, Any]) -> Verdict:
    """Return the verdict that a record's measurements come to."""
    return worst(Verdict(measured["verdict"]) for measured in record["measurements"])


def plain(value: Any) -> Any:
    """Return a numpy scalar or array as Python's own numbers; anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _finite(value: float | None) -> float | None:
    """Return the number as JSON can hold it: null where it is not finite."""
    return None if value is None or not abs(value) < float("inf") else float(value)
