"""Texts without labels: a student learns from its teacher's logits on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.dataset import DatasetError
from data.readers.generic import Options, read_tables, text_column
from data.splits import SHARES, Splits, near_duplicates


@dataclass(frozen=True)
class UnlabeledTexts:
    """Texts that are no near-duplicates of a text of any split or of one another.

    Attributes:
        texts: the texts, in the files' order.
        description: the files, how many texts were kept of how many, and their SHA-256, for the
            provenance of a checkpoint.
    """

    texts: tuple[str, ...] = field(repr=False)
    description: str


def read_unlabeled(files: Sequence[Path], splits: Splits) -> UnlabeledTexts:
    """Read the texts of ``files``: the lines of a .txt, the column of texts of another.

    A near-duplicate (`data.splits`) of a text of any split, or of an earlier text, is dropped.

    Raises:
        DatasetError: a file cannot be read or has no column of texts, or nothing is left.
    """
    found: list[str] = []
    for file in files:
        options = Options(str(file))
        for table in read_tables(options).values():
            found += [text for text in text_column(table, options) if text.strip()]
    labelled = [text for name in SHARES for text in getattr(splits, name).texts]
    groups = near_duplicates((*labelled, *found))
    first = len(labelled)
    texts = tuple(text for i, text in enumerate(found, first) if groups[i] == i)
    names = ", ".join(file.name for file in files)
    if not texts:
        raise DatasetError(f"{names}: no text left of {len(found)} after near-duplicates")
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return UnlabeledTexts(texts, f"{names}: {len(texts)} of {len(found)} texts, sha256 {digest}")
