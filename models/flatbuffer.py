"""What is in a FlatBuffer, read from the file: never assumed from how it was made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.errors import FlatBufferError

FLATBUFFER = "model.tflite"  # its name in the store
IDENTIFIER = b"TFL3"
_OPERATORS = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
_DTYPES = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
# A constant of one dimension or fewer elements is a bias, a norm or a shape: float32 or int32.
SMALL = 4096


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
        weight_bytes: bytes of constants by dtype, the shared ones counted once.
        large_weights: how many tables of at least `SMALL` elements have each dtype.
        activations: how many computed tensors of the first subgraph have each dtype.
        signatures: its entry points.
    """

    size_bytes: int
    operators: tuple[str, ...]
    weight_bytes: dict[str, int]
    large_weights: dict[str, int]
    activations: dict[str, int]
    signatures: tuple[Signature, ...]


def inspect(path: Path) -> Contents:
    """Read a FlatBuffer's contents.

    Raises:
        FlatBufferError: empty, truncated, or not a FlatBuffer of TensorFlow Lite.
    """
    content = path.read_bytes()
    model = unpack(content, path)
    weight_bytes: Counter[str] = Counter()
    large: Counter[str] = Counter()
    seen: set[int] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            buffer = model.buffers[tensor.buffer]
            size = buffer.size if buffer.offset > 1 else _length(buffer.data)
            if size and tensor.buffer not in seen:
                seen.add(tensor.buffer)
                weight_bytes[_DTYPES[tensor.type]] += size
                if len(tensor.shape) > 1 and np.prod(tensor.shape) >= SMALL:
                    large[_DTYPES[tensor.type]] += 1
    first = model.subgraphs[0]
    produced = [first.tensors[i] for operator in first.operators for i in operator.outputs]
    return Contents(
        len(content),
        tuple(sorted(f"{operator_name(code)} v{code.version}" for code in model.operatorCodes)),
        dict(weight_bytes),
        dict(large),
        dict(Counter(_DTYPES[tensor.type] for tensor in produced)),
        tuple(_signature(model, definition) for definition in model.signatureDefs or ()),
    )


def unpack(content: bytes, path: Path) -> Any:
    """The schema's own objects of a FlatBuffer; ``path`` is for the message.

    Raises:
        FlatBufferError: empty, truncated, or not a FlatBuffer of TensorFlow Lite.
    """
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise FlatBufferError(f"{path}: {len(content)} bytes, not a FlatBuffer of TensorFlow Lite")
    try:
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        ends = [b.offset + b.size for b in model.buffers if b.offset > 1]
    except Exception as error:  # a damaged offset can raise anything
        raise FlatBufferError(f"{path}: not whole ({type(error).__name__}: {error})") from None
    if not model.subgraphs or max(ends, default=0) > len(content):
        raise FlatBufferError(f"{path}: not whole: it names data past its {len(content)} bytes")
    return model


def _length(data: Any) -> int:
    return 0 if data is None else len(data)


def operator_name(code: Any) -> str:
    """The builtin operator's name of an operator code."""
    # Codes past 127 stand in the newer field only.
    return _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _signature(model: Any, definition: Any) -> Signature:
    tensors = model.subgraphs[definition.subgraphIndex].tensors

    def described(entries: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
        return {
            entry.name.decode(): (_DTYPES[tensor.type], tuple(int(n) for n in tensor.shape))
            for entry in entries
            for tensor in [tensors[entry.tensorIndex]]
        }

    return Signature(
        definition.signatureKey.decode(),
        described(definition.inputs),
        described(definition.outputs),
    )
