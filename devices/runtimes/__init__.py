"""The runtimes: one file each, and its existence is the registration.

A file holds constants, which `devices.runtime.Runtime` explains, and functions. They run on the
device, where the file is sent as source with `devices.worker`:

- ``load(runtime, model_file, threads)`` returns the signatures of a model file
  (`devices.runtime.Signature`) and the name of the delegate that computes. ``runtime`` is the
  imported ``MODULE``. It raises ValueError or RuntimeError if the runtime refuses the file.
- ``prepare(runtime, model_file)``, if there is one, is called in a process of its own before the
  file is loaded for the first time. It alone may write files, next to the model file.
- ``operators(runtime, files)`` returns the newest version of each operator that the runtime takes
  (`devices.op_support`).

So a file imports the standard library at most, and of this project only other files of this
folder, as ``from devices.runtimes.NAME import ...``. Its own constants begin with ``_``.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from devices.errors import DeviceError
from devices.runtime import Runtime

_SHARED = re.compile(r"^from devices\.runtimes\.(\w+) import ", re.MULTILINE)
_FIELDS = {field.name.upper(): field.name for field in fields(Runtime)}
del _FIELDS["PREPARES"], _FIELDS["SOURCES"]


def _sources(file: str) -> dict[str, str]:
    """Return the source of a file of this folder after those that it imports."""
    text = (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")
    sources: dict[str, str] = {}
    for other in _SHARED.findall(text):
        sources |= _sources(other)
    return sources | {f"{__name__}.{file}": text}


def _runtime(file: str) -> Runtime:
    module = import_module(f"{__name__}.{file}")
    constants = {name: value for name, value in vars(module).items() if name.isupper()}
    if unknown := [name for name in constants if name not in _FIELDS and name[0] != "_"]:
        raise DeviceError(
            f"devices/runtimes/{file}.py: {unknown[0]} says nothing of a runtime; "
            f"known are {', '.join(sorted(_FIELDS))}"
        )
    stated = {_FIELDS[name]: value for name, value in constants.items() if name in _FIELDS}
    try:
        prepares = hasattr(module, "prepare")
        return Runtime(**stated, prepares=prepares, sources=_sources(file))
    except TypeError as error:
        raise DeviceError(f"devices/runtimes/{file}.py: {error}") from None


def _load() -> Mapping[str, Runtime]:
    runtimes = [_runtime(module.name) for module in pkgutil.iter_modules(__path__)]
    return MappingProxyType({runtime.name: runtime for runtime in runtimes})


RUNTIMES = _load()
# What is judged unless other runtimes are named.
DEFAULT = tuple(name for name, runtime in RUNTIMES.items() if runtime.by_default)
