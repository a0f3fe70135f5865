"""A small sound file of each kind. Each is made once a process."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl

from data.dataset import Dataset
from models.architectures import architecture_of, with_defaults
from models.checkpoints import bundle
from models.checkpoints.checkpoint import open_checkpoint
from models.checkpoints.reference_outputs import ReferenceOutputs
from reports import aggregate, gate, schema
from suites.selftest.reports import runs
from suites.selftest.synthetic import NAMES, dataset, write_tokenizer

MODE = "float32"
LENGTHS = (8, 16)
INPUTS = ("input_ids", "attention_mask")
# Rows of a table of weights: together with a length at least `models.contents.SMALL` numbers.
_WIDE = 512


class _Graph:
    """A graph of a FlatBuffer, built tensor by tensor."""

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, tfl.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        model.subgraphs.append(self.graph)

    def tensor(self, name: str, shape: Iterable[int], kind: int = tfl.TensorType.FLOAT32) -> int:
        made = tfl.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), kind, 0
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, values: np.ndarray) -> int:
        number, buffer = self.tensor(name, values.shape), tfl.BufferT()
        buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[number].buffer = len(self.model.buffers) - 1
        return number

    def operator(self, name: str, options: str, inputs: list[int], shape: Iterable[int]) -> int:
        made, code = tfl.OperatorT(), getattr(tfl.BuiltinOperator, name)
        codes = [each.builtinCode for each in self.model.operatorCodes]
        if code not in codes:
            new = tfl.OperatorCodeT()
            new.builtinCode = new.deprecatedBuiltinCode = code
            new.version = 1
            self.model.operatorCodes.append(new)
        output = self.tensor(name.lower(), shape)
        made.opcodeIndex = [*codes, code].index(code)
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType = getattr(tfl.BuiltinOptions, f"{options}Options")
        made.builtinOptions = getattr(tfl, f"{options}OptionsT")()
        self.graph.operators.append(made)
        return output


def _entries(names: Iterable[str], numbers: Iterable[int]) -> list[Any]:
    entries = []
    for name, number in zip(names, numbers, strict=True):
        entry = tfl.TensorMapT()
        entry.name, entry.tensorIndex = name, number
        entries.append(entry)
    return entries


@cache
def tflite() -> bytes:
    """Return a FlatBuffer with a signature for each of `LENGTHS`, a mask path and two products."""
    model, rng = tfl.ModelT(), np.random.default_rng(0)
    model.version, model.description = 3, "made by hand"
    model.subgraphs, model.operatorCodes, model.signatureDefs = [], [], []
    model.buffers = [tfl.BufferT()]
    for length in LENGTHS:
        made, row = _Graph(model), (1, length)
        ids, mask = (made.tensor(name, row, tfl.TensorType.INT32) for name in INPUTS)
        x = made.operator("CAST", "Cast", [ids], row)
        bias = made.operator("CAST", "Cast", [mask], row)
        bias = made.operator("SUB", "Sub", [bias, made.constant("one", np.ones(1))], row)
        x = made.operator("ADD", "Add", [x, bias], row)
        wide = made.constant("encoder.layer.0.weight", rng.normal(size=(_WIDE, length)))
        x = made.operator("FULLY_CONNECTED", "FullyConnected", [x, wide, -1], (1, _WIDE))
        head = made.constant("classifier.weight", rng.normal(size=(len(NAMES), _WIDE)))
        zero = made.constant("classifier.bias", np.zeros(len(NAMES)))
        logits = made.operator("FULLY_CONNECTED", "FullyConnected", [x, head, zero], (1, 3))
        made.graph.inputs, made.graph.outputs = [ids, mask], [logits]
        definition = tfl.SignatureDefT()
        definition.signatureKey = f"tokens_{length}"
        definition.subgraphIndex = len(model.subgraphs) - 1
        definition.inputs = _entries(INPUTS, made.graph.inputs)
        definition.outputs = _entries(["logits"], made.graph.outputs)
        model.signatureDefs.append(definition)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@cache
def onnx() -> bytes:
    """Return an ONNX model of any length with one product."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    table = rng.normal(size=(256, 32)).astype(np.float32)
    head = rng.normal(size=(32, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["axis"], value=numpy_helper.from_array(np.array([2]))),
        helper.make_node("Unsqueeze", ["m", "axis"], ["m2"]),
        helper.make_node("Mul", ["x", "m2"], ["y"]),
        helper.make_node("ReduceMax", ["y"], ["z"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["z", "head"], ["logits"]),
    ]
    ids, mask = (
        helper.make_tensor_value_info(name, TensorProto.INT64, [1, "tokens"])
        for name in ("input_ids", "attention_mask")
    )
    graph = helper.make_graph(
        nodes,
        "main",
        [ids, mask],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(head, "head")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"max_tokens": "16"})
    return bytes(model.SerializeToString())


@cache
def tokenizer() -> bytes:
    """Return a tokenizer.json of word pieces."""
    with TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), "bert")
        return (Path(folder) / "tokenizer.json").read_bytes()


@cache
def config() -> dict[str, Any]:
    """Return the config.json of a BERT of one layer that fits `tokenizer`."""
    vocabulary = json.loads(tokenizer())["model"]["vocab"]
    return {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "id2label": {str(i): name for i, name in enumerate(NAMES)},
        "label2id": {name: i for i, name in enumerate(NAMES)},
        "vocab_size": len(vocabulary),
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 32,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }


@cache
def safetensors() -> bytes:
    """Return the weights of `config`."""
    from safetensors.numpy import save

    whole = with_defaults(config())
    shapes = architecture_of(whole).parameter_shapes(whole)
    return bytes(save({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}))


def write_checkpoint(folder: Path, **instead: bytes) -> Path:
    """Write a checkpoint; ``instead``: other content of config, tokenizer or weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("config.json", instead.get("config", json.dumps(config()).encode())),
        ("tokenizer.json", instead.get("tokenizer", tokenizer())),
        ("model.safetensors", instead.get("weights", safetensors())),
    ):
        (folder / name).write_bytes(content)
    return folder


@cache
def texts() -> Dataset:
    """Return the evaluation texts of `bundle_files`."""
    return dataset().take(range(12))


@cache
def reference_outputs() -> bytes:
    """Return reference outputs of the checkpoint for `texts`."""
    with TemporaryDirectory() as name:
        folder = write_checkpoint(Path(name))
        ReferenceOutputs.of(
            folder,
            name="made by hand",
            parameters=1000,
            dataset=texts(),
            logits=[[float(label == i) for i in range(3)] for label in texts().labels],
            provenance={},
            lengths=LENGTHS,
        ).save(folder / "reference_outputs.json")
        return (folder / "reference_outputs.json").read_bytes()


@cache
def packed() -> bytes:
    """Return a bundle."""
    with TemporaryDirectory() as name:
        folder = write_checkpoint(Path(name) / "checkpoint")
        (folder / "reference_outputs.json").write_bytes(reference_outputs())
        model, out = Path(name) / "model.tflite", Path(name) / "bundle.zip"
        model.write_bytes(tflite())
        bundle.write(out, open_checkpoint(str(folder)), folder, splits(), {MODE: model})
        return out.read_bytes()


def splits() -> Any:
    """Return splits of `texts`, all the same."""
    from data.splits import Splits

    return Splits(texts(), texts(), texts(), texts(), 0)


@cache
def verdicts() -> dict[str, Any]:
    """Return a verdict file of two targets."""
    return dict(json.loads(schema.to_json(aggregate.assemble(runs.METADATA, runs.records()))))


@cache
def baseline() -> dict[str, Any]:
    """Return the baseline of `verdicts`."""
    with TemporaryDirectory() as name:
        out = Path(name) / "baseline.json"
        gate.write_baseline([verdicts()], out)  # type: ignore[list-item]
        return dict(json.loads(out.read_text()))


@cache
def rows() -> list[dict[str, str]]:
    """Return labelled texts as rows."""
    made = dataset().take(range(60))
    return [
        {"text": text, "label": NAMES[label], "entity": f"e{label}"}
        for text, label in zip(made.texts, made.labels, strict=True)
    ]


@cache
def parquet() -> bytes:
    """Return `rows` as Parquet."""
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows()), file)
    return file.getvalue()


def as_dict(found: Any) -> dict[str, Any]:
    """Return a dataclass as JSON has it."""
    return dict(json.loads(json.dumps(asdict(found), default=str)))
