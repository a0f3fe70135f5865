"""Texts without a label, from which a student learns what its teacher would answer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.dataset import DatasetError
from data.readers import load
from data.splits import SHARES, Splits, near_duplicates


@dataclass(frozen=True)
class UnlabeledTexts:
    """Texts that are near-duplicates neither of a text of any split nor of one another.

    Attributes:
        texts: one string each.
        said: the files, how many texts were kept of how many, and their SHA-256, as reference
            outputs say it.
    """

    texts: tuple[str, ...] = field(repr=False)
    said: str


def read_unlabeled(files: Sequence[Path], splits: Splits) -> UnlabeledTexts:
    """The texts of ``files``: of a .txt the lines, of others the column ``text``.

    The rule of `data.splits` keeps them apart: what is a near-duplicate of a text of any split,
    the evaluation texts above all, or of a text before it, is dropped.

    Raises:
        DatasetError: a file cannot be read or has no column ``text``, or nothing is left.
    """
    found: list[str] = []
    for file in files:
        if not file.is_file():
            raise DatasetError(f"{file}: no such file")
        rows = load(str(file))
        if "text" not in rows.column_names:
            raise DatasetError(f"{file}: no column text; it has {', '.join(rows.column_names)}")
        found += [text for text in rows["text"] if text and text.strip()]
    labelled = [text for name in SHARES for text in getattr(splits, name).texts]
    groups = near_duplicates((*labelled, *found))
    first = len(labelled)
    texts = tuple(text for i, text in enumerate(found, first) if groups[i] == i)
    names = ", ".join(file.name for file in files)
    if not texts:
        raise DatasetError(f"{names}: no text left of {len(found)} after near-duplicates")
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return UnlabeledTexts(texts, f"{names}: {len(texts)} of {len(found)} texts, sha256 {digest}")
