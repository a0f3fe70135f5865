"""What one tweet costs by the FlatBuffer itself: its arithmetic, and the bytes it has to read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ai_edge_litert.schema_py_generated import TensorType

from models.flatbuffer import operator_name, unpack

# Of an element; a type that is missing here (text, resources) has no fixed size and counts nothing.
_BITS = {
    TensorType.INT4: 4, TensorType.INT8: 8, TensorType.UINT8: 8, TensorType.BOOL: 8,
    TensorType.INT16: 16, TensorType.FLOAT16: 16, TensorType.INT32: 32, TensorType.FLOAT32: 32,
    TensorType.INT64: 64, TensorType.FLOAT64: 64,
}  # fmt: skip


@dataclass(frozen=True)
class Operations:
    """Of one invocation of a signature.

    Attributes:
        arithmetic: operations, two for each multiplication that is added up (in FULLY_CONNECTED
            and BATCH_MATMUL). Element by element there are few more: 2% in MobileBERT.
        weight_bytes: of the constants it reads; of a table only the rows it looks up.
        activation_bytes: written and read once each, between operators.
    """

    arithmetic: int
    weight_bytes: int
    activation_bytes: int


def operations(path: Path) -> dict[int, Operations]:
    """What each signature does, by its length in tokens.

    Raises:
        FlatBufferError: no whole FlatBuffer.
    """
    model = unpack(path.read_bytes(), path)
    counted = {}
    for definition in model.signatureDefs or ():
        graph = model.subgraphs[definition.subgraphIndex]
        length = max(int(graph.tensors[entry.tensorIndex].shape[-1]) for entry in definition.inputs)
        counted[length] = _count(model, graph)
    return dict(sorted(counted.items()))


def _count(model: Any, graph: Any) -> Operations:
    arithmetic, activation_bytes = 0, 0
    read: dict[int, int] = {}  # bytes by buffer: what is read twice is still one weight
    for operator in graph.operators:
        name = operator_name(model.operatorCodes[operator.opcodeIndex])
        inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
        outputs = [graph.tensors[i] for i in operator.outputs]
        if name in ("FULLY_CONNECTED", "BATCH_MATMUL"):
            arithmetic += 2 * prod(map(int, outputs[0].shape)) * _summed(name, operator, inputs)
        looked_up = name in ("EMBEDDING_LOOKUP", "GATHER")
        for tensor in inputs:
            size = _bytes(tensor, tensor.shape)
            if not _is_constant(model.buffers[tensor.buffer]):
                activation_bytes += size
            elif looked_up and len(tensor.shape) > 1:  # rows, in the table's dtype
                read[tensor.buffer] = min(size, _bytes(tensor, outputs[0].shape))
            else:
                read[tensor.buffer] = size
        activation_bytes += sum(_bytes(tensor, tensor.shape) for tensor in outputs)
    return Operations(arithmetic, sum(read.values()), activation_bytes)


def _summed(name: str, operator: Any, inputs: list[Any]) -> int:
    """How many products one element of the output is the sum of."""
    if name == "FULLY_CONNECTED":  # weights are [outputs, inputs]
        return int(inputs[1].shape[-1])
    return int(inputs[0].shape[-2 if operator.builtinOptions.adjX else -1])


def _bytes(tensor: Any, shape: Any) -> int:
    return prod(map(int, shape)) * _BITS.get(tensor.type, 0) // 8


def _is_constant(buffer: Any) -> bool:
    return buffer.offset > 1 or (buffer.data is not None and len(buffer.data) > 0)
