"""Texts without a label, from which a student learns what its teacher would answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tweets.corpus import TweetsError
from tweets.readers import load
from tweets.splits import SHARES, Splits, near_duplicates


@dataclass(frozen=True)
class Unlabelled:
    """Texts that are near-duplicates neither of a tweet of any split nor of one another.

    Attributes:
        texts: one string each.
        said: the files, how many texts were kept of how many, and their SHA-256, as a card says it.
    """

    texts: tuple[str, ...] = field(repr=False)
    said: str


def read_unlabelled(files: Sequence[Path], splits: Splits) -> Unlabelled:
    """The texts of ``files``: of a .txt the lines, of others the column ``text``.

    The rule of `tweets.splits` keeps them apart: what is a near-duplicate of a tweet of any split,
    the evaluation tweets above all, or of a text before it, is dropped.

    Raises:
        TweetsError: a file cannot be read or has no column ``text``, or nothing is left.
    """
    found: list[str] = []
    for file in files:
        if not file.is_file():
            raise TweetsError(f"{file}: no such file")
        rows = load(str(file))
        if "text" not in rows.column_names:
            raise TweetsError(f"{file}: no column text; it has {', '.join(rows.column_names)}")
        found += [text for text in rows["text"] if text and text.strip()]
    labelled = [text for name in SHARES for text in getattr(splits, name).texts]
    groups = near_duplicates((*labelled, *found))
    first = len(labelled)
    texts = tuple(text for i, text in enumerate(found, first) if groups[i] == i)
    names = ", ".join(file.name for file in files)
    if not texts:
        raise TweetsError(f"{names}: no text left of {len(found)} after near-duplicates")
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return Unlabelled(texts, f"{names}: {len(texts)} of {len(found)} texts, sha256 {digest}")
