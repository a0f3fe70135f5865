"""Fixed scales of a calibrated FlatBuffer: what its integers can hold, read from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from models.flatbuffer import operator_name, unpack

# What turns the mask of 1 and 0 into what is added to the scores, with constants alone.
_ON_THE_WAY = {"RESHAPE", "CAST", "QUANTIZE", "DEQUANTIZE", "ADD", "SUB", "MUL", "EXPAND_DIMS"}
_INTEGERS = {schema.TensorType.INT8: (-128, 127), schema.TensorType.INT16: (-32768, 32767)}


def mask_ranges(path: Path) -> tuple[tuple[float, float], ...]:
    """Least and greatest number that each integer tensor can hold on the attention mask's way from
    the input to the scores, of every signature; none where that way has no fixed scale.

    Calibration without padding, or with the mask fed in another input's place, leaves a range of
    nothing: the mask is then ignored. A mask of -10000 leaves one beside which scores are nothing.

    Raises:
        FlatBufferError: not a whole FlatBuffer.
    """
    model = unpack(path.read_bytes(), path)
    found = []
    for definition in model.signatureDefs or ():
        graph = model.subgraphs[definition.subgraphIndex]
        way = {i.tensorIndex for i in definition.inputs if b"attention_mask" in i.name}
        computed = set(graph.inputs) | {n for o in graph.operators for n in o.outputs}
        for operator in graph.operators:
            met = set(operator.inputs) & computed
            code = model.operatorCodes[operator.opcodeIndex]
            if met and met <= way and operator_name(code) in _ON_THE_WAY:
                way |= set(operator.outputs)
                found += [_range(graph.tensors[n]) for n in operator.outputs]
    return tuple(bounds for bounds in found if bounds)


def _range(tensor: Any) -> tuple[float, float] | None:
    scales = tensor.quantization and tensor.quantization.scale
    if scales is None or len(scales) != 1 or tensor.type not in _INTEGERS:
        return None
    zero = int(tensor.quantization.zeroPoint[0])
    least, most = (float((n - zero) * scales[0]) for n in _INTEGERS[tensor.type])
    return least, most
