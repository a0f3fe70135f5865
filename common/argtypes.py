"""Types of command-line arguments."""

from __future__ import annotations

import argparse
import math
from typing import Any

# Tokens of the shortest signature: what frames a text, and one token of its own.
SHORTEST = 3


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


def lengths(text: str) -> tuple[int, ...]:
    """Read lengths in tokens that commas separate, into ascending order."""
    try:
        found = tuple(sorted({int(length) for length in text.split(",")}))
    except ValueError:
        found = ()
    if not found or found[0] < SHORTEST:
        raise argparse.ArgumentTypeError(
            f"{text}: lengths in tokens, at least {SHORTEST} each, are needed: 24,40,64,128"
        )
    return found


def names(text: str) -> tuple[str, ...]:
    """Read names that commas separate."""
    return tuple(name.strip() for name in text.split(","))
