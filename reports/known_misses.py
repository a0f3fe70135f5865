"""What the shipped candidate is known to miss: `[[miss]]` entries of a TOML file, each of one or
more tests that miss alike."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from reports.decision import PASSING, Verdict
from reports.schema import ReportError


@dataclass(frozen=True)
class KnownMiss:
    """A test that is known not to pass, why, by how much, and the exception it must raise.

    `test`: its id; a `*` in it stands for any text, for a case that misses all of a claim alike.
    `only_on`: a property of the machine (fixtures.verdicts.MACHINE) without which the entry does
    not apply, so that the test must pass there. Empty: it applies everywhere.
    `limit`: how far the missed figure may go, in its own unit; a worse one is red again.
    """

    test: str
    reason: str
    figure: str
    raises: str
    limit: float | None = None
    only_on: str = ""

    def names(self, test: str) -> bool:
        """Whether the entry is about this test."""
        return bool(re.fullmatch(".*".join(map(re.escape, self.test.split("*"))), test))

    def decay(self, record: Mapping[str, Any]) -> str | None:
        """How a record (`reports.schema.Record`) misses by more than is known, or None."""
        for measured in record["measurements"]:
            missed = Verdict(measured["verdict"]) not in PASSING
            if self.limit is None or not missed or measured["sense"] not in ("at most", "at least"):
                continue
            sign = 1 if measured["sense"] == "at most" else -1
            if measured["value"] is None or sign * measured["value"] > sign * self.limit:
                return f"worse than the known miss allows ({self.limit:g}): {record['reason']}"
        return None


def read(path: Path) -> tuple[str | None, list[KnownMiss]]:
    """The candidate (SHA-256 of its weights) and its entries, in order; none without a file.

    ReportError with the entry at fault.
    """
    if not path.exists():
        return None, []
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportError(f"{path}: {error}") from error
    if unknown := sorted(data.keys() - {"miss", "candidate"}):
        raise ReportError(f"{path}: {unknown[0]}: only candidate and [[miss]] entries are known")
    kinds: dict[str, Any] = {"tests": list, "limit": (int, float)}
    names = ["tests", *(field.name for field in fields(KnownMiss) if field.name != "test")]
    optional = {field.name for field in fields(KnownMiss) if field.default is not MISSING}
    misses: dict[str, KnownMiss] = {}
    for number, entry in enumerate(data.get("miss", []), start=1):
        if not set(names) - optional <= set(entry) <= set(names) or not all(
            isinstance(given, kinds.get(name, str)) and (given or name == "limit")
            for name, given in entry.items()
        ):
            raise ReportError(
                f"{path}: [[miss]] {number}: tests (a list) and reason, figure, raises (texts), "
                "perhaps only_on (a text) and limit (a number); "
                f"found {', '.join(entry) or 'nothing'}"
            )
        for test in map(str, entry.pop("tests")):
            if test in misses:
                raise ReportError(f"{path}: [[miss]] {number}: {test} is listed twice")
            misses[test] = KnownMiss(test=test, **entry)
    return data.get("candidate"), list(misses.values())
