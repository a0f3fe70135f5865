"""Write a FlatBuffer again: with whatever is equal stored once, with one signature, or with a bias
wherever a runtime reads one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from models.errors import ModelFileError
from models.tflite.flatbuffer import IDENTIFIER, dtype_of, hold_buffers, operator_name, unpack


class _DeduplicatingBuilder(flatbuffers.Builder):
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


class _PackedOnce:
    """An object of the schema that is written once, however many tables point to it."""

    def __init__(self, original: Any) -> None:
        self._original, self._offset = original, None

    def Pack(self, builder: flatbuffers.Builder) -> Any:
        if self._offset is None:
            self._offset = self._original.Pack(builder)
        return self._offset


def share(content: bytes) -> bytes:
    """Return the same model with whatever is equal stored once.

    Each signature is a subgraph of its own and repeats every operator, weight tensor, scale and
    zero point of the others: a fifth of an int8 MobileBERT with four signatures.
    """
    written: dict[Any, _PackedOnce] = {}

    def once(original: Any) -> _PackedOnce:
        return written.setdefault(_key(original), _PackedOnce(original))

    def change(model: Any) -> None:
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                # Signatures refer to their inputs by index; a name only numbers the signature.
                tensor.name = None
                tensor.quantization = tensor.quantization and once(tensor.quantization)
            graph.tensors = [once(tensor) for tensor in graph.tensors]
            graph.operators = [once(operator) for operator in graph.operators]

    return rewritten(content, change)


def rewritten(content: bytes, change: Callable[[Any], None]) -> bytes:
    """Return the same model after ``change`` of the schema's objects (``ModelT``)."""
    model = unpack(content, Path("model"))
    hold_buffers(model, content)
    change(model)
    builder = _DeduplicatingBuilder(len(content) + 1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def one_signature(content: bytes, key: str) -> bytes:
    """Return the same model with one of its signatures.

    Raises:
        ModelFileError: it has no signature ``key``.
    """

    def change(model: Any) -> None:
        chosen = [s for s in model.signatureDefs or () if s.signatureKey.decode() == key]
        if not chosen:
            names = ", ".join(s.signatureKey.decode() for s in model.signatureDefs or ())
            raise ModelFileError(f"no signature {key}; there are {names or 'none'}")
        model.subgraphs = [model.subgraphs[chosen[0].subgraphIndex]]
        chosen[0].subgraphIndex = 0
        model.signatureDefs = chosen

    return rewritten(content, change)


def with_biases(content: bytes) -> bytes:
    """Return the same model, in which every int8 FULLY_CONNECTED without a bias has one of zeros.

    No output changes. tflite-runtime 2.14 on aarch64 reads a bias there in any case, and crashes
    (docs/explanation/emulation.md).
    """

    def change(model: Any) -> None:
        zeros: dict[int, int] = {}  # by length, the buffer
        for graph in model.subgraphs:
            for operator in graph.operators:
                if operator_name(model.operatorCodes[operator.opcodeIndex]) != "FULLY_CONNECTED":
                    continue
                activation, table = (graph.tensors[i] for i in operator.inputs[:2])
                if dtype_of(activation) != "int8" or (operator.inputs[2:] >= 0).any():
                    continue
                length = int(table.shape[0])
                if length not in zeros:
                    zeros[length] = len(model.buffers)
                    model.buffers.append(schema.BufferT(data=np.zeros(4 * length, np.uint8)))
                scales = activation.quantization.scale * table.quantization.scale
                graph.tensors.append(
                    schema.TensorT(
                        shape=np.array([length], np.int32),
                        type=schema.TensorType.INT32,
                        buffer=zeros[length],
                        quantization=schema.QuantizationParametersT(
                            scale=scales, zeroPoint=np.zeros(len(scales), np.int64)
                        ),
                    )
                )
                last = len(graph.tensors) - 1
                operator.inputs = np.array([*operator.inputs[:2], last], np.int32)

    return rewritten(content, change)


def _key(value: Any) -> Any:
    """Return a key that is equal for objects of the schema with equal content."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, list):
        return tuple(map(_key, value))
    if isinstance(value, _PackedOnce):
        return id(value)
    if hasattr(value, "__dict__"):
        return type(value), tuple((name, _key(field)) for name, field in vars(value).items())
    return value
