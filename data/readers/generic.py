"""Labelled texts of your own: a CSV, TSV, JSON or Parquet file, a folder of them, or a hub id.

The splits are those that the source has: by a file's name or folder (``train.csv``,
``data/test-00000-of-00001.parquet``) or by the hub's names. Columns are found by their usual names.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from data.dataset import POLARITY, Dataset, DatasetError, stable_fraction
from data.sources import read_folder, read_hub
from data.tables import DELIMITERS, Table, is_table, read_table

TEXT_COLUMNS = ("text", "sentence", "content", "tweet", "review")
LABEL_COLUMNS = ("label", "labels", "sentiment", "polarity", "target")
MAX_CHARACTERS = 100_000_000  # near-duplicates of more take hours to find
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def plain(name: str) -> str:
    """Return a name in small letters; each run of white space, line breaks too, is one space."""
    return " ".join(name.split()).lower()


def _option(value: str, text: str) -> Any:
    return field(default=None, metadata={"value": value, "help": text})


@dataclass(frozen=True)
class Options:
    """What is read, and how."""

    source: str
    text: str | None = _option(
        "COLUMN", f"the texts, by name or number; else {', '.join(TEXT_COLUMNS)}"
    )
    label: str | None = _option(
        "COLUMN", f"their classes, by name or number; else {', '.join(LABEL_COLUMNS)}"
    )
    entity: str | None = _option("COLUMN", "what each text is about; else entity, if it is there")
    labels: str | None = _option(
        "NAME/NAME",
        "the classes in order; names for numbers begin with the lowest. "
        "Or names by value: -1=negative/0=neutral/1=positive",
    )
    header: str | None = _option("none", "the first row is a text; columns go by number from 1")
    delimiter: str | None = _option(
        "D", f"{', '.join(DELIMITERS)} or one character; else the one that fits"
    )
    encoding: str | None = _option(
        "NAME", "as cp1251; else that of a byte-order mark, UTF-8 or cp1252"
    )
    limit: str | None = _option("N", "at most N texts of each split, drawn by a hash")
    revision: str | None = _option("REVISION", "of a hub id: a commit, tag or branch")

    def typed(self, **more: str) -> str:
        """Return what to type to have these options and ``more``."""
        given = {
            option.name: value
            for option in fields(self)
            if option.name != "source" and (value := getattr(self, option.name)) is not None
        } | more
        options = ",".join(f"{key}={value}" for key, value in given.items())
        return f"--dataset {self.source}{':' if options else ''}{options}"


@dataclass(frozen=True)
class _Rows:
    """The rows of one split that have a text: its labels as written, None where there is none."""

    texts: list[str]
    values: list[str | None]
    entities: list[str] | None
    classes: tuple[str, ...]
    where: str

    def found(self) -> set[str]:
        return {value for value in self.values if value is not None}


def read(options: Options) -> Dataset | Mapping[str, Dataset]:
    """Read labelled texts, in the splits of their source where it has any.

    Returns:
        One dataset, or one for each of "train", "validation" and "test" that has labels, at least
        two. A split that hides its labels (none, or the same for each text) is left out.

    Raises:
        DatasetError: no such source, a column or a name of a class is missing, no labelled text.
    """
    met: Counter[str] = Counter()
    tables = read_tables(options)
    for table in tables.values():
        met += table.met
    rows = {name: _rows(table, options, name, tables) for name, table in tables.items()}
    most = max(len(part.found()) for part in rows.values())
    for name in [name for name, part in rows.items() if len(part.found()) < min(2, most)]:
        met[f"texts of {name}, whose labels are hidden"] += len(rows.pop(name).texts)
    if not any(part.found() for part in rows.values()):
        count = sum(map(len, tables.values()))
        raise DatasetError(
            f"{options.source}: no text with both a text and a label among {count} rows; "
            "name other columns with text=COLUMN,label=COLUMN"
        )
    names, index = _classes(list(rows.values()), options)
    name = Path(options.source).stem if Path(options.source).exists() else options.source
    unlabeled = sum(part.values.count(None) for part in rows.values())
    unlabeled += sum(len(tables[split]) - len(part.texts) for split, part in rows.items())
    met["rows without a text or a label, left out"] += unlabeled
    parts = {split: _dataset(name, part, names, index) for split, part in rows.items()}
    parts = _limited(parts, options, met)
    counts = {what: count for what, count in met.items() if count}
    parts = {split: replace(part, met=counts) for split, part in parts.items()}
    return parts if len(parts) > 1 else next(iter(parts.values()))


def read_tables(options: Options) -> dict[str, Table]:
    """Read the tables of a source, by split; by "" where it has no splits.

    Raises:
        DatasetError: there is no such source, or it cannot be read.
    """
    if options.header not in (None, "none"):
        raise DatasetError(f"header={options.header}: type header=none, or leave it out")
    path = Path(options.source)
    if path.is_file():
        return {"": _read_file(path, options)}
    if path.is_dir():
        return read_folder(path, lambda file: _read_file(file, options))
    if is_table(path) or options.source.startswith((".", "/", "~")) or path.is_absolute():
        raise DatasetError(f"{options.source}: no such file or folder; name one that is there")
    return read_hub(options.source, options.revision)


def text_column(table: Table, options: Options) -> list[str]:
    """Return the texts of a table, "" where there is none.

    Raises:
        DatasetError: it has no column of texts.
    """
    name = _column(table, "text", options)
    if any(isinstance(value, list | dict) for value in table.columns[name]):
        raise DatasetError(
            f"{options.source}: its column {name} holds no plain texts; name another with "
            f"text=COLUMN, of {_shown(table.columns)}"
        )
    return ["" if value is None else str(value) for value in table.columns[name]]


def _read_file(path: Path, options: Options) -> Table:
    delimiter = options.delimiter
    delimiter = DELIMITERS.get(delimiter or "", delimiter)
    if delimiter is not None and len(delimiter) != 1:
        raise DatasetError(
            f"delimiter={delimiter}: type {', '.join(DELIMITERS)} or a single character"
        )
    header = options.header != "none"
    return read_table(path, header=header, delimiter=delimiter, encoding=options.encoding)


def _rows(table: Table, options: Options, split: str, tables: Mapping[str, Table]) -> _Rows:
    where = f"{options.source}, {split}" if split else options.source
    if options.header is None:
        _require_header(table, options)
    texts = text_column(table, options)
    labelled = _column(table, "label", options, required=split != "test" or len(tables) == 1)
    entity = _column(table, "entity", options, required=options.entity is not None)
    classes = table.class_names.get(labelled, ())
    values: list[str | None] = [None] * len(texts)
    if labelled:
        if any(isinstance(value, list | dict) for value in table.columns[labelled]):
            raise DatasetError(
                f"{where}: its column {labelled} has several labels a text, which is not judged; "
                "name a column with one label a text with label=COLUMN"
            )
        values = [_value(value, classes) for value in table.columns[labelled]]
    kept = [i for i, text in enumerate(texts) if text.strip()]
    found = Counter(value for value in values if value)
    if len(found) > 50 and len(found) > len(kept) // 2:
        raise DatasetError(
            f"{where}: its column {labelled} has {len(found)} different values in {len(kept)} "
            "rows, so they are no classes; name another column with label=COLUMN, of "
            f"{_shown(table.columns)}"
        )
    entities = [str(value) for value in table.columns[entity]] if entity else None
    return _Rows(
        [texts[i] for i in kept],
        [values[i] for i in kept],
        None if entities is None else [entities[i] for i in kept],
        tuple(plain(name) for name in classes),
        where,
    )


def _column(table: Table, role: str, options: Options, *, required: bool = True) -> str:
    """Return the name of a column, "" where there is none and none is required."""
    usual = {"text": TEXT_COLUMNS, "label": LABEL_COLUMNS, "entity": ("entity",)}[role]
    there = list(table.columns)
    folded = {plain(name): name for name in reversed(there)}
    if asked := getattr(options, role):
        if asked in there or asked.lower() in folded:
            return asked if asked in there else folded[asked.lower()]
        if asked.isdecimal() and 0 < int(asked) <= len(there):
            return there[int(asked) - 1]
        if not required:
            return ""
        raise DatasetError(
            f"{options.source}: no column {asked}; its columns are {_shown(there)}; "
            f"type {options.typed(**{role: 'COLUMN'})}"
        )
    for name in usual:
        if name in folded:
            return folded[name]
    if not required:
        return ""
    raise DatasetError(
        f"{options.source}: no column of {role}s that is named {', '.join(usual)}; it has "
        f"{_shown(there)}; type {options.typed(**{role: 'COLUMN'})}, and header=none if these are "
        "not names"
    )


def _shown(names: Iterable[str]) -> str:
    """Columns' names, cut short: without a header they may be a text."""
    return ", ".join(name if len(name) <= 24 else f"{name[:20]}..." for name in names)


def _require_header(table: Table, options: Options) -> None:
    """Raise DatasetError where the first row is a text with its label and not names of columns."""
    names = list(table.columns)
    known = {*TEXT_COLUMNS, *LABEL_COLUMNS, options.text, options.label}
    if {plain(name) for name in names} & known or {*names} & known:
        return
    again = [name for name in names if name.strip() and name in table.columns[name][:1000]]
    if not again:
        return
    sample = {name: [str(x) for x in values[:1000]] for name, values in table.columns.items()}
    text = max(names, key=lambda name: sum(map(len, sample[name])))
    label = min(again, key=lambda name: (len(set(sample[name])) < 2, len(set(sample[name]))))
    numbers = {"text": str(names.index(text) + 1), "label": str(names.index(label) + 1)}
    raise DatasetError(
        f"{options.source}: its first row names no columns, as {label!r} stands below it again; "
        f"type {options.typed(header='none', **numbers)}"
    )


def _value(value: Any, classes: tuple[str, ...]) -> str | None:
    """Return a label as written, in lower case; None where there is none or it is hidden."""
    if classes and isinstance(value, int):
        return plain(classes[value]) if 0 <= value < len(classes) else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    written = plain(str(value))
    if _NUMBER.fullmatch(written) and float(written).is_integer():
        written = str(int(float(written)))
    return written or None


def _classes(parts: Sequence[_Rows], options: Options) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the classes in order, and the class of each label as written."""
    found = {value for part in parts for value in part.found()}
    declared = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    numbers = all(_NUMBER.fullmatch(value) for value in found | {*declared})
    values = list(declared) or sorted(found, key=float if numbers else None)
    listed = ", ".join(values)
    if len(found) < 2:
        raise DatasetError(
            f"{parts[0].where}: all its texts are of one class, {listed}; bring texts of two or "
            "more, or name another column with label=COLUMN"
        )
    if options.labels is None and numbers:
        names = "/".join(f"NAME{i}" for i in range(1, len(values) + 1))
        more = "negative/neutral/positive" if len(values) == 3 else names
        raise DatasetError(
            f"{options.source}: its classes are the numbers {listed}; name them in order: type "
            f"{options.typed(labels=more)}"
        )
    if options.labels is None:
        ordered = [name for name in POLARITY if name in found]
        names_ = declared or tuple(ordered if found <= {*POLARITY} else values)
        return names_, {name: i for i, name in enumerate(names_)}
    given = [plain(name) for name in options.labels.split("/")]
    mapping = "/".join(f"{value}=NAME" for value in values)
    if all("=" in piece for piece in given):
        pairs = [tuple(map(str.strip, piece.split("=", 1))) for piece in given]
        if lacking := sorted(found - {value for value, _ in pairs}):
            raise DatasetError(
                f"{options.source}: labels= names no class for {', '.join(lacking)}; "
                f"type {options.typed(labels=mapping)}"
            )
        names_ = tuple(dict.fromkeys(name for _, name in pairs))
        index = {value: names_.index(name) for value, name in pairs}
    elif found <= {*given}:
        names_, index = tuple(given), {name: i for i, name in enumerate(given)}
    elif numbers and len(given) == len(values):
        names_, index = tuple(given), {value: i for i, value in enumerate(values)}
    else:
        raise DatasetError(
            f"{options.source}: labels= has {len(given)} names, and its classes are {listed}; "
            f"name each: type {options.typed(labels=mapping)}"
        )
    if "" in names_ or len({*names_}) < max(2, len(names_)):
        raise DatasetError(
            f"{options.source}: labels={options.labels} is not two or more different names; "
            f"type {options.typed(labels=mapping)}"
        )
    return names_, index


def _dataset(name: str, part: _Rows, names: tuple[str, ...], index: dict[str, int]) -> Dataset:
    kept = [(i, value) for i, value in enumerate(part.values) if value is not None]
    return Dataset(
        name,
        tuple(part.texts[i] for i, _ in kept),
        tuple(index[value] for _, value in kept),
        names,
        None if part.entities is None else tuple(part.entities[i] for i, _ in kept),
    )


def _limited(parts: dict[str, Dataset], options: Options, met: Counter[str]) -> dict[str, Dataset]:
    """Return at most ``limit`` texts of each split, the same ones on every machine."""
    if options.limit is None:
        size = sum(len(text) for part in parts.values() for text in part.texts)
        if size > MAX_CHARACTERS:
            raise DatasetError(
                f"{options.source}: {size:,} characters take hours to search for "
                f"near-duplicates; take a sample with {options.typed(limit='20000')}"
            )
        return parts
    if not options.limit.isdecimal() or int(options.limit) < 1:
        raise DatasetError(f"limit={options.limit}: type a whole number of texts, from 1 on")
    limited = {}
    for split, part in parts.items():
        drawn = sorted(range(len(part)), key=lambda i: stable_fraction(part.texts[i], "limit"))
        limited[split] = part.take(sorted(drawn[: int(options.limit)]))
        met["texts beyond the limit, left out"] += len(part) - len(limited[split])
    return limited
