"""RepLab 2013's English tweets about companies, in the corpus's own layout.

``ROOT/entities/replab2013_entities.tsv`` names the entities; of each, ``ROOT/training/tweet_info``
and ``ROOT/training/labeled`` hold a file ``<entity_id>.dat``: a header line, TAB between fields,
every field double-quoted. The organisers give ids and no text: the user brings it ("hydrates").

`write_run` writes predictions in the run format of its organizers.

Amigó et al. 2013, "Overview of RepLab 2013: Evaluating Online Reputation Monitoring Systems".
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.dataset import POLARITY, Dataset, DatasetError

NAME = "replab2013"
RUN_COLUMNS = ("entity_id", "tweet_id", "polarity")

_INFO = ("tweet_id", "entity_id", "language", "timestamp", "is_near_duplicate_of")
_LABELS = ("tweet_id", "entity_id", "filtering", "polarity")
_TEXT = ("tweet_id", "tweet_text")
_SEPARATORS = {".tsv": "\t", ".dat": "\t", ".txt": "\t", ".csv": ",", ".jsonl": None, ".json": None}
_FILTERING = ("RELATED", "UNRELATED")
# What downloaders write in place of a text that is gone.
_NO_TEXT = ("", "Not Available")

Key = tuple[str, str]  # entity_id, tweet_id: a text can be about two entities


@dataclass(frozen=True)
class Options:
    """Where the corpus is."""

    root: str = field(
        metadata={"value": "DIR", "help": "the folder with its entities and training folders"}
    )
    text: str | None = field(
        default=None,
        metadata={
            "value": "PATH",
            "help": "a file or folder of files (.tsv, .csv, .jsonl) with the columns tweet_id and "
            "tweet_text; else ROOT/training/tweet_text",
        },
    )


def read(options: Options) -> Dataset:
    """Return the English, related, labelled tweets of the training split whose text is there.

    Returns:
        Dataset: with entities, ids, times, marks of near-duplicates, and counts of what was met.

    Raises:
        DatasetError: a file that is missing, is not of this layout, labels other texts than its
            text file has, or has other labels; no text.
    """
    root = Path(options.root)
    text = Path(options.text) if options.text else root / "training" / "tweet_text"
    met = Counter({"rows": 0, "files not UTF-8, read as latin-1": 0})
    entities = [row["entity_id"] for row in _rows(_entities_file(root), ("entity_id",), met)]
    rows = _labelled_rows(root / "training", entities, met)
    kept = {key: row for key, row in rows.items() if _is_kept(row, met)}
    met["English with polarity"] = len(kept)
    if not kept:
        raise DatasetError(f"{root / 'training'}: no English text with polarity; {dict(met)}")
    texts = _texts(text, set(entities), met)
    found = {key: texts.get(key) or texts.get(("", key[1]), "") for key in kept}
    keys = [key for key in kept if found[key]]
    met["of these without text"] = len(kept) - len(keys)
    if not keys:
        raise DatasetError(
            f"{text}: the text of none of the {len(kept)} English texts with polarity. The dataset "
            "comes without text: fetch it by text id (its README, section 2), write tweet_id and "
            "tweet_text to TSV, CSV or JSON lines files in ROOT/training/tweet_text, or name the "
            f"file or folder: --dataset {NAME}:root={root},text=PATH"
        )
    marks = {key: (key[0], row["is_near_duplicate_of"]) for key, row in rows.items()}
    marks = {key: origin for key, origin in marks.items() if origin[1] != "-1"}
    met["of these marked as near-duplicates"] = sum(key in marks for key in keys)
    about = Counter(tweet for _, tweet in keys)
    met["text ids that stand under several entities"] = sum(n > 1 for n in about.values())
    return Dataset(
        NAME,
        tuple(found[key] for key in keys),
        tuple(POLARITY.index(kept[key]["polarity"].lower()) for key in keys),
        POLARITY,
        entities=tuple(entity for entity, _ in keys),
        ids=tuple(tweet for _, tweet in keys),
        shareable=False,
        times=tuple(int(kept[key]["timestamp"]) for key in keys),
        origins=tuple(_origin(key, marks) for key in keys),
        met=dict(met),
    )


def write_run(path: Path, dataset: Dataset, predictions: Sequence[int]) -> None:
    """Write one class index a text as the organizers' scorer reads it.

    A header line; entity_id, tweet_id and polarity, TAB between, every field double-quoted; LF,
    as the scorer would take a CR for a part of the label.

    Raises:
        DatasetError: the texts have no entities or ids, other classes, or another number.
    """
    if dataset.entities is None or dataset.ids is None or dataset.label_names != POLARITY:
        raise DatasetError(
            f"{dataset.name}: a run file needs entities, text ids and the classes "
            f"{', '.join(POLARITY)}; texts of --dataset {NAME} have them"
        )
    if len(predictions) != len(dataset):
        raise DatasetError(f"{len(predictions)} predictions for {len(dataset)} texts")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(RUN_COLUMNS)
        for entity, tweet, label in zip(dataset.entities, dataset.ids, predictions, strict=True):
            writer.writerow((entity, tweet, POLARITY[label].upper()))


def _entities_file(root: Path) -> Path:
    file = root / "entities" / "replab2013_entities.tsv"
    if not file.is_file():
        raise DatasetError(
            f"{file}: no such file; type --dataset {NAME}:root=DIR, the folder that holds the "
            "dataset's entities and training folders"
        )
    return file


def _labelled_rows(
    training: Path, entities: list[str], met: Counter[str]
) -> dict[Key, dict[str, str]]:
    """The rows of tweet_info and labeled, joined; rows shifted by a column are left out."""
    info, labeled = training / "tweet_info", training / "labeled"
    for folder in (info, labeled):
        there = {file.stem for file in folder.glob("*.dat")}
        if different := sorted(there ^ set(entities)):
            named = ", ".join(map(repr, different[:5]))
            raise DatasetError(
                f"{folder}: its .dat files and entities/replab2013_entities.tsv name different "
                f"entities: {named}{' ...' if different[5:] else ''}; "
                "unpack the complete dataset"
            )
    rows: dict[Key, dict[str, str]] = {}
    for entity in entities:
        about = _by_id(info / f"{entity}.dat", _INFO, met)
        labels = _by_id(labeled / f"{entity}.dat", _LABELS, met)
        if about.keys() != labels.keys():
            raise DatasetError(
                f"{labeled / entity}.dat and {info / entity}.dat are not about the same texts: "
                f"{len(labels.keys() - about.keys())} of {len(labels)} ids stand in the first "
                f"alone, {len(about.keys() - labels.keys())} of {len(about)} in the second; take "
                "both from the same copy of the dataset"
            )
        met["rows"] += len(labels)
        for tweet, label in labels.items():
            row = about[tweet] | label
            if _is_shifted(row, entity):
                met["rows shifted by a column, left out"] += 1
                continue
            known = row["polarity"].lower() in ("", *POLARITY) and row["filtering"] in _FILTERING
            if not known:
                raise DatasetError(
                    f"{labeled / entity}.dat: filtering {row['filtering']!r}, polarity "
                    f"{row['polarity']!r}; RepLab 2013 has RELATED or UNRELATED, and POSITIVE, "
                    "NEUTRAL, NEGATIVE or none. Are these the labels of another dataset?"
                )
            rows[entity, tweet] = row
    return rows


def _by_id(file: Path, columns: tuple[str, ...], met: Counter[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for number, row in enumerate(_rows(file, columns, met), start=2):
        if row["tweet_id"] in found:
            raise DatasetError(f"{file}: row {number} has the id of an earlier row; remove one")
        found[row["tweet_id"]] = row
    return found


def _is_shifted(row: dict[str, str], entity: str) -> bool:
    """Whether a cell holds what belongs to the column next to it, or there are too few or many."""
    return (
        None in row
        or None in row.values()
        or row["entity_id"] != entity
        or not row["timestamp"].isdecimal()
        or not row["is_near_duplicate_of"].removeprefix("-").isdecimal()
        or row["polarity"] in _FILTERING
    )


def _is_kept(row: dict[str, str], met: Counter[str]) -> bool:
    """Return whether it is English, related and labelled; count by its first reason if not."""
    for reason, holds in (
        ("in another language", row["language"] != "EN"),
        ("English, unrelated", row["filtering"] != "RELATED"),
        ("English, related, without polarity", not row["polarity"]),
    ):
        if holds:
            met[reason] += 1
            return False
    return True


def _origin(key: Key, marks: dict[Key, Key]) -> Key:
    """The text at the end of the marks that begin at ``key``; of a circle the first of its ids."""
    passed = [key]
    while (key := marks.get(key, key)) not in passed:
        passed.append(key)
    return min(passed[passed.index(key) :])


def _texts(source: Path, entities: set[str], met: Counter[str]) -> dict[Key, str]:
    """Texts by entity and id; by "" and id where a file is not named after an entity."""
    if source.is_file() and source.suffix.lower() not in _SEPARATORS:
        raise DatasetError(
            f"{source}: the tweets' text is read from {', '.join(_SEPARATORS)} files"
        )
    files = [source] if source.is_file() else sorted(source.glob("*"))
    texts: dict[Key, str] = {}
    for file in (file for file in files if file.suffix.lower() in _SEPARATORS):
        for row in _rows(file, _TEXT, met):
            entity = file.stem if file.stem in entities else ""
            if row["tweet_text"] and row["tweet_text"].strip() not in _NO_TEXT:
                texts[entity, str(row["tweet_id"])] = row["tweet_text"]
    return texts


def _rows(file: Path, columns: tuple[str, ...], met: Counter[str]) -> Iterator[dict[str, str]]:
    """The rows of a TSV, CSV or JSON lines file that has at least these ``columns``.

    A row of a table with too few cells has None as a value, one with too many None as a key.
    """
    content = file.read_bytes()
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        decoded = content.decode("latin-1")
        met["files not UTF-8, read as latin-1"] += 1
    lines = io.StringIO(decoded, newline="")
    separator = _SEPARATORS[file.suffix.lower()]
    try:
        if separator is None:
            rows = [json.loads(line) for line in lines if line.strip()]
            missing = {column for row in rows for column in columns if column not in row}
        else:
            table = csv.DictReader(lines, delimiter=separator, strict=True)
            missing = set(columns) - set(table.fieldnames or ())
            rows = list(table)
    except (csv.Error, ValueError, TypeError) as error:
        raise DatasetError(
            f"{file}: cannot be read: {error}. A quote within a quoted field is written twice; "
            "JSON lines hold one object a line"
        ) from error
    if missing:
        raise DatasetError(f"{file}: no column {', '.join(sorted(missing))}; it needs {columns}")
    yield from rows
