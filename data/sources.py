"""Folders and hub ids as tables, by split: "train", "validation" and "test", or "" for none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from data.dataset import DatasetError
from data.tables import Table, class_names, is_table

_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_NO_TABLES = ("dataset_info", "dataset_infos", "dataset_dict", "state", "config", "package")


def read_folder(folder: Path, read_file: Callable[[Path], Table]) -> dict[str, Table]:
    """Read the tables in a folder, by the split that a file or its folder is named for.

    Args:
        folder: holds tables, or what `datasets` saved there.
        read_file: reads one table.

    Raises:
        DatasetError: there is no table, or those of one split do not have the same columns.
    """
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return _read_with_datasets("load_from_disk", str(folder))
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and is_table(file) and not file.name.lower().endswith((".txt", ".txt.gz"))
        if not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
        if file.name.split(".")[0] not in _NO_TABLES
    ]
    if not files:
        raise DatasetError(
            f"{folder}: it holds no table; put .csv, .tsv, .json, .jsonl or .parquet files there, "
            "named train, validation and test if these are its splits"
        )
    of: dict[str, list[Path]] = {}
    for file in files:
        relative = file.relative_to(folder).with_suffix("").parts
        split = next((s for part in reversed(relative) if (s := _split_named(part))), "")
        of.setdefault(split, []).append(file)
    left_out = of.pop("", []) if len(of) > 1 else []
    tables = {
        split: _joined([read_file(file) for file in those], str(folder))
        for split, those in of.items()
    }
    if left_out:
        next(iter(tables.values())).met["files named for no split, left out"] += len(left_out)
    return tables


def _split_named(name: str) -> str:
    """Return the split that a file, folder or hub split is named for, "" for none."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((split for split, names in _SPLITS.items() if {*names} & {*words}), "")


def read_hub(source: str, revision: str | None = None) -> dict[str, Table]:
    """Read ``ORG/DATA`` or ``ORG/DATA:CONFIG`` from the hub, by split.

    Raises:
        DatasetError: `datasets` cannot load it.
    """
    name, _, config = source.partition(":")
    return _read_with_datasets("load_dataset", name, name=config or None, revision=revision)


def _read_with_datasets(function: str, source: str, **how: str | None) -> dict[str, Table]:
    import datasets

    try:
        loaded = getattr(datasets, function)(source, **how)
    except Exception as error:  # `datasets` raises its readers' own many types
        configs = _configurations(source) if function == "load_dataset" else []
        if len(configs) > 1 and how["name"] not in configs:
            raise DatasetError(
                f"{source}: it has the configurations {', '.join(configs)}; "
                f"type --dataset {source}:{configs[0]}, or another of these"
            ) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DatasetError(
            f"{source}: no file or folder here, and `datasets` cannot load it ({reason}); "
            "check the name, or bring the texts as a file"
        ) from error
    splits = dict(loaded.items()) if isinstance(loaded, dict) else {"": loaded}
    of: dict[str, list[Table]] = {}
    for split, rows in splits.items():
        columns = {name: list(rows[name]) for name in rows.column_names}
        of.setdefault(_split_named(split), []).append(Table(columns, class_names(rows.features)))
    left_out = of.pop("", []) if len(of) > 1 else []
    tables = {split: _joined(those, source) for split, those in of.items()}
    if left_out:
        count = sum(map(len, left_out))
        next(iter(tables.values())).met["rows of other splits, left out"] += count
    return tables


def _configurations(source: str) -> list[str]:
    import datasets

    try:
        return list(datasets.get_dataset_config_names(source))
    except Exception:  # the error that led here is the one to show
        return []


def _joined(tables: Sequence[Table], where: str) -> Table:
    first = tables[0]
    for table in tables[1:]:
        if table.columns.keys() != first.columns.keys() or table.class_names != first.class_names:
            raise DatasetError(
                f"{where}: files of one split have other columns: {', '.join(first.columns)} and "
                f"{', '.join(table.columns)}; name the one file that is meant"
            )
    met: Counter[str] = Counter()
    for table in tables:
        met += table.met
    columns = {name: [x for t in tables for x in t.columns[name]] for name in first.columns}
    return Table(columns, first.class_names, met)
