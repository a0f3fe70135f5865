"""What is in a model file, read from the file: never assumed from how it was made.

A board does without the packages that read it. There the contents are those that were read where
the bundle was made. They are recorded in a file next to the model file, with its SHA-256.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from common import atomic
from common.checksum import file_sha256
from models.errors import ModelFileError

# A constant of one dimension or fewer elements is a bias, a norm or a shape: float32 or int32.
SMALL = 4096

# Name → (dtype, shape). A length of None is any length.
Tensors = dict[str, tuple[str, tuple[int | None, ...]]]


@dataclass(frozen=True)
class Signature:
    """One entry point: its key, its inputs and its outputs.

    Attributes:
        scales: of each output of integers, the scale and the zero point that it is read with.
        declared: whether the file has it. A FlatBuffer without any has its first graph instead,
            with the names of that graph's tensors.
    """

    key: str
    inputs: Tensors
    outputs: Tensors
    scales: dict[str, tuple[float, int]] = field(default_factory=dict)
    declared: bool = True


@dataclass(frozen=True)
class Contents:
    """What a model file contains.

    Attributes:
        size_bytes: of the file.
        operators: ``NAME vN`` for every operator it uses, sorted.
        numbers: how many numbers its constants hold; a shared constant counts once.
        weight_bytes: bytes of the constants, by dtype.
        large_weights: how many tables of at least `SMALL` elements have each dtype.
        activations: how many matrix products compute each dtype, over all signatures. The products
            are those with weights and those of two activations.
        mask_ranges: minimum and maximum that each integer tensor can hold between the input
            ``attention_mask`` and the scores, over all signatures. Empty without fixed scales.
            Calibration without padding, or with another input as the mask, leaves an empty range,
            and the mask is ignored. A mask of -10000 leaves so wide a range that scores vanish.
        signatures: its entry points.
        metadata: names of what tools have appended, such as "TFLITE_METADATA".
    """

    size_bytes: int
    operators: tuple[str, ...]
    numbers: int
    weight_bytes: dict[str, int]
    large_weights: dict[str, int]
    activations: dict[str, int]
    mask_ranges: tuple[tuple[float, float], ...]
    signatures: tuple[Signature, ...]
    metadata: tuple[str, ...] = ()


def inspect(path: Path) -> Contents:
    """Return what a ``.tflite`` or an ``.onnx`` file contains.

    Raises:
        ModelFileError: empty, truncated, or of another format; or the package that reads it is not
            installed, and there is no record of this file.
    """
    name = "models.onnx.contents" if path.suffix == ".onnx" else "models.tflite.contents"
    reader = import_module(name)
    contents: Contents = reader.read(path) if reader.can_read() else _recorded(path)
    return contents


def record(path: Path) -> Path:
    """Write what a model file contains next to it, for `inspect` on a board. Return the record."""
    body = {"sha256": file_sha256(path), "contents": asdict(inspect(path))}
    atomic.write_text(_record_of(path), json.dumps(body, indent=1) + "\n")
    return _record_of(path)


def _recorded(path: Path) -> Contents:
    try:
        body = json.loads(_record_of(path).read_text())
        digest, contents = body["sha256"], body["contents"]
    except (OSError, ValueError, KeyError) as error:
        package = "onnx" if path.suffix == ".onnx" else "ai-edge-litert"
        raise ModelFileError(
            f"{path}: no record of its contents ({error!r}), and the package that reads it is not "
            f"installed: install {package}, or judge a bundle"
        ) from None
    if digest != file_sha256(path):
        raise ModelFileError(f"{path}: {_record_of(path).name} is about another file")

    def tensors(entries: Any) -> Tensors:
        return {name: (dtype, tuple(shape)) for name, (dtype, shape) in entries.items()}

    signatures = [
        Signature(
            entry["key"],
            tensors(entry["inputs"]),
            tensors(entry["outputs"]),
            {name: (scale, zero) for name, (scale, zero) in entry["scales"].items()},
            entry["declared"],
        )
        for entry in contents.pop("signatures")
    ]
    operators = tuple(contents.pop("operators"))
    ranges = tuple((least, most) for least, most in contents.pop("mask_ranges"))
    metadata = tuple(contents.pop("metadata"))
    return Contents(
        **contents,
        operators=operators,
        mask_ranges=ranges,
        signatures=tuple(signatures),
        metadata=metadata,
    )


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")
