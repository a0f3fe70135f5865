"""Checkpoint → float32 ONNX model, for one text of any length.

The graph is the architecture's own (`models.architectures`), built with `models.onnx.layers`. It
needs neither TensorFlow nor PyTorch. onnx is imported only to build.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from common.cache import Artifact, Cache
from models.architectures import architecture_of
from models.checkpoints.checkpoint import Checkpoint
from models.errors import ConvertError

if TYPE_CHECKING:
    import onnx

MODEL_FILE = "model.onnx"  # its name in the cache
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# 20 is the first with Gelu. Both are read by every onnxruntime since 1.17.
OPSET, IR_VERSION = 20, 9


def float32(checkpoint: Checkpoint, cache: Cache) -> Artifact:
    """Return the float32 ONNX model of a checkpoint.

    Raises:
        ConvertError: onnx is not installed.
    """
    try:
        onnx_version = version("onnx")
    except PackageNotFoundError:
        raise ConvertError(
            "onnx is not installed here: install the dependency group build of pyproject.toml"
        ) from None
    inputs = {
        "weights": checkpoint.weights_sha256,
        "config": json.dumps(checkpoint.config, sort_keys=True),
        "longest": checkpoint.lengths[-1],
        "onnx": onnx_version,
    }

    def build(folder: Path) -> None:
        (folder / MODEL_FILE).write_bytes(model(checkpoint).SerializeToString())

    return cache.get_or_build("float32_onnx", inputs, build, code=[__name__])


def model(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Return a checkpoint as a graph: three int64 tensors (1, length) in, ``logits`` out.

    ``logits`` is float32 (1, classes). The metadata ``max_tokens`` is the longest length: the
    position table has rows for no more.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from models.onnx.layers import Layers, Tensor

    config, architecture = checkpoint.config, architecture_of(checkpoint.config)
    longest = checkpoint.lengths[-1]
    weights = checkpoint.weights()
    for name, table in weights.items():
        if name.endswith("position_embeddings.weight"):
            # As in TensorFlow's graph: no text reaches the positions past the longest.
            weights[name] = table[: longest + architecture.first_position(config)]
    layers = Layers(weights)
    graph = layers.graph
    text = [graph.add("Reshape", Tensor(graph, name), np.array([-1])) for name in INPUTS]
    logits = architecture.logits(config, layers, *text)
    shape = np.array([1, -1])
    graph.nodes.append(
        helper.make_node("Reshape", [logits.name, graph.literal(shape).name], ["logits"], "logits")
    )
    built = helper.make_model(
        helper.make_graph(
            graph.nodes,
            checkpoint.name,
            [helper.make_tensor_value_info(n, TensorProto.INT64, (1, "length")) for n in INPUTS],
            [
                helper.make_tensor_value_info(
                    "logits", TensorProto.FLOAT, (1, len(checkpoint.label_names))
                )
            ],
            [
                numpy_helper.from_array(np.ascontiguousarray(value), name)
                for name, value in graph.constants.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fit-for-device",
    )
    helper.set_model_props(built, {"max_tokens": str(longest)})
    onnx.checker.check_model(built)
    return built
