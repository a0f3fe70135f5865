"""What the shipped candidate is known to miss: `[[miss]]` entries of a TOML file."""

import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from reports.schema import ReportError


@dataclass(frozen=True)
class KnownMiss:
    """A test that is known not to pass, why, by how much, and the exception it must raise.

    `only_on`: a property of the machine (fixtures.verdicts.MACHINE) without which the entry does
    not apply, so that the test must pass there. Empty: it applies everywhere.
    """

    test: str
    reason: str
    figure: str
    raises: str
    only_on: str = ""


def read(path: Path) -> list[KnownMiss]:
    """The entries, in order; none if there is no such file. ReportError with the entry at fault."""
    if not path.exists():
        return []
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReportError(f"{path}: {error}") from error
    if unknown := sorted(data.keys() - {"miss"}):
        raise ReportError(f"{path}: {unknown[0]}: only [[miss]] entries are known")
    names = [field.name for field in fields(KnownMiss)]
    required = [field.name for field in fields(KnownMiss) if field.default is MISSING]
    misses: dict[str, KnownMiss] = {}
    for number, entry in enumerate(data.get("miss", []), start=1):
        if not set(required) <= set(entry) <= set(names) or not all(
            isinstance(text, str) and text for text in entry.values()
        ):
            raise ReportError(
                f"{path}: [[miss]] {number}: {', '.join(required)}, perhaps only_on, each a text; "
                f"found {', '.join(entry) or 'nothing'}"
            )
        miss = KnownMiss(**entry)
        if miss.test in misses:
            raise ReportError(f"{path}: [[miss]] {number}: {miss.test} is listed twice")
        misses[miss.test] = miss
    return list(misses.values())
