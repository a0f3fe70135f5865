"""Types of what a command line is given."""

from __future__ import annotations

import argparse
import math
from typing import Any


def number(kind: type[int] | type[float], least: float, most: float = math.inf) -> Any:
    """An argument's type: a finite number within these ends, which count."""

    def parse(text: str) -> float:
        found = kind(text)
        if not (math.isfinite(found) and least <= found <= most):
            ends = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            raise argparse.ArgumentTypeError(f"{text}: a number {ends}")
        return found

    parse.__name__ = kind.__name__  # argparse says so of what is no number at all
    return parse
