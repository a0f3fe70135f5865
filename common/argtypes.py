"""Types of command-line arguments."""

from __future__ import annotations

import argparse
import math
from typing import Any


def number(kind: type[int] | type[float], minimum: float, maximum: float = math.inf) -> Any:
    """Return an argument type: a finite number from ``minimum`` to ``maximum``, both included."""

    def parse(text: str) -> float:
        value = kind(text)
        if not (math.isfinite(value) and minimum <= value <= maximum):
            ends = f"from {minimum:g} to {maximum:g}"
            if maximum == math.inf:
                ends = f"at least {minimum:g}"
            raise argparse.ArgumentTypeError(f"{text}: a number {ends} is needed")
        return value

    parse.__name__ = kind.__name__  # argparse shows it for what is not a number at all
    return parse


def names(text: str) -> tuple[str, ...]:
    """Read names that commas separate."""
    return tuple(name.strip() for name in text.split(","))
