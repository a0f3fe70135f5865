"""The requirements that pyproject.toml pins."""

from __future__ import annotations

import tomllib
from pathlib import Path

from devices.errors import ProvisionError

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pins(group: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group of pyproject.toml.

    Raises:
        ProvisionError: there is no such group.
    """
    groups = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["dependency-groups"]
    if group not in groups:
        raise ProvisionError(f"{PROJECT} has no dependency group {group!r}: add it")
    return tuple(groups[group])
