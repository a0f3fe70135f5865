"""The arithmetic of one inference, and the bytes that it reads and writes, by the FlatBuffer."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from models.tflite.flatbuffer import dtype_of, operator_name, unpack

# Bits of an element where they are not those of numpy's dtype of the name.
_BITS = {"int4": 4, "int2": 2, "string": 0, "resource": 0, "variant": 0}


@dataclass(frozen=True)
class Operations:
    """The counts of one inference with a signature.

    Attributes:
        arithmetic: operations, two for each multiply-accumulate (in FULLY_CONNECTED and
            BATCH_MATMUL). Elementwise operators add little: 2% in MobileBERT.
        weight_bytes: of the constants that it reads; of a table only the rows that it looks up.
        activation_bytes: of what is written and read between operators.
    """

    arithmetic: int
    weight_bytes: int
    activation_bytes: int


def operations(path: Path) -> dict[int, Operations]:
    """Return the counts of each signature, by its length in tokens.

    Raises:
        ModelFileError: damaged, or not a FlatBuffer of TensorFlow Lite.
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
    read: dict[int, int] = {}  # bytes by buffer: a weight that is read twice counts once
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
    """Return how many products are summed in one element of the output."""
    if name == "FULLY_CONNECTED":  # weights are [outputs, inputs]
        return int(inputs[1].shape[-1])
    return int(inputs[0].shape[-2 if operator.builtinOptions.adjX else -1])


def _bytes(tensor: Any, shape: Any) -> int:
    dtype = dtype_of(tensor)
    bits = _BITS[dtype] if dtype in _BITS else 8 * np.dtype(dtype).itemsize
    return prod(map(int, shape)) * bits // 8


def _is_constant(buffer: Any) -> bool:
    return buffer.offset > 1 or (buffer.data is not None and len(buffer.data) > 0)
