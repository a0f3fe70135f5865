"""Read what is in an ONNX model (`models.contents`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.contents import SMALL, Contents, Signature, Tensors
from models.errors import ModelFileError

if TYPE_CHECKING:
    import onnx

_PRODUCTS = {"MatMul", "Gemm", "MatMulInteger", "QLinearMatMul", "QGemm", "MatMulNBits"}


def can_read() -> bool:
    """Return whether onnx is installed."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        return False
    return True


def read(path: Path) -> Contents:
    """Return what an ONNX model contains. It has one signature, named "main", and no mask ranges.

    Raises:
        ModelFileError: empty, truncated, not ONNX, or its weights are in other files.
    """
    import onnx

    content = path.read_bytes()
    try:
        model = onnx.load_from_string(content)
        external = onnx.TensorProto.EXTERNAL
        if any(each.data_location == external for each in _constants(model)):
            raise ModelFileError(f"{path}: its weights are in other files; save it as one file")
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model)
    except ModelFileError:
        raise
    except Exception as error:  # protobuf's and onnx's own many types
        reason = str(error).strip().partition("\n")[0]
        raise ModelFileError(f"{path}: not an ONNX model, or damaged ({reason})") from None
    constants = list(_constants(model))
    weight_bytes: Counter[str] = Counter()
    large: Counter[str] = Counter()
    for each in constants:
        weight_bytes[_dtype(each.data_type)] += _bytes(each)
        if len(each.dims) > 1 and np.prod(each.dims) >= SMALL:
            large[_dtype(each.data_type)] += 1
    return Contents(
        size_bytes=len(content),
        operators=_operators(model),
        numbers=sum(int(np.prod(each.dims)) for each in constants),
        weight_bytes=dict(weight_bytes),
        large_weights=dict(large),
        activations=dict(_activations(model)),
        mask_ranges=(),
        signatures=(Signature("main", *_inputs_and_outputs(model.graph)),),
    )


def _nodes(model: onnx.ModelProto) -> Iterator[Any]:
    """Yield the nodes of the graph and of its functions, and of graphs within them."""
    to_read = [*model.graph.node, *(node for f in model.functions for node in f.node)]
    while to_read:
        node = to_read.pop(0)
        yield node
        to_read += [inner for a in node.attribute for g in (a.g, *a.graphs) for inner in g.node]


def _constants(model: onnx.ModelProto) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in _nodes(model):
        if node.op_type == "Constant":
            yield from (a.t for a in node.attribute if a.name == "value")


def _operators(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return what a runtime needs a kernel for. A Constant is read with the graph, as weights."""
    versions = {opset.domain: opset.version for opset in model.opset_import}
    used = {(node.domain, node.op_type) for node in _nodes(model)} - {("", "Constant")}
    functions = {(function.domain, function.name) for function in model.functions}
    return tuple(
        sorted(
            f"{domain}.{name} v{versions[domain]}" if domain else f"{name} v{versions[domain]}"
            for domain, name in used - functions
        )
    )


def _activations(model: onnx.ModelProto) -> Counter[str]:
    """Return how many matrix products have each dtype.

    The int32 sums of MatMulInteger count as what they are cast to: no other node sees them.
    """
    values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    dtypes = {value.name: value.type.tensor_type.elem_type for value in values}
    dtypes |= {each.name: each.data_type for each in model.graph.initializer}
    readers = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    counted: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in _PRODUCTS:
            next_nodes = readers[node.output[0]]
            if next_nodes and all(each.op_type == "Cast" for each in next_nodes):
                counted[_dtype(dtypes.get(next_nodes[0].output[0], 0))] += 1
            else:
                # Operators of other domains have no inferred output; it has their input's dtype.
                known = (dtypes.get(name, 0) for name in (node.output[0], node.input[0]))
                counted[_dtype(next(filter(None, known), 0))] += 1
    return counted


def _inputs_and_outputs(graph: Any) -> tuple[Tensors, Tensors]:
    constants = {each.name for each in graph.initializer}

    def described(values: Any) -> Tensors:
        return {
            value.name: (
                _dtype(tensor.elem_type),
                # A first dimension of any size holds one text.
                tuple(_length(d) if n else _length(d) or 1 for n, d in enumerate(tensor.shape.dim)),
            )
            for value in values
            if value.name not in constants
            for tensor in [value.type.tensor_type]
        }

    return described(graph.input), described(graph.output)


def _length(dimension: Any) -> int | None:
    return dimension.dim_value if dimension.HasField("dim_value") else None


def _bytes(constant: Any) -> int:
    import onnx

    if constant.raw_data:
        return len(constant.raw_data)
    return (
        int(np.prod(constant.dims))
        * onnx.helper.tensor_dtype_to_np_dtype(constant.data_type).itemsize
    )


def _dtype(code: int) -> str:
    import onnx

    name = onnx.TensorProto.DataType.Name(code).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)
