"""TensorFlow Lite's FlatBuffer as the objects of its schema, which ai-edge-litert carries."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ModelFileError
from models.input_names import MASK, meaning

MODEL_FILE = "model.tflite"  # its name in the cache
IDENTIFIER = b"TFL3"
# Operators between the mask of 1 and 0 and what is added to the scores; they have constants alone.
_ELEMENTWISE = {
    *("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "SLICE", "STRIDED_SLICE", "BROADCAST_TO"),
    *("CAST", "QUANTIZE", "DEQUANTIZE", "ADD", "SUB", "MUL"),
}


def unpack(content: bytes, path: Path) -> Any:
    """Return a FlatBuffer as the schema's ``ModelT``; ``path`` is for the message.

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
        said = f"{type(error).__name__}: {error!s:.100}".splitlines()[0]
        raise ModelFileError(f"{path}: damaged ({said})") from None
    if not model.subgraphs or max(ends, default=0) > len(content):
        raise ModelFileError(f"{path}: truncated: it names data past its {len(content)} bytes")
    return model


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Raise ModelFileError with the file's name for whatever a damaged file raises within.

    Such a file has a wrong index, or an operator or dtype that is newer than the schema.
    """
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        said = f"{type(error).__name__}: {error!s:.100}".splitlines()[0]
        raise ModelFileError(f"{path}: damaged ({said})") from None


def hold_buffers(model: Any, content: bytes) -> None:
    """Take large constants, which lie behind the FlatBuffer proper, into it."""
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0


def dtype_of(tensor: Any) -> str:
    """Return the dtype of a tensor, by numpy's name where numpy has it."""
    return _names("TensorType")[tensor.type].lower()


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Return the shape of a tensor; () of a scalar."""
    return () if tensor.shape is None else tuple(int(n) for n in tensor.shape)


def operator_name(code: Any) -> str:
    """Return the builtin operator's name of an operator code."""
    # Codes past 127 are in the newer field only.
    return _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]


def mask_paths(model: Any) -> Iterator[tuple[Any, dict[int, None], set[int]]]:
    """Yield of each signature its graph, the mask's tensors in order, and all computed tensors.

    The mask's tensors are those between the input ``attention_mask`` and the scores.
    """
    for definition in model.signatureDefs or ():
        graph = model.subgraphs[definition.subgraphIndex]
        inputs = [i.tensorIndex for i in definition.inputs if meaning(i.name.decode()) == MASK]
        path = dict.fromkeys(inputs)
        computed = set(graph.inputs) | {n for o in graph.operators for n in o.outputs}
        for operator in graph.operators:
            operands = set(operator.inputs) & computed
            name = operator_name(model.operatorCodes[operator.opcodeIndex])
            if operands and operands <= path.keys() and name in _ELEMENTWISE:
                path |= dict.fromkeys(operator.outputs)
        yield graph, path, computed


def masked_scores(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each tensor of attention scores, and its sum with the mask, of every signature."""
    for graph, path, computed in mask_paths(model):
        for operator in graph.operators:
            name = operator_name(model.operatorCodes[operator.opcodeIndex])
            scores = set(operator.inputs) & computed - path.keys()
            if name == "ADD" and scores and not path.keys().isdisjoint(operator.inputs):
                yield graph.tensors[scores.pop()], graph.tensors[operator.outputs[0]]


@functools.cache
def _names(enumeration: str) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    members = vars(getattr(schema, enumeration)).items()
    return {value: name for name, value in members if isinstance(value, int)}
