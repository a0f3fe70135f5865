"""A model file for MediaPipe's TextClassifier: one signature, with vocabulary and labels.

MediaPipe runs the first graph of a FlatBuffer, with the texts' ids, their mask and segment ids. It
reads what they are, the vocabulary and the labels from the metadata `TFLITE_METADATA`, a FlatBuffer
of its own (`metadata_schema.fbs` of MediaPipe, "M001"), and from a ZIP archive that is appended.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from models.checkpoints import tokenizer
from models.checkpoints.checkpoint import Checkpoint
from models.errors import ExportError
from models.input_names import IDS, MASK, TYPES
from models.tflite.transformations import rewritten

METADATA = b"TFLITE_METADATA"
VOCABULARY, LABELS, SCORES = "vocab.txt", "labels.txt", "probabilities"
# What MediaPipe knows the inputs by.
_NAMES = {IDS: "ids", MASK: "mask", TYPES: "segment_ids"}
# Its tokens that frame a text, and the one for what is unknown.
_SPECIAL = ("[CLS]", "[SEP]", "[UNK]")
# Where its BertTokenizer cuts: at ASCII's spaces, and around punctuation and ideographs.
_SPACE = r"[\t\n\f\r ]+"
_AROUND = (
    r"[!-/:-@\[-`{-~\p{P}\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)
# Fields of the schema's tables, by number; and what it numbers in its unions and enumerations.
_MODEL = {"name": 0, "description": 1, "subgraphs": 3, "min_parser_version": 7}
_SUBGRAPH = {"inputs": 2, "outputs": 3, "input_process_units": 5}
_TENSOR = {"name": 0, "description": 1, "content": 3, "associated_files": 6}
_FILE = {"name": 0, "description": 1, "type": 2}
_AXIS_LABELS, _VOCABULARY_FILE, _FEATURE, _BERT_TOKENIZER = 2, 5, 1, 4

# A table of a FlatBuffer by the numbers of its fields: texts, bytes, tables, and lists of those.
Table = dict[int, Any]


def task_file(content: bytes, checkpoint: Checkpoint, length: int | None = None) -> bytes:
    """Return the FlatBuffer that MediaPipe's TextClassifier loads.

    Args:
        content: a model file of the checkpoint, in any mode.
        checkpoint: whose tokenizer and labels it gets.
        length: tokens of the signature that is kept; None: the longest.

    Raises:
        ExportError: the tokenizer is not one that MediaPipe has, or no signature is so long.
    """
    vocabulary = _vocabulary(checkpoint)

    def change(model: Any) -> None:
        graph = _keep(model, length)
        _add_softmax(model, graph)
        buffer = schema.BufferT()
        buffer.data = list(_metadata(graph, checkpoint.name))
        model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA, len(model.buffers) - 1
        model.metadata = [*(model.metadata or ()), entry]

    file = io.BytesIO(rewritten(content, change))
    with zipfile.ZipFile(file, "a") as archive:
        for name, lines in ((VOCABULARY, vocabulary), (LABELS, checkpoint.label_names)):
            # A fixed date: the same model gives the same file.
            archive.writestr(zipfile.ZipInfo(name), "\n".join(lines) + "\n")
    return file.getvalue()


def read_otherwise(checkpoint: Checkpoint, texts: Sequence[str]) -> list[int]:
    """Return which texts MediaPipe's tokenizer cuts into other tokens than the checkpoint's.

    It makes ASCII's letters small and no others, strips no accents, and removes nothing.
    """
    framing = tokenizer.framing(checkpoint.tokenizer)
    pieces = {piece: n for n, piece in enumerate(_vocabulary(checkpoint))}
    theirs = Tokenizer(models.WordPiece(pieces, unk_token=_SPECIAL[2]))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPACE), "removed"),
            pre_tokenizers.Split(Regex(_AROUND), "isolated"),
        ]
    )
    small = [re.sub("[A-Z]+", lambda found: found[0].lower(), text) for text in texts]
    own = tokenizer.token_ids(checkpoint.tokenizer, texts)
    both = zip(own, theirs.encode_batch(small), strict=True)
    return [
        n
        for n, (ours, other) in enumerate(both)
        if ours != [*framing.opening, *other.ids, *framing.closing]
    ]


def _vocabulary(checkpoint: Checkpoint) -> list[str]:
    """Return the pieces by their ids, if MediaPipe's BertTokenizer is the checkpoint's.

    Raises:
        ExportError: it is another.
    """
    said = f"{checkpoint.tokenizer}: MediaPipe's TextClassifier takes lower-case WordPiece with "
    said += ", ".join(_SPECIAL)
    own = tokenizer.load(checkpoint.tokenizer)
    kind = type(own.model).__name__
    if kind != "WordPiece":
        raise ExportError(f"{said}, and this is {kind}: judge and ship it with the runtime itself")
    framing, vocabulary = tokenizer.framing(checkpoint.tokenizer), own.get_vocab()
    frame = [str(own.id_to_token(n)) for n in (*framing.opening, *framing.closing)]
    if frame != [*_SPECIAL[:2]] or _SPECIAL[2] not in vocabulary:
        raise ExportError(
            f"{said}, and this one frames a text with {', '.join(frame) or 'nothing'}"
        )
    large, small = tokenizer.token_ids(checkpoint.tokenizer, ("A", "a"))
    if large != small:
        raise ExportError(f"{said}, and this one keeps capitals: train a lower-case one")
    by_id = {n: piece for piece, n in vocabulary.items()}
    if len(by_id) < len(vocabulary):
        raise ExportError(f"{checkpoint.tokenizer}: two pieces have one id; make each id once")
    return [by_id.get(n, f"[unused{n}]") for n in range(max(by_id) + 1)]


def _keep(model: Any, length: int | None) -> Any:
    """Leave one signature, and its graph as the only one; return the graph."""

    def tokens(definition: Any) -> int:
        tensors = model.subgraphs[definition.subgraphIndex].tensors
        return int(tensors[definition.inputs[0].tensorIndex].shape[-1])

    signatures = {tokens(definition): definition for definition in model.signatureDefs}
    if length not in (None, *signatures):
        raise ExportError(
            f"--length {length}: this model has signatures of {', '.join(map(str, signatures))}"
        )
    kept = signatures[length or max(signatures)]
    graph = model.subgraphs[kept.subgraphIndex]
    kept.subgraphIndex, model.subgraphs, model.signatureDefs = 0, [graph], [kept]
    # Files hold tensors without names. MediaPipe's runtime needs none, its tools show them.
    for each in (*kept.inputs, *kept.outputs):
        graph.tensors[each.tensorIndex].name = each.name
    used = {tensor.buffer for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    for n, buffer in enumerate(model.buffers):
        if n not in used:
            buffer.data = None
    return graph


def _add_softmax(model: Any, graph: Any) -> None:
    """Let a graph answer probabilities, which MediaPipe shows as scores, under `SCORES`."""
    (definition,), (logits,) = model.signatureDefs, graph.outputs
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.SOFTMAX
    model.operatorCodes.append(code)
    tensor = schema.TensorT()
    tensor.shape, tensor.type = graph.tensors[logits].shape, graph.tensors[logits].type
    tensor.name = SCORES.encode()
    graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [logits], [len(graph.tensors) - 1]
    operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
    operator.builtinOptions = schema.SoftmaxOptionsT()
    operator.builtinOptions.beta = 1.0
    graph.operators.append(operator)
    graph.outputs = operator.outputs
    (output,) = definition.outputs
    output.name, output.tensorIndex = SCORES.encode(), graph.outputs[0]


def _metadata(graph: Any, name: str) -> bytes:
    """Return the metadata of a graph whose inputs have this project's names."""
    inputs = [_NAMES[graph.tensors[n].name.decode()] for n in graph.inputs]
    feature = {0: _FEATURE, 1: {}}

    def tensor(name: str, files: list[Table]) -> Table:
        return _table(_TENSOR, name=name, content=feature, associated_files=files)

    labels = _table(_FILE, name=LABELS, type=_AXIS_LABELS)
    vocabulary = _table(_FILE, name=VOCABULARY, type=_VOCABULARY_FILE)
    subgraph = _table(
        _SUBGRAPH,
        inputs=[tensor(each, []) for each in inputs],
        outputs=[tensor(SCORES, [labels])],
        input_process_units=[{0: _BERT_TOKENIZER, 1: {0: [vocabulary]}}],
    )
    builder = flatbuffers.Builder(1024)
    root = _written(
        builder,
        _table(_MODEL, name=name, subgraphs=[subgraph], min_parser_version="1.1.0"),
    )
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def _table(fields: dict[str, int], **values: Any) -> Table:
    return {fields[name]: value for name, value in values.items() if value != []}


def _written(builder: flatbuffers.Builder, value: Any) -> int:
    """Write a text, a list or a `Table`, and return where it is."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, list):
        parts = [_written(builder, each) for each in value]
        builder.StartVector(4, len(parts), 4)
        for part in reversed(parts):
            builder.PrependUOffsetTRelative(part)
        return int(builder.EndVector())
    fields = {
        n: each if isinstance(each, int) else _written(builder, each) for n, each in value.items()
    }
    builder.StartObject(max(fields, default=-1) + 1)
    for n, field in fields.items():
        if isinstance(value[n], int):
            builder.PrependInt8Slot(n, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(n, field, 0)
    return int(builder.EndObject())
