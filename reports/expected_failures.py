"""Expected failures of the shipped candidate: `[[failure]]` entries of a TOML file.

An entry lists one or more tests that fail alike.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from reports.schema import ReportError
from reports.verdict import PASSING, Verdict


@dataclass(frozen=True)
class ExpectedFailure:
    """A test that is known not to pass.

    Attributes:
        test: its id. A `*` in it matches any text.
        reason: why it does not pass.
        figure: what it measures, and the budget.
        raises: the exception that it must raise, as `module:Class`.
        limit: how far the missed figure may go, in its own unit; a worse one fails.
        only_on: a property of the board without which the entry does not apply, so that the test
            must pass there. Empty: it applies everywhere.
    """

    test: str
    reason: str
    figure: str
    raises: str
    limit: float | None = None
    only_on: str = ""

    def names(self, test: str) -> bool:
        """Return whether the entry is about this test."""
        return bool(re.fullmatch(".*".join(map(re.escape, self.test.split("*"))), test))

    def regression_beyond_limit(self, record: Mapping[str, Any]) -> str | None:
        """Return how a record (`reports.schema.Record`) misses by more than `limit`, or None."""
        for measured in record["measurements"]:
            missed = Verdict(measured["verdict"]) not in PASSING
            if (
                self.limit is None
                or not missed
                or measured["comparison"] not in ("at most", "at least")
            ):
                continue
            sign = 1 if measured["comparison"] == "at most" else -1
            if measured["value"] is None or sign * measured["value"] > sign * self.limit:
                return (
                    f"worse than the expected failure allows ({self.limit:g}): {record['reason']}"
                )
        return None


def read(path: Path) -> tuple[str | None, list[ExpectedFailure]]:
    """Return the candidate (SHA-256 of its weights) and its entries, in order.

    Without a file there is no candidate and no entry.

    Raises:
        ReportError: the file is damaged, or an entry is; the message has its number.
    """
    if not path.exists():
        return None, []
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path}: {error}") from error
    if unknown := sorted(data.keys() - {"failure", "candidate"}):
        raise ReportError(f"{path}: {unknown[0]}: only candidate and [[failure]] entries are known")
    kinds: dict[str, Any] = {"tests": list, "limit": (int, float)}
    names = ["tests", *(field.name for field in fields(ExpectedFailure) if field.name != "test")]
    optional = {field.name for field in fields(ExpectedFailure) if field.default is not MISSING}
    entries: dict[str, ExpectedFailure] = {}
    for number, given in enumerate(data.get("failure", []), start=1):
        if not set(names) - optional <= set(given) <= set(names) or not all(
            isinstance(value, kinds.get(name, str)) and (value or name == "limit")
            for name, value in given.items()
        ):
            raise ReportError(
                f"{path}: [[failure]] {number}: tests (a list) and reason, figure, raises (texts), "
                "perhaps only_on (a text) and limit (a number); "
                f"found {', '.join(given) or 'nothing'}"
            )
        for test in map(str, given.pop("tests")):
            if test in entries:
                raise ReportError(f"{path}: [[failure]] {number}: {test} is listed twice")
            entries[test] = ExpectedFailure(test=test, **given)
    return data.get("candidate"), list(entries.values())
