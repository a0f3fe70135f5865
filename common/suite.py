"""The suite's own files, as a bundle carries them to a board: neither weights nor its own tests."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = "requirements.txt"
_ROOMS = ("common", "data", "devices", "fixtures", "models", "reports", "suites")
_TOP = ("conftest.py", "fit.py", "pyproject.toml")
# What a board does not need: the tests of the suite itself, weights, baselines and reports.
_LEFT_OUT = (
    "suites/selftest",
    "suites/fuzz",
    "suites/long",
    "models/zoo",
    "reports/baselines",
    "reports/runs",
)
_SUFFIXES = {".py", ".toml", ".json", ".j2"}


def files() -> dict[str, Path]:
    """Return the files of the suite by their path below its root."""
    found = [ROOT / name for name in _TOP]
    for room in _ROOMS:
        found += sorted(
            path
            for path in (ROOT / room).rglob("*")
            if path.suffix in _SUFFIXES and not _is_left_out(path)
        )
    return {path.relative_to(ROOT).as_posix(): path for path in found}


def _is_left_out(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return "__pycache__" in name or name.startswith(tuple(f"{each}/" for each in _LEFT_OUT))


def requirements() -> str:
    """Return requirements.txt: the groups of pyproject.toml that a board needs."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = dict.fromkeys([*_required(groups, "board"), *_required(groups, "ai-edge-litert")])
    return "".join(f"{line}\n" for line in lines)


def _required(groups: dict[str, list[str | dict[str, str]]], name: str) -> Iterator[str]:
    for each in groups[name]:
        if isinstance(each, str):
            yield each
        else:
            yield from _required(groups, each["include-group"])
