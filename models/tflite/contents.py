"""What is in a FlatBuffer, read from the file: never assumed from how it was made.

A board does without the schema that reads it. There the contents are those that were read where
the file was bundled, recorded next to it with the file's SHA-256, and held against that.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from models.checkpoints.reference_outputs import file_sha256
from models.errors import ModelFileError

MODEL_FILE = "model.tflite"  # its name in the cache
IDENTIFIER = b"TFL3"
# A constant of one dimension or fewer elements is a bias, a norm or a shape: float32 or int32.
SMALL = 4096
# What turns the mask of 1 and 0 into what is added to the scores, with constants alone.
_ON_THE_WAY = {"RESHAPE", "CAST", "QUANTIZE", "DEQUANTIZE", "ADD", "SUB", "MUL", "EXPAND_DIMS"}
_PRODUCTS = {"FULLY_CONNECTED", "BATCH_MATMUL"}
_INTEGERS = {"int8": (-128, 127), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class Signature:
    """One entry point: its key, its inputs and outputs as name → (dtype, shape)."""

    key: str
    inputs: dict[str, tuple[str, tuple[int, ...]]]
    outputs: dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Contents:
    """What a FlatBuffer contains.

    Attributes:
        size_bytes: of the file.
        operators: ``NAME vN`` for every operator it uses, sorted.
        numbers: how many all constants hold, the shared ones counted once.
        weight_bytes: their bytes by dtype.
        large_weights: how many tables of at least `SMALL` elements have each dtype.
        activations: of all signatures, how many products with weights or of activations have each
            dtype: what FULLY_CONNECTED and BATCH_MATMUL compute.
        mask_ranges: least and greatest number that each integer tensor can hold on the attention
            mask's way from the input to the scores, of every signature; none without fixed scales.
            Calibration without padding, or with another input in the mask's place, leaves a range
            of nothing: the mask is then ignored. A mask of -10000 leaves one next to which scores
            are nothing.
        signatures: its entry points.
    """

    size_bytes: int
    operators: tuple[str, ...]
    numbers: int
    weight_bytes: dict[str, int]
    large_weights: dict[str, int]
    activations: dict[str, int]
    mask_ranges: tuple[tuple[float, float], ...]
    signatures: tuple[Signature, ...]


def inspect(path: Path) -> Contents:
    """Read a FlatBuffer's contents.

    Raises:
        ModelFileError: empty, truncated, or not a FlatBuffer of TensorFlow Lite; or there is no
            schema here, and no record of this very file.
    """
    if _schema() is None:
        return _recorded(path)
    content = path.read_bytes()
    model = unpack(content, path)
    try:
        return _contents(model, len(content))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # A damaged index, or an operator or dtype that is newer than the schema.
        raise ModelFileError(f"{path}: not whole ({type(error).__name__}: {error})") from None


def _contents(model: Any, size_bytes: int) -> Contents:
    weight_bytes: Counter[str] = Counter()
    large: Counter[str] = Counter()
    seen: set[int] = set()
    numbers = 0
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            buffer = model.buffers[tensor.buffer]
            size = buffer.size if buffer.offset > 1 else _length(buffer.data)
            if size and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                shape = _shape(tensor)
                numbers += int(np.prod(shape))
                weight_bytes[dtype_of(tensor)] += size
                if len(shape) > 1 and np.prod(shape) >= SMALL:
                    large[dtype_of(tensor)] += 1
    produced = [
        graph.tensors[operator.outputs[0]]
        for graph in model.subgraphs
        for operator in graph.operators
        if operator_name(model.operatorCodes[operator.opcodeIndex]) in _PRODUCTS
    ]
    return Contents(
        size_bytes,
        tuple(sorted(f"{operator_name(code)} v{code.version}" for code in model.operatorCodes)),
        numbers,
        dict(weight_bytes),
        dict(large),
        dict(Counter(dtype_of(tensor) for tensor in produced)),
        _mask_ranges(model),
        tuple(_signature(model, definition) for definition in model.signatureDefs or ()),
    )


def record(path: Path) -> Path:
    """Write what is in a FlatBuffer next to it, for `inspect` where there is no schema."""
    body = {"sha256": file_sha256(path), "contents": asdict(inspect(path))}
    _record_of(path).write_text(json.dumps(body, indent=1) + "\n")
    return _record_of(path)


def _recorded(path: Path) -> Contents:
    try:
        body = json.loads(_record_of(path).read_text())
        digest, found = body["sha256"], body["contents"]
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(
            f"{path}: no record of what is in it ({error!r}), and nothing here that reads it: "
            "install ai-edge-litert, or judge a bundle"
        ) from None
    if digest != file_sha256(path):
        raise ModelFileError(f"{path}: {_record_of(path).name} is about another file")
    signatures = [
        Signature(
            entry["key"],
            *(
                {name: (dtype, tuple(shape)) for name, (dtype, shape) in entry[side].items()}
                for side in ("inputs", "outputs")
            ),
        )
        for entry in found.pop("signatures")
    ]
    operators = tuple(found.pop("operators"))
    ranges = tuple((least, most) for least, most in found.pop("mask_ranges"))
    return Contents(**found, operators=operators, mask_ranges=ranges, signatures=tuple(signatures))


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


@functools.cache
def _schema() -> ModuleType | None:
    """The schema that ai-edge-litert carries; None where it, or flatbuffers, is not installed."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        return None
    return schema_py_generated


@functools.cache
def _names(enumeration: str) -> dict[int, str]:
    members = vars(getattr(_schema(), enumeration)).items()
    return {value: name for name, value in members if isinstance(value, int)}


def dtype_of(tensor: Any) -> str:
    """The dtype of a tensor of the schema, as numpy names it where numpy has it."""
    return _names("TensorType")[tensor.type].lower()


def unpack(content: bytes, path: Path) -> Any:
    """The schema's own objects of a FlatBuffer; ``path`` is for the message.

    Raises:
        ModelFileError: empty, truncated, or not a FlatBuffer of TensorFlow Lite.
    """
    from ai_edge_litert import schema_py_generated as schema

    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise ModelFileError(f"{path}: {len(content)} bytes, not a FlatBuffer of TensorFlow Lite")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        ends = [b.offset + b.size for b in model.buffers if b.offset > 1]
    except Exception as error:  # a damaged offset can raise anything
        raise ModelFileError(f"{path}: not whole ({type(error).__name__}: {error})") from None
    if not model.subgraphs or max(ends, default=0) > len(content):
        raise ModelFileError(f"{path}: not whole: it names data past its {len(content)} bytes")
    return model


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(n) for n in tensor.shape)  # of a scalar


def masked_scores(model: Any) -> Iterator[tuple[Any, Any]]:
    """Of every signature, each tensor of scores and its sum with the mask."""
    for graph, way, computed in _mask_ways(model):
        for operator in graph.operators:
            name = operator_name(model.operatorCodes[operator.opcodeIndex])
            scores = set(operator.inputs) & computed - way.keys()
            if name == "ADD" and scores and not way.keys().isdisjoint(operator.inputs):
                yield graph.tensors[scores.pop()], graph.tensors[operator.outputs[0]]


def _mask_ranges(model: Any) -> tuple[tuple[float, float], ...]:
    ranges = (
        _range(graph.tensors[n])
        for graph, way, _ in _mask_ways(model)
        for n in way
        if n not in graph.inputs
    )
    return tuple(bounds for bounds in ranges if bounds)


def _mask_ways(model: Any) -> Iterator[tuple[Any, dict[int, None], set[int]]]:
    """Of every signature its graph, the tensors on the mask's way in order, and all computed."""
    for definition in model.signatureDefs or ():
        graph = model.subgraphs[definition.subgraphIndex]
        inputs = [i.tensorIndex for i in definition.inputs if b"attention_mask" in i.name]
        way = dict.fromkeys(inputs)
        computed = set(graph.inputs) | {n for o in graph.operators for n in o.outputs}
        for operator in graph.operators:
            met = set(operator.inputs) & computed
            name = operator_name(model.operatorCodes[operator.opcodeIndex])
            if met and met <= way.keys() and name in _ON_THE_WAY:
                way |= dict.fromkeys(operator.outputs)
        yield graph, way, computed


def _range(tensor: Any) -> tuple[float, float] | None:
    scales = tensor.quantization and tensor.quantization.scale
    integers = _INTEGERS.get(dtype_of(tensor))
    if scales is None or len(scales) != 1 or not integers:
        return None
    zero = int(tensor.quantization.zeroPoint[0])
    least, most = (float((n - zero) * scales[0]) for n in integers)
    return least, most


def _length(data: Any) -> int:
    return 0 if data is None else len(data)


def operator_name(code: Any) -> str:
    """The builtin operator's name of an operator code."""
    # Codes past 127 stand in the newer field only.
    return _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _signature(model: Any, definition: Any) -> Signature:
    tensors = model.subgraphs[definition.subgraphIndex].tensors

    def described(entries: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
        return {
            entry.name.decode(): (dtype_of(tensor), _shape(tensor))
            for entry in entries
            for tensor in [tensors[entry.tensorIndex]]
        }

    return Signature(
        definition.signatureKey.decode(),
        described(definition.inputs),
        described(definition.outputs),
    )
