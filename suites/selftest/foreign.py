"""Model files as other toolchains make them, of one that was made here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from models.tflite.transformations import rewritten

METADATA = "TFLITE_METADATA"


def write(
    path: Path,
    content: bytes,
    names: Mapping[str, str],
    *,
    signature: bool = True,
    softmax: bool = False,
    scale: tuple[float, int] | None = None,
    longest: bool = False,
) -> Path:
    """Write one signature of a FlatBuffer as a file of its own, and return it.

    Args:
        path: where to.
        content: the FlatBuffer.
        names: what its inputs are called there, by what they are.
        signature: whether it has one; else its tensors have the names.
        softmax: whether it answers probabilities.
        scale: of its output as uint8, with the zero point.
        longest: whether it is the longest signature; else the shortest.
    """

    def change(model: Any) -> None:
        definition = (max if longest else min)(
            model.signatureDefs,
            key=lambda each: (
                model.subgraphs[each.subgraphIndex].tensors[each.inputs[0].tensorIndex].shape[-1]
            ),
        )
        graph = model.subgraphs[definition.subgraphIndex]
        for each in definition.inputs:
            each.name = names[each.name.decode()].encode()
            graph.tensors[each.tensorIndex].name = each.name
        (output,) = definition.outputs
        output.name = b"output_0"
        if softmax:
            options = schema.SoftmaxOptionsT()
            options.beta = 1.0
            _append(model, graph, "SOFTMAX", options)
        if scale:
            _append(model, graph, "QUANTIZE", schema.QuantizeOptionsT())
            tensor = graph.tensors[graph.outputs[0]]
            tensor.type = schema.TensorType.UINT8
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale[0]], [scale[1]]
        output.tensorIndex = graph.outputs[0]
        graph.tensors[graph.outputs[0]].name = output.name
        definition.subgraphIndex, model.subgraphs = 0, [graph]
        model.signatureDefs = [definition] if signature else None
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = [*b"not read"]
        model.metadata = [schema.MetadataT()]
        model.metadata[0].name, model.metadata[0].buffer = METADATA, len(model.buffers) - 1

    path.write_bytes(rewritten(content, change) + b"files that are appended")
    return path


def _append(model: Any, graph: Any, name: str, options: Any) -> None:
    """Add an operator behind a graph's only output."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    model.operatorCodes.append(code)
    (last,) = graph.outputs
    tensor = schema.TensorT()
    tensor.shape, tensor.type = graph.tensors[last].shape, schema.TensorType.FLOAT32
    tensor.name, tensor.buffer = name.encode(), 0
    graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [last], [len(graph.tensors) - 1]
    kind = type(options).__name__.removesuffix("T")
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    operator.builtinOptions = options
    graph.operators.append(operator)
    graph.outputs = operator.outputs
