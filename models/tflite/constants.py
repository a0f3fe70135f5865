"""The constants of a FlatBuffer as numbers, and how they differ from those of another.

A quantized weight is the float32 weight rounded to its scale. So each row of a table has the
direction and the length of the float32 row, and is off by a third of a step in the mean. A row that
is not finite, zeroed, moved, or scaled otherwise is none of that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ModelFileError
from models.tflite.flatbuffer import dtype_of, hold_buffers, shape_of, unpack

# Constants of fewer numbers are shapes, axes and factors.
SMALLEST = 16
# Numbers of a constant that it is recognized by.
SAMPLE = 256
# The least correlation of a constant with the one it is made from; others have about 0.
SAME = 0.7
# Or the share of its rows that have such a correlation, where others are moved.
SAME_ROWS = 0.1
# Constants may be alike, as a bias and its sum with another: so many are tried.
CANDIDATES = 3
# Root mean square of what a row is off, in steps. Rounding has 0.29; 0.35 was met with clipping.
MAX_ERROR = 0.5
# How much longer or shorter a row may be, beside five times what rounding does.
MAX_SCALE = 0.01
SIGMAS = 5.0
# What half precision may be off, of the largest number of a row.
MAX_FLOAT_ERROR = 2e-3
_PACKED = {"int4": 4, "int2": 2}
_PLAIN = {"float32", "float16", "int8", "int16", "int32", "int64", "uint8"}


@dataclass(frozen=True)
class Constant:
    """One constant, as it is stored.

    Attributes:
        name: of its tensor.
        stored: the numbers, of axes longer than 1.
        scale, zero: of integers, what one step is and where zero lies; arrays that broadcast. Of
            floats 0.
    """

    name: str
    stored: np.ndarray
    scale: np.ndarray
    zero: np.ndarray

    def values(self) -> np.ndarray:
        """The numbers that it stands for, float32."""
        numbers = self.stored.astype(np.float32)
        if self.scale.any():
            numbers -= self.zero.astype(np.float32)
            numbers *= self.scale.astype(np.float32)
        return numbers


@dataclass(frozen=True)
class Difference:
    """What of a constant is not as in the file that it is made from.

    Attributes:
        name: of the constant there.
        rows: the rows that differ; all of one that is not found.
        what: "not finite", "scaled", "other numbers" or "not found".
        size: of the worst row: what its length is multiplied by, or what it is off in steps.
    """

    name: str
    rows: tuple[int, ...]
    what: str
    size: float = 0.0


def constants(path: Path) -> list[Constant]:
    """Return the constants of a FlatBuffer that have at least `SMALLEST` numbers, each once.

    Raises:
        ModelFileError: damaged, or not a FlatBuffer of TensorFlow Lite.
    """
    content = path.read_bytes()
    model = unpack(content, path)
    hold_buffers(model, content)
    try:
        return list(_constants(model))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: damaged ({type(error).__name__}: {error})") from None


def differences(file: Path, made_from: Path) -> tuple[int, list[Difference]]:
    """Compare a model file's constants with those of the float32 file that it is made from.

    They are recognized by their numbers, whatever their names, order and transposition.

    Returns:
        How many constants were compared, and what differs.

    Raises:
        ModelFileError: one of them is damaged.
    """
    by_shape: dict[tuple[int, ...], list[Constant]] = defaultdict(list)
    for constant in constants(file):
        by_shape[constant.stored.shape].append(constant)
    samples = {
        shape: np.stack([_direction(_sample(each.values())) for each in of_shape])
        for shape, of_shape in by_shape.items()
    }
    compared, unlike, used = 0, list[tuple[str, np.ndarray]](), set[tuple[Any, ...]]()
    for wanted in constants(made_from):
        values = wanted.values()
        if wanted.scale.any() or np.ptp(values) == 0:  # an index, or one number all over
            continue
        compared += 1
        name = _plain(wanted.name)
        matches = _matches(values, by_shape, samples)
        same = next((key for key, *of in matches if _difference(name, values, *of) is None), None)
        if same is None:
            unlike.append((name, values))
        else:
            used.add(same)
    found = []
    for name, values in unlike:  # layers may be alike: what another one has become is none of its
        left = (of for key, *of in _matches(values, by_shape, samples) if key not in used)
        differ = (_difference(name, values, *of) for of in left)
        found.append(next(filter(None, differ), Difference(name, (), "not found")))
    return compared, found


def _constants(model: Any) -> Iterator[Constant]:
    seen: set[int] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            shape, dtype = shape_of(tensor), dtype_of(tensor)
            count = int(np.prod(shape))
            if tensor.buffer in seen or data is None or not len(data) or count < SMALLEST:
                continue
            if dtype not in _PLAIN | _PACKED.keys():
                continue
            seen.add(tensor.buffer)
            raw = np.asarray(data, np.uint8)
            if dtype in _PACKED:
                numbers = _unpacked(raw, _PACKED[dtype])[:count]
            else:
                numbers = np.frombuffer(raw.tobytes(), dtype)
            scale, zero = _quantization(tensor, len(shape))
            if "int" in dtype and not scale.any():
                continue
            long = tuple(n for n in shape if n != 1)
            drop = tuple(axis for axis, n in enumerate(shape) if n == 1)
            yield Constant(
                (tensor.name or b"").decode(errors="replace"),
                numbers.reshape(shape).reshape(long),
                np.squeeze(scale, drop),
                np.squeeze(zero, drop),
            )


def _unpacked(raw: np.ndarray, bits: int) -> np.ndarray:
    """Return the signed integers of `bits` that bytes hold, the lowest bits first."""
    parts = [(raw >> shift) & (2**bits - 1) for shift in range(0, 8, bits)]
    numbers = np.stack(parts, 1).reshape(-1).astype(np.int8)
    return np.where(numbers >= 2 ** (bits - 1), numbers - 2**bits, numbers).astype(np.int8)


def _quantization(tensor: Any, axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and zero point of a constant; each has its number of axes."""
    given = tensor.quantization
    if given is None or given.scale is None or not len(given.scale):
        nothing = np.zeros((1,) * axes)
        return nothing, nothing
    shape = [1] * axes
    if len(given.scale) > 1:
        shape[given.quantizedDimension] = len(given.scale)
    scale = np.asarray(given.scale, np.float64).reshape(shape)
    zero = np.zeros_like(scale)
    if given.zeroPoint is not None and len(given.zeroPoint) == scale.size:
        zero = np.asarray(given.zeroPoint, np.float64).reshape(shape)
    return scale, zero


def _sample(values: np.ndarray, transposed: bool = False) -> np.ndarray:
    """Return some numbers of a constant, the same places of each of its shape."""
    count = min(values.size, SAMPLE)
    at = np.arange(count, dtype=np.int64) * 2654435761 % values.size
    if transposed:
        rows = values.shape[0]
        return np.asarray(values[at % rows, at // rows])
    return np.asarray(values.reshape(-1)[at])


def _matches(
    values: np.ndarray,
    by_shape: dict[tuple[int, ...], list[Constant]],
    samples: dict[tuple[int, ...], np.ndarray],
) -> Iterator[tuple[tuple[Any, ...], np.ndarray, np.ndarray]]:
    """Yield the key, the numbers and the steps of the constants that these may have become; the
    most alike first."""
    direction = _direction(_sample(values))
    of_shape = by_shape.get(values.shape, [])
    alike = samples[values.shape] @ direction if of_shape else np.zeros(0)
    if values.ndim == 2 and alike.max(initial=0.0) < SAME:
        turned = by_shape.get(values.shape[::-1], [])
        theirs = [_direction(_sample(each.values(), transposed=True)) for each in turned]
        if theirs and (found := np.stack(theirs) @ direction).max() >= SAME:
            for n in _likely(found):
                yield (values.shape[::-1], n), turned[n].values().T, turned[n].scale.T
            return
        alike = np.array([_share(values, each) >= SAME_ROWS for each in of_shape], float)
    for n in _likely(alike):
        yield (values.shape, n), of_shape[n].values(), of_shape[n].scale


def _likely(alike: np.ndarray) -> list[int]:
    """Return the first few indices of what is alike, the most alike first."""
    return [int(n) for n in np.argsort(-alike)[:CANDIDATES] if alike[n] >= SAME]


def _share(wanted: np.ndarray, constant: Constant) -> float:
    """Return the share of rows that a constant has in common with another of its shape."""
    found = np.nan_to_num(constant.values(), nan=0.0, posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(wanted, axis=1) * np.linalg.norm(found, axis=1)
    return float(((wanted * found).sum(1) > SAME * np.maximum(lengths, 1e-30)).mean())


def _direction(sample: np.ndarray) -> np.ndarray:
    """Return numbers as a vector of length 1; what is not finite counts as 0."""
    numbers = np.nan_to_num(sample.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(numbers / max(float(np.linalg.norm(numbers)), 1e-30))


def _difference(
    name: str, wanted: np.ndarray, found: np.ndarray, scale: np.ndarray
) -> Difference | None:
    """Return what of a constant differs by more than quantization does; None if nothing."""
    rows = len(wanted) if wanted.ndim > 1 else 1
    if broken := np.flatnonzero(~np.isfinite(found.reshape(rows, -1)).all(1)).tolist():
        return Difference(name, tuple(broken), "not finite")
    steps = np.broadcast_to(scale, wanted.shape).reshape(rows, -1).max(1)
    a, b = (x.reshape(rows, -1).astype(np.float64) for x in (wanted, found))
    width = a.shape[1]
    off = b - a
    if not steps.any():
        size = np.abs(off).max(1) / np.maximum(np.abs(a).max(1), 1e-6)
        worse = np.flatnonzero(size > MAX_FLOAT_ERROR).tolist()
        what = "other numbers"
    else:
        # Some quantizers cut the largest numbers of a row for finer steps: that is no scaling.
        half = steps[:, None] / 2
        kept = np.clip(a, b.min(1, keepdims=True) - half, b.max(1, keepdims=True) + half)
        lengths = np.maximum(np.linalg.norm(kept, axis=1), 1e-12)
        noise = steps / 12**0.5 / lengths
        factor = 1 + (kept * (b - kept)).sum(1) / lengths**2
        scaled = np.abs(factor - 1) > MAX_SCALE + SIGMAS * noise
        error = np.linalg.norm(off, axis=1) / width**0.5 / np.maximum(steps, 1e-12)
        other = error > MAX_ERROR
        what, size = ("scaled", factor) if scaled.any() else ("other numbers", error)
        worse = np.flatnonzero(scaled if scaled.any() else other).tolist()
    if not worse:
        return None
    worst = max(worse, key=lambda row: abs(float(size[row]) - (1 if what == "scaled" else 0)))
    return Difference(name, tuple(worse), what, float(size[worst]))


def _plain(name: str) -> str:
    """Return the checkpoint's own name of what a tensor's name lists."""
    parts = [part.partition("/") for part in name.split(";")]
    dense = [path for path, _, operation in parts if operation.startswith("MatMul")]
    named = [path for path, _, _ in parts if re.search(r"\w\.\w", path)]
    return (dense or named or [name])[-1]
