"""Read what is in a FlatBuffer of TensorFlow Lite (`models.contents`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.contents import SMALL, Contents, Signature, Tensors
from models.tflite.flatbuffer import damage, dtype_of, mask_paths, operator_name, shape_of, unpack

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
    with damage(path):
        return _contents(model, len(content))


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
        tuple(_signature(model, definition) for definition in model.signatureDefs or ())
        or (_first_graph(model),),
        tuple(entry.name.decode() for entry in model.metadata or () if entry.name),
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
    integers, scale = _INTEGERS.get(dtype_of(tensor)), _scale(tensor)
    if not scale or not integers:
        return None
    lower, upper = ((n - scale[1]) * scale[0] for n in integers)
    return lower, upper


def _scale(tensor: Any) -> tuple[float, int] | None:
    """Return the one scale of a tensor, and its zero point; None without fixed scales."""
    scales = tensor.quantization and tensor.quantization.scale
    if scales is None or len(scales) != 1:
        return None
    return float(scales[0]), int(tensor.quantization.zeroPoint[0])


def _length(data: Any) -> int:
    return 0 if data is None else len(data)


def _signature(model: Any, definition: Any) -> Signature:
    tensors = model.subgraphs[definition.subgraphIndex].tensors
    inputs, outputs = (
        {entry.name.decode(): tensors[entry.tensorIndex] for entry in entries}
        for entries in (definition.inputs, definition.outputs)
    )
    return _of_tensors(definition.signatureKey.decode(), inputs, outputs)


def _first_graph(model: Any) -> Signature:
    """Return what a runtime runs of a file without signatures."""
    graph = model.subgraphs[0]
    inputs, outputs = (
        {(graph.tensors[n].name or b"").decode(): graph.tensors[n] for n in numbers}
        for numbers in (graph.inputs, graph.outputs)
    )
    return replace(_of_tensors("main", inputs, outputs), declared=False)


def _of_tensors(key: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Signature:
    def described(tensors: dict[str, Any]) -> Tensors:
        return {name: (dtype_of(each), _length_shape(each)) for name, each in tensors.items()}

    scales = {name: _scale(each) for name, each in outputs.items() if "int" in dtype_of(each)}
    return Signature(
        key,
        described(inputs),
        described(outputs),
        {name: scale for name, scale in scales.items() if scale},
    )


def _length_shape(tensor: Any) -> tuple[int | None, ...]:
    """Return a shape. A first dimension of any size holds one text; another of any size is None."""
    shape, signature = shape_of(tensor), tensor.shapeSignature
    if signature is None or len(signature) != len(shape):
        return shape
    return tuple(
        None if any_ == -1 and axis else size
        for axis, (size, any_) in enumerate(zip(shape, signature, strict=True))
    )
