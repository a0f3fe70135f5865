"""Profiles: what a device is and what is demanded of it, one TOML file each in this folder.

A board is added by adding a file; its name is the device's name.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.errors import DeviceError

FOLDER = Path(__file__).parent / "profiles"
_VERSIONS = ("image.glibc", "image.python")
_LARGEST = 1e12  # of any number in a profile
_BRACKET = "tuple[float, float]"
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    _BRACKET: (list,),
}


@dataclass(frozen=True)
class Image:
    """The system image that the profile was written for."""

    os: str
    glibc: str
    python: str


@dataclass(frozen=True)
class Budget:
    """What is demanded.

    `latency_ms`: 90th percentile of end-to-end. `memory_mb`: peak resident set of the worker above
    that of a bare one, in 10^6 bytes. `energy_j`: joules a text, of the whole board, judged where
    they can be measured; without it they are only reported.
    """

    latency_ms: float
    memory_mb: float
    energy_j: float | None = None


@dataclass(frozen=True)
class Peak:
    """What the board can do at most: float32 GFLOPS of all cores, GB/s of a one-thread copy."""

    fp32_gflops: float
    memory_gb_s: float


@dataclass(frozen=True)
class Projection:
    """What a speed is projected with (devices/projection.py): brackets, least and most.

    `efficiency` is the share of the float32 peak that inference reaches on all cores,
    `instructions_per_cycle` what all cores together execute in a cycle of `ghz`.
    """

    efficiency: tuple[float, float]
    ghz: float
    instructions_per_cycle: tuple[float, float]


@dataclass(frozen=True)
class Emulation:
    """`cpu`: QEMU's name of the CPU, which decides the instructions that kernels choose."""

    cpu: str


@dataclass(frozen=True)
class Profile:
    """One device. None stands for "whatever the machine has", which only `host` says.

    `models` are the beginnings of /proc/device-tree/model that identify the board, and `compatible`
    entries of the file of that name, where the model says something else; `threads` is the
    default to measure with; `memory_mb` is the board's (the smallest one sold).
    """

    name: str
    description: str
    models: tuple[str, ...]
    compatible: tuple[str, ...]
    threads: int
    budget: Budget
    cores: int | None = None
    memory_mb: int | None = None
    image: Image | None = None
    peak: Peak | None = None
    projection: Projection | None = None
    emulation: Emulation | None = None


_SECTIONS: dict[str, type] = {
    "budget": Budget,
    "image": Image,
    "peak": Peak,
    "projection": Projection,
    "emulation": Emulation,
}


def profiles(folder: Path = FOLDER) -> dict[str, Profile]:
    """Every profile in the folder, by device name; DeviceError names the bad file and field."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}


def profile(device: str, folder: Path = FOLDER) -> Profile:
    """The profile of one device; DeviceError for an unknown one lists those there are."""
    known = profiles(folder)
    if device not in known:
        raise DeviceError(
            f"unknown device {device!r}; there are {', '.join(known)}. "
            f"Add one as {folder / (device + '.toml')}."
        )
    return known[device]


def _read(path: Path) -> Profile:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; nested too deep
        raise DeviceError(f"{path}: not a TOML file: {error}") from error
    recognise = {"compatible": []} | _section(path, table, "recognise", {"models", "compatible"})
    for field in ("models", "compatible"):
        stated: Any = recognise.get(field)
        if not isinstance(stated, list) or not all(isinstance(s, str) and s for s in stated):
            raise DeviceError(
                f"{path}: recognise.{field} must be a list of strings, not {stated!r}"
            )
    fields = _fields(
        path,
        {k: v for k, v in table.items() if not isinstance(v, dict)},
        {"description": "str", "threads": "int"},
        optional={"cores": "int", "memory_mb": "int"},
    )
    sections: dict[str, Any] = {}
    for name, kind in _SECTIONS.items():
        if name == "budget" or name in table:
            kinds = {field: str(type_) for field, type_ in kind.__annotations__.items()}
            optional = {f: k.removesuffix(" | None") for f, k in kinds.items() if "None" in k}
            needed = {f: k for f, k in kinds.items() if f not in optional}
            section = _section(path, table, name, set(kinds))
            sections[name] = kind(**_fields(path, section, needed, optional, prefix=f"{name}."))
    for name, value in table.items():
        if isinstance(value, dict) and name not in {"recognise", *_SECTIONS}:
            raise DeviceError(f"{path}: unknown section [{name}]")
    known: dict[str, Any] = {field: tuple(stated) for field, stated in recognise.items()}
    return Profile(name=path.stem, **known, **fields, **sections)


def _section(path: Path, table: dict[str, Any], name: str, known: set[str]) -> dict[str, Any]:
    section = table.get(name)
    if not isinstance(section, dict):
        raise DeviceError(f"{path}: section [{name}] is missing")
    for field in section.keys() - known:
        raise DeviceError(f"{path}: unknown field {name}.{field}; known: {sorted(known)}")
    return section


def _fields(
    path: Path,
    table: dict[str, Any],
    needed: dict[str, str],
    optional: dict[str, str] | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """The wanted fields, each of its kind and, if a number, above zero."""
    kinds = needed | (optional or {})
    for field in table.keys() - kinds.keys():
        raise DeviceError(f"{path}: unknown field {prefix}{field}; known: {sorted(kinds)}")
    for field, kind in kinds.items():
        if field not in table:
            if field in needed:
                raise DeviceError(f"{path}: field {prefix}{field} is missing")
            continue
        value: Any = table[field]
        if not isinstance(value, _KINDS[kind]) or isinstance(value, bool):
            raise DeviceError(f"{path}: {prefix}{field} must be {kind}, not {value!r}")
        if isinstance(value, (int, float)) and not 0 < value < _LARGEST:
            raise DeviceError(f"{path}: {prefix}{field} must be above zero, not {value!r:.60}")
        if isinstance(value, list) and not _is_bracket(value):
            raise DeviceError(f"{path}: {prefix}{field} must be [least, most], not {value!r}")
        if prefix + field in _VERSIONS and not re.fullmatch(r"\d+(\.\d+)+", str(value)):
            raise DeviceError(f"{path}: {prefix}{field} must be numbers like 2.36, not {value!r}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


def _is_bracket(value: Any) -> bool:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    return numbers and len(value) == 2 and 0 < value[0] <= value[1] < _LARGEST
