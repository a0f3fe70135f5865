"""Files of one operator, taken out of a model file, so that what it costs can be measured alone.

A file holds the operator several times, each time with inputs and outputs of its own. The cost of
one operator is what a file of five costs above a file of one, divided by four. What a run of any
file costs is so taken off.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from models.errors import ModelFileError
from models.tflite.flatbuffer import IDENTIFIER, dtype_of, operator_name, shape_of

_LAYER = re.compile(r"\.layer\.(\d+)\.")
_OUTSIDE = "outside the layers"


@dataclass
class OperatorKind:
    """Operators that differ in nothing that costs time: type, options, shapes and dtypes.

    Attributes:
        name: of the builtin operator, such as "FULLY_CONNECTED".
        inputs, outputs: dtype and shape of each tensor, such as "float32 24x512".
        operator: one of them, an ``OperatorT``.
        layers: how many of them each layer has. Empty where the file names no tensor.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operator: Any
    layers: Counter[str] = field(default_factory=Counter)
    count: int = 0


def graph_of(model: Any, length: int | None) -> tuple[Any, str, int]:
    """Return the graph of a signature, its key, and its length in tokens.

    Args:
        model: a ``ModelT``.
        length: in tokens; None: the shortest.

    Raises:
        ModelFileError: there is no signature, or none of this length.
    """
    graphs = {}
    for definition in model.signatureDefs or ():
        graph = model.subgraphs[definition.subgraphIndex]
        tokens = max(shape_of(graph.tensors[entry.tensorIndex])[-1] for entry in definition.inputs)
        graphs[tokens] = (graph, definition.signatureKey.decode())
    if not graphs:
        raise ModelFileError("the file has no signature, so no graph to profile")
    chosen = min(graphs) if length is None else length
    if chosen not in graphs:
        there = ", ".join(map(str, sorted(graphs)))
        raise ModelFileError(f"the file has no signature of {length} tokens; there are {there}")
    return (*graphs[chosen], chosen)


def kinds(model: Any, graph: Any) -> list[OperatorKind]:
    """Return the kinds of operators of a graph, in the order of their first."""
    found: dict[Any, OperatorKind] = {}
    computed = _computed(graph)
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        options = operator.builtinOptions
        said = sorted((k, str(v)) for k, v in vars(options).items()) if options else ()
        inputs = [(_described(graph, i), i in computed) for i in operator.inputs]
        outputs = [_described(graph, i) for i in operator.outputs]
        key = str((operator.opcodeIndex, said, inputs, outputs))
        kind = found.get(key)
        if kind is None:
            shown = tuple(text for text, _ in inputs if text), tuple(outputs)
            kind = found[key] = OperatorKind(operator_name(code), *shown, operator)
        kind.count += 1
        if name := graph.tensors[operator.outputs[0]].name:
            layer = _LAYER.search(name.decode())
            kind.layers[f"layer {layer[1]}" if layer else _OUTSIDE] += 1
    return list(found.values())


def file_of(model: Any, graph: Any, operator: Any, copies: int) -> bytes:
    """Return a FlatBuffer with ``copies`` of an operator, which share its constants."""
    computed = _computed(graph)
    file, main = schema.ModelT(), schema.SubGraphT()
    file.version, file.subgraphs = 3, [main]
    file.operatorCodes = [model.operatorCodes[operator.opcodeIndex]]
    file.buffers = [schema.BufferT()]  # the first is empty by the schema
    main.tensors, main.inputs, main.outputs, main.operators = [], [], [], []

    def added(index: int) -> int:
        tensor = copy.copy(graph.tensors[index])
        if index in computed:
            tensor.buffer = 0
        else:
            data = schema.BufferT()
            data.data = model.buffers[tensor.buffer].data
            file.buffers.append(data)
            tensor.buffer = len(file.buffers) - 1
        main.tensors.append(tensor)
        return len(main.tensors) - 1

    constants = {i: added(i) for i in sorted({*operator.inputs} - computed - {-1})}
    for _ in range(copies):
        repeated = copy.copy(operator)
        own = {i: added(i) for i in sorted({*operator.inputs} & computed)}
        places = {-1: -1} | constants | own
        repeated.opcodeIndex, repeated.intermediates = 0, None
        repeated.inputs = [places[i] for i in operator.inputs]
        repeated.outputs = [added(i) for i in operator.outputs]
        main.inputs += own.values()
        main.outputs += repeated.outputs
        main.operators.append(repeated)
    builder = flatbuffers.Builder()
    builder.Finish(file.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _computed(graph: Any) -> set[int]:
    return set(graph.inputs) | {i for operator in graph.operators for i in operator.outputs}


def _described(graph: Any, index: int) -> str:
    if index < 0:
        return ""
    tensor = graph.tensors[index]
    return f"{dtype_of(tensor)} {'x'.join(map(str, shape_of(tensor)))}".strip()
