"""What is in a FlatBuffer, read from the file: never assumed from how it was made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
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


class _SharingBuilder(flatbuffers.Builder):
    """A builder that writes equal vectors once; every table that needs one points to it."""

    def __init__(self, initial_size: int) -> None:
        super().__init__(initial_size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            if x.dtype == np.uint8:  # a buffer: the schema asks for 16 bytes of alignment
                self.StartVector(1, x.size, 16)
                head = self.Head() - x.size
                self.Bytes[head : head + x.size] = key[1]
                self.head = head
                self._written[key] = self.EndVector()
            else:
                self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


class _Once:
    """An object of the schema that is written once, however many tables point to it."""

    def __init__(self, original: Any) -> None:
        self._original, self._offset = original, None

    def Pack(self, builder: flatbuffers.Builder) -> Any:
        if self._offset is None:
            self._offset = self._original.Pack(builder)
        return self._offset


def share(content: bytes) -> bytes:
    """The same model with whatever is equal stored once.

    Each signature is a subgraph of its own and repeats every operator, weight tensor, scale and
    zero point of the others: a fifth of an int8 MobileBERT with four signatures.
    """
    model = unpack(content, Path("quantized model"))
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    written: dict[Any, _Once] = {}

    def once(original: Any) -> _Once:
        return written.setdefault(_key(original), _Once(original))

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            # The signatures name what is fed by index; the suffix only numbers the signature.
            tensor.name = None
            tensor.quantization = tensor.quantization and once(tensor.quantization)
        graph.tensors = [once(tensor) for tensor in graph.tensors]
        graph.operators = [once(operator) for operator in graph.operators]
    builder = _SharingBuilder(len(content) + 1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _key(value: Any) -> Any:
    """Equal for objects of the schema with equal content."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, list):
        return tuple(map(_key, value))
    if isinstance(value, _Once):
        return id(value)
    if hasattr(value, "__dict__"):
        return type(value), tuple((name, _key(field)) for name, field in vars(value).items())
    return value


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
