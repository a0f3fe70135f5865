"""The modes: one file each, and its existence is the registration.

A mode is named as TensorFlow Lite names it. What it promises is checked against the model file
itself (`models.contents.inspect`), whichever tool made it. A file holds one constant, ``MODE``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from models.errors import QuantizeError
from models.mode import TFLITE, Context, Mode

if TYPE_CHECKING:
    from common.cache import Cache
    from data.dataset import Dataset
    from models.checkpoints.checkpoint import Checkpoint
    from models.contents import Contents

# What is judged unless other modes are named.
DEFAULT = ("float32", "float16", "dynamic_range")
# By format, the module that builds the float32 file: `float32(checkpoint, cache)`, MODEL_FILE.
_CONVERTERS = {TFLITE: "models.tflite.convert", "onnx": "models.onnx.convert"}


def _load() -> Mapping[str, Mode]:
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modes: dict[str, Mode] = {name: import_module(f"{__name__}.{name}").MODE for name in names}
    return MappingProxyType(dict(sorted(modes.items(), key=lambda item: item[1].order)))


MODES = _load()


def build(
    mode: str,
    checkpoint: Checkpoint,
    cache: Cache,
    calibration: Dataset | None = None,
    *,
    format: str = TFLITE,
) -> Path:
    """Return the model file of ``checkpoint`` in ``mode``; build it unless the cache has it.

    Args:
        mode: a name of `MODES`.
        checkpoint: the candidate.
        cache: where it is kept.
        calibration: the calibration split, for the modes that are calibrated.
        format: "tflite" or "onnx".

    Raises:
        QuantizeError: no such mode, not in that format, no calibration texts, or its tool failed.
        ConvertError: the float32 file could not be made.
    """
    if mode not in MODES:
        raise QuantizeError(f"unknown mode {mode!r}; there are {', '.join(MODES)}")
    try:
        chosen = MODES[mode].in_format(format)
    except QuantizeError as error:
        raise QuantizeError(f"mode {mode}: {error}") from None
    if chosen.calibrated and calibration is None:
        raise QuantizeError(f"{mode} is calibrated, and there are no calibration texts")
    inputs = chosen.inputs(checkpoint, calibration)
    converter = import_module(_CONVERTERS[format])
    name = converter.MODEL_FILE
    source = converter.float32(checkpoint, cache).path
    if chosen.build is None:
        return Path(source / name)
    make = chosen.build

    def write(folder: Path) -> None:
        print(f"quantizing {checkpoint.name}: {mode}", flush=True)
        (folder / name).write_bytes(make(Context(checkpoint, source / name, calibration)))

    artifact = cache.get_or_build(
        mode if format == TFLITE else f"{mode}_{format}",
        {"from": source.name, "tools": {tool: version(tool) for tool in chosen.tools}, **inputs},
        write,
        code=[f"{__name__}.{mode}"],
    )
    return artifact.path / name


def mode_of(contents: Contents) -> str | None:
    """Return the first mode whose dtypes a model file has; None if no mode has them."""
    for name, mode in MODES.items():
        if any(not each.dtype_faults(contents) for each in (mode, *mode.variants.values())):
            return name
    return None
