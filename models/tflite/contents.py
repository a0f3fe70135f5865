"""Read what is in a FlatBuffer of TensorFlow Lite (`models.contents`)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from models.contents import SMALL, Contents, Signature, Tensors
from models.errors import ModelFileError
from models.tflite.flatbuffer import dtype_of, mask_paths, operator_name, shape_of, unpack

_PRODUCTS = {"FULLY_CONNECTED", "BATCH_MATMUL"}
_INTEGERS = {"int8": (-128, 127), "int16": (-32768, 32767)}


def can_read() -> bool:
    """Return whether the schema, which ai-edge-litert carries, and flatbuffers are installed."""
    try:
        from ai_edge_litert import schema_py_generated  # noqa: F401
    except ImportError:
        return False
    return True


def read(path: Path) -> Contents:
    """Return what a FlatBuffer contains.

    Raises:
        ModelFileError: empty, truncated, damaged, or not a FlatBuffer of TensorFlow Lite.
    """
    content = path.read_bytes()
    model = unpack(content, path)
    try:
        return _contents(model, len(content))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # A damaged index, or an operator or dtype that is newer than the schema.
        raise ModelFileError(f"{path}: damaged ({type(error).__name__}: {error})") from None


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
                shape = shape_of(tensor)
                numbers += int(np.prod(shape))
                weight_bytes[dtype_of(tensor)] += size
                if len(shape) > 1 and np.prod(shape) >= SMALL:
                    large[dtype_of(tensor)] += 1
    products = [
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
        dict(Counter(dtype_of(tensor) for tensor in products)),
        _mask_ranges(model),
        tuple(_signature(model, definition) for definition in model.signatureDefs or ()),
    )


def _mask_ranges(model: Any) -> tuple[tuple[float, float], ...]:
    ranges = (
        _range(graph.tensors[n])
        for graph, path, _ in mask_paths(model)
        for n in path
        if n not in graph.inputs
    )
    return tuple(bounds for bounds in ranges if bounds)


def _range(tensor: Any) -> tuple[float, float] | None:
    scales = tensor.quantization and tensor.quantization.scale
    integers = _INTEGERS.get(dtype_of(tensor))
    if scales is None or len(scales) != 1 or not integers:
        return None
    zero = int(tensor.quantization.zeroPoint[0])
    lower, upper = (float((n - zero) * scales[0]) for n in integers)
    return lower, upper


def _length(data: Any) -> int:
    return 0 if data is None else len(data)


def _signature(model: Any, definition: Any) -> Signature:
    tensors = model.subgraphs[definition.subgraphIndex].tensors

    def described(entries: Any) -> Tensors:
        return {
            entry.name.decode(): (dtype_of(tensor), shape_of(tensor))
            for entry in entries
            for tensor in [tensors[entry.tensorIndex]]
        }

    return Signature(
        definition.signatureKey.decode(),
        described(definition.inputs),
        described(definition.outputs),
    )
