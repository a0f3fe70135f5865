"""Tables of texts as people have them, read into plain Python: CSV, TSV, JSON, Parquet, lines.

The encoding is that of a byte-order mark, else UTF-8, else Windows' cp1252. The delimiter is the
one that cuts all rows into equally many cells. What cannot be decoded or cut is counted in
`Table.met`.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.dataset import DatasetError

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt")
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}

_MARKS = {  # UTF-32's mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SAMPLE = 1 << 16  # bytes or characters that decide on an encoding or a delimiter
_BY_CHANCE = 20  # so many lines of quoted texts may have equally many cells by chance
_FOREIGN = 0.3  # cp1252 has fewer letters than that beyond ASCII in any language it is made for
_ROWS_KEYS = ("data", "rows", "examples", "instances")  # where a JSON object keeps its rows


@dataclass(frozen=True)
class Table:
    """The columns of a table, equally long.

    Attributes:
        columns: the values of each column, by name; "1", "2", ... where the table has no header.
        class_names: the classes of the columns that store an index into them, by column.
        met: what was met and left out or replaced, in rows, bytes or files, by name.
    """

    columns: dict[str, list[Any]] = field(repr=False)
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def is_table(path: Path) -> bool:
    """Return whether the name is one that `read_table` reads."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_table(
    path: Path, *, header: bool = True, delimiter: str | None = None, encoding: str | None = None
) -> Table:
    """Read one file. A .txt file is a column ``text`` of its lines.

    Args:
        path: the file; .gz behind its suffix unpacks it.
        header: whether the first row of a CSV or TSV file names the columns.
        delimiter: one character, or None to find it.
        encoding: a codec's name, or None to find it.

    Raises:
        DatasetError: the file is missing, of another kind, or cannot be read.
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in SUFFIXES:
        raise DatasetError(
            f"{path}: cannot read {suffix or 'a file without a suffix'}; save it as one of "
            f"{', '.join(SUFFIXES)}"
        )
    if suffix == ".parquet":
        return _parquet(path)
    met: Counter[str] = Counter()
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be opened: {error}") from error
    text = decode(content, path, met, encoding)
    if suffix == ".txt":
        lines = [line.rstrip("\n") for line in io.StringIO(text, newline=None)]
        return Table({"text": lines}, met=met)
    if suffix in (".json", ".jsonl"):
        return Table(_json_columns(text, path), met=met)
    given = delimiter or ("\t" if suffix == ".tsv" else None)
    return Table(_csv_columns(text, path, header, given, met), met=met)


def decode(content: bytes, path: Path, met: Counter[str], encoding: str | None = None) -> str:
    """Decode a file, and count in ``met`` what is not plain UTF-8.

    Raises:
        DatasetError: there is no such codec, or the file is in none that can be recognized.
    """
    found = encoding or _encoding(content)
    if found is None:
        raise DatasetError(
            f"{path}: neither UTF-8 nor text of Western Europe; name its encoding, for example "
            f"--dataset {path}:encoding=cp1251"
        )
    try:
        if found.replace("_", "-").lower() in ("utf-8", "utf8") and content[:3] == codecs.BOM_UTF8:
            found = "utf-8-sig"
        text = content.decode(found, "replace")
    except LookupError:
        raise DatasetError(
            f"{path}: no encoding {found}; type one of Python's names, as utf-8, utf-16 or cp1252"
        ) from None
    if encoding is None and found not in ("utf-8", "utf-8-sig"):
        met[f"files read as {found}"] += 1
    if bad := _undecodable(content, found, text):
        met[f"bytes that are not {found}, read as U+FFFD"] += bad
    return text


def _encoding(content: bytes) -> str | None:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding
    sample = content[:_SAMPLE]
    if sample.count(0) > len(sample) // 5:  # UTF-16 without a mark: ASCII has a zero in each pair
        return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"
    bad = _undecodable(content, "utf-8", "")
    beyond_ascii = len(content.translate(None, bytes(range(128))))
    if beyond_ascii - bad >= 4 * bad:  # two characters or fewer for each bad byte
        return "utf-8"
    letters = sum(map(content.count, b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    return None if beyond_ascii > _FOREIGN * (letters + beyond_ascii) else "cp1252"


def _undecodable(content: bytes, encoding: str, replaced: str) -> int:
    """Return how many bytes cannot be decoded."""
    try:
        content.decode(encoding)
        return 0
    except UnicodeDecodeError:
        pass
    try:
        return len(re.findall("[\udc80-\udcff]", content.decode(encoding, "surrogateescape")))
    except UnicodeDecodeError:  # UTF-16 and UTF-32 have no such escapes
        return replaced.count("\ufffd")


def _csv_columns(
    text: str, path: Path, header: bool, delimiter: str | None, met: Counter[str]
) -> dict[str, list[Any]]:
    declared = re.match(r"sep=(.)\r?\n", text)  # Excel's first line
    if declared:
        delimiter, text = delimiter or declared[1], text[declared.end() :]
    delimiter = delimiter or _delimiter(text[:_SAMPLE])
    rows = _csv_rows(text, path, delimiter)
    if not rows:
        raise DatasetError(f"{path}: it is empty; bring a table with a text and a label a row")
    if header:
        names, rows = [name.strip() for name in rows[0]], rows[1:]
        if rows and {len(row) for row in rows} == {len(names) + 1}:
            names = ["", *names]  # R names no column for the numbers of its rows
    else:
        names = [str(number) for number in range(1, _width(rows) + 1)]
    complete = [row for row in rows if len(row) == len(names)]
    if left_out := len(rows) - len(complete):
        met["rows with too few or too many cells, left out"] += left_out
    cells = list(zip(*complete, strict=True)) or [()] * len(names)
    columns: dict[str, list[Any]] = {}
    for name, values in zip(names, cells, strict=True):
        columns.setdefault(name, list(values))  # of columns of one name, the first
    return columns


def _csv_rows(text: str, path: Path, delimiter: str) -> list[list[str]]:
    """The rows, cut at quotes unless quotes are plain characters there."""
    quoted = _parsed(text, path, delimiter)
    if '"' not in text:
        return quoted
    plain = _parsed(text, path, delimiter, quoting=csv.QUOTE_NONE)
    # A lone quote at a text's start would swallow the rows up to the next one.
    swallowed = len(plain) > len(quoted) and len({len(row) for row in plain}) == 1
    if not swallowed or len(plain[0]) < 2:
        return quoted
    if len(plain) > _BY_CHANCE:
        return plain
    try:
        return _parsed(text, path, delimiter, strict=True)
    except DatasetError:
        return plain


def _parsed(text: str, path: Path, delimiter: str, **how: Any) -> list[list[str]]:
    csv.field_size_limit(sys.maxsize)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, **how)
        return [row for row in reader if row]
    except (csv.Error, TypeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as a table: {error}; name its delimiter, for example "
            f"--dataset {path}:delimiter=semicolon"
        ) from error


def _delimiter(sample: str) -> str:
    """The delimiter that cuts most rows into equally many cells, at least two; else a comma."""

    def fit(delimiter: str) -> tuple[float, int]:
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        rows = [row for row in reader if row]
        rows = rows[:-1] or rows  # the sample may end within a row
        width = _width(rows)
        return (sum(len(row) == width for row in rows) / max(len(rows), 1), width)

    csv.field_size_limit(sys.maxsize)
    fits = {delimiter: fit(delimiter) for delimiter in DELIMITERS.values()}
    several = [delimiter for delimiter, (_, width) in fits.items() if width > 1]
    return max(several, key=fits.__getitem__, default=",")


def _width(rows: list[list[str]]) -> int:
    """Return the number of cells that most rows have."""
    return Counter(map(len, rows)).most_common(1)[0][0] if rows else 0


def _json_columns(text: str, path: Path) -> dict[str, list[Any]]:
    try:
        try:
            rows = json.loads(text)
        except ValueError:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:  # nested too deep
        raise DatasetError(
            f"{path}: cannot be read: {error}; JSON lines hold one object a line"
        ) from error
    if isinstance(rows, dict):
        kept = next((rows[key] for key in _ROWS_KEYS if isinstance(rows.get(key), list)), None)
        lengths = {len(x) if isinstance(x, list) else -1 for x in rows.values()}
        if kept is None and len(lengths) == 1 and lengths != {-1}:
            return rows  # column by column
        rows = [rows] if kept is None else kept
    if not all(isinstance(row, dict) for row in rows):
        raise DatasetError(
            f"{path}: its rows are no JSON objects; write each as "
            '{"text": "...", "label": "..."}, one a line'
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(path: Path) -> Table:
    import pyarrow.parquet
    from datasets import Features

    try:
        table = pyarrow.parquet.read_table(path)
        names = table.column_names
        columns = {name: table.column(name).to_pylist() for name in names}
        features = Features.from_arrow_schema(table.schema)
    except Exception as error:  # pyarrow and datasets raise their own many types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DatasetError(f"{path}: cannot be read as Parquet: {reason:.300}") from error
    return Table(columns, class_names(features))


def class_names(features: Any) -> dict[str, tuple[str, ...]]:
    """Return the classes of each `datasets.ClassLabel` among ``features``, by column."""
    named = {name: getattr(feature, "names", None) for name, feature in features.items()}
    return {name: tuple(names) for name, names in named.items() if names}
