"""Readers of labelled texts. Each file here is one: to add a reader is to add its file.

A reader is a module with two names:

- ``Options``, a frozen dataclass of strings. A field's metadata has its ``help`` and, if the help
  text is to show one, a ``value``.
- ``read(options)``, which returns a `Dataset`. A corpus with splits of its own returns several, by
  "train", "validation" and "test".

``--dataset`` takes the module's name; the help text shows the first line of its docstring. Any
other name is a file, a folder or a hub id (`data.readers.generic`).

    --dataset NAME
    --dataset NAME:key=value,key=value
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Protocol, cast

from data.dataset import Dataset, DatasetError


class Reader(Protocol):
    """What a module in this folder has to have."""

    __doc__: str | None
    Options: type[Any]

    def read(self, options: Any) -> Dataset | Mapping[str, Dataset]:
        """Read what the options name."""


READERS: Mapping[str, Reader] = {
    module.name: cast(Reader, importlib.import_module(f"{__name__}.{module.name}"))
    for module in pkgutil.iter_modules(__path__)
}
ANY_SOURCE = "generic"  # reads what is no other reader's name
NAMES = tuple(name for name in READERS if name != ANY_SOURCE)


def load(spec: str) -> Dataset | Mapping[str, Dataset]:
    """Read the texts that ``--dataset`` names, in the splits that their source has.

    Raises:
        DatasetError: an option is unknown or missing, or the texts cannot be read.
    """
    reader, options = parse(spec)
    return reader.read(options)


def read(spec: str) -> Dataset:
    """Read all texts that ``--dataset`` names as one dataset, those of all splits one by one.

    Raises:
        DatasetError: as `load`.
    """
    found = load(spec)
    if isinstance(found, Dataset):
        return found
    parts = list(found.values())
    texts = tuple(text for part in parts for text in part.texts)
    labels = tuple(label for part in parts for label in part.labels)
    return Dataset(
        parts[0].name,
        texts,
        labels,
        parts[0].label_names,
        met=parts[0].met,
        shareable=all(part.shareable for part in parts),
    )


def parse(spec: str) -> tuple[Reader, Any]:
    """Return the reader and its options for ``NAME`` or ``NAME:key=value,key=value``.

    The options begin after the first ":" that a word and "=" follow, so ``org/data:config`` and a
    path with a drive letter are names.

    Raises:
        DatasetError: an option is unknown, given twice, has no value, or is missing.
    """
    exists = os.path.exists(spec)  # noqa: PTH110 - Path.exists raises for a long name
    found = None if exists else re.search(r":(?=[a-z_]+=)", spec, re.IGNORECASE)
    name, text = (spec[: found.start()], spec[found.end() :]) if found else (spec, "")
    named = name in NAMES
    reader = READERS[name if named else ANY_SOURCE]
    given: dict[str, str] = {} if named else {"source": name}
    known = _options_of(reader)
    for piece in text.split(",") if text else ():
        key, equals, value = piece.partition("=")
        if not equals or not value:
            raise DatasetError(
                f"--dataset {spec}: {piece!r} is no option; type {name}:key=value,key=value"
            )
        if key not in known:
            there = f"there are {', '.join(known)}" if known else f"{name} has none"
            raise DatasetError(f"--dataset {spec}: no option {key}; {there}")
        if key in given:
            raise DatasetError(f"--dataset {spec}: {key} is there twice; type it once")
        given[key] = value
    missing = [key for key, option in known.items() if _is_required(option) and key not in given]
    if missing:
        needed = ",".join(f"{key}={_value(known[key])}" for key in missing)
        raise DatasetError(
            f"{name} needs {', '.join(f'{key} ({_help(known[key])})' for key in missing)}; "
            f"type --dataset {name}:{needed}"
        )
    return reader, reader.Options(**given)


def describe() -> str:
    """Return the help text of ``--dataset``: the readers, with the options of each."""
    lines = []
    for name, reader in sorted(READERS.items(), key=lambda item: item[0] == ANY_SOURCE):
        title = "FILE, FOLDER, ORG/DATA or ORG/DATA:CONFIG" if name == ANY_SOURCE else name
        lines.append(f"{title}: {(reader.__doc__ or '').strip().splitlines()[0]}")
        for key, option in _options_of(reader).items():
            needed = " (required)" if _is_required(option) else ""
            lines.append(f"    {key}={_value(option)}: {_help(option)}{needed}")
    return "\n".join(lines)


def _options_of(reader: Reader) -> dict[str, Field[Any]]:
    """The fields that a user may set: those with a help text."""
    return {option.name: option for option in fields(reader.Options) if _help(option)}


def _is_required(option: Field[Any]) -> bool:
    return option.default is MISSING and option.default_factory is MISSING


def _help(option: Field[Any]) -> str:
    return str(option.metadata.get("help", ""))


def _value(option: Field[Any]) -> str:
    return str(option.metadata.get("value", option.name.upper()))
