"""Checkpoints in Hugging Face layout, read without PyTorch and checked before anything is built."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from models.checkpoints.hub import Source, locate
from models.checkpoints.reference_outputs import ReferenceOutputs, file_sha256
from models.errors import CheckpointError

# The longest signature; what is longer is cut off, and counted.
MAX_TOKENS = 128
FILES = ("config.json", "model.safetensors", "tokenizer.json")
# What transformers assumes where a config is silent.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "bert": {"layer_norm_eps": 1e-12, "type_vocab_size": 2, "hidden_act": "gelu"},
    "mobilebert": {
        "layer_norm_eps": 1e-12,
        "type_vocab_size": 2,
        "hidden_act": "relu",
        "embedding_size": 128,
        "intra_bottleneck_size": 128,
        "num_feedforward_networks": 4,
        "normalization_type": "no_norm",
        "classifier_activation": True,
    },
}


@dataclass(frozen=True)
class Checkpoint:
    """A trained classifier: configuration, weights and tokenizer, in one folder.

    Attributes:
        source: where it is.
        config: ``config.json`` with the library's defaults filled in.
        label_names: the classes, in the order of the logits.
        weights_sha256: of ``model.safetensors``.
    """

    source: Source
    config: dict[str, Any]
    label_names: tuple[str, ...]
    weights_sha256: str

    @property
    def path(self) -> Path:
        """The folder."""
        return self.source.path

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.source.name

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        return self.path / "tokenizer.json"

    def reference_outputs(self) -> ReferenceOutputs:
        """What it answers in PyTorch, recorded.

        Raises:
            ReferenceOutputsError: there is none, or it is no whole reference outputs; the message
                says the command.
        """
        return ReferenceOutputs.load(
            self.path / "reference_outputs.json", self.source.record_command
        )

    def weights(self) -> dict[str, np.ndarray]:
        """Every parameter that the graph needs, float32, by its name in the file.

        Raises:
            CheckpointError: truncated file, missing parameter, or one of another shape.
        """
        from safetensors import SafetensorError, safe_open

        file = self.path / "model.safetensors"
        found: dict[str, np.ndarray] = {}
        try:
            with safe_open(file, "np") as tensors:
                present = set(tensors.keys())
                shapes = graph_of(self.config).parameter_shapes(self.config)
                for name, shape in shapes.items():
                    if name not in present:
                        raise CheckpointError(f"{file}: no parameter {name}")
                    found[name] = tensors.get_tensor(name).astype(np.float32)
                    if found[name].shape != shape:
                        raise CheckpointError(
                            f"{file}: {name} is {found[name].shape}, config.json says {shape}"
                        )
                unused = sorted(n for n in present - set(shapes) if "position_ids" not in n)
                if unused:
                    raise CheckpointError(f"{file}: {unused[0]} has no place in the graph")
        except SafetensorError as error:
            raise CheckpointError(f"{file}: not whole ({error}); fetch or train it again") from None
        return found


def open_checkpoint(source: str) -> Checkpoint:
    """A fine-tuned checkpoint from a folder or a hub id (``org/name``, ``org/name@REVISION``).

    Raises:
        CheckpointError: nothing there, no classification head, a vocabulary that does not meet the
            tokenizer, or a configuration that the graph does not implement.
    """
    found = locate(source)
    path = found.path
    if not (path / "config.json").is_file():
        raise CheckpointError(f"{source}: no config.json; a checkpoint has {', '.join(FILES)}")
    config, names = read_config(path)
    graph = graph_of(config)
    architectures = config.get("architectures") or []
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        raise CheckpointError(
            f"{source}: {', '.join(architectures) or 'a model'} without a classification head can "
            f"be trained, not judged: python -m models finetune {source} --out DIR"
        )
    if missing := [name for name in FILES if not (path / name).is_file()]:
        raise CheckpointError(
            f"{source}: no {', '.join(missing)}; a checkpoint is judged as {', '.join(FILES)}. If "
            "transformers can read it, this writes such a copy: "
            f"python -m models record {found.said} --out DIR"
        )
    if not names:
        raise CheckpointError(f"{source}: config.json has no id2label; name the classes there")
    for field, implemented in graph.IMPLEMENTED.items():
        if field in config and config[field] not in implemented:
            raise CheckpointError(
                f"{source}: config.json says {field} = {config[field]!r}; the graph implements "
                f"{', '.join(map(repr, implemented))}"
            )
    if config["max_position_embeddings"] < MAX_TOKENS:
        raise CheckpointError(
            f"{source}: {config['max_position_embeddings']} positions; the longest signature has "
            f"{MAX_TOKENS} tokens"
        )
    _check_vocabulary(path, config)
    return Checkpoint(found, config, names, file_sha256(path / "model.safetensors"))


def read_config(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """``config.json`` in a folder, the library's defaults filled in, and the classes it names,
    in the order of the logits.

    Raises:
        CheckpointError: it is no JSON.
    """
    try:
        config = json.loads((path / "config.json").read_text())
    except ValueError as error:
        raise CheckpointError(f"{path / 'config.json'}: not JSON ({error})") from None
    config = {**_DEFAULTS.get(config.get("model_type"), {}), **config}
    labels = config.get("id2label", {})
    return config, tuple(labels[key] for key in sorted(labels, key=int))


def parameter_count(config: dict[str, Any]) -> int:
    """How many numbers a model of this configuration has."""
    config = {**_DEFAULTS.get(config["model_type"], {}), **config}
    shapes = graph_of(config).parameter_shapes(config)
    return sum(int(np.prod(shape)) for shape in shapes.values())


def graph_of(config: dict[str, Any]) -> ModuleType:
    """The module that builds the graph of this ``model_type``."""
    from models.architectures import bert, mobilebert

    kind = config.get("model_type")
    graphs = {"bert": bert, "mobilebert": mobilebert}
    if kind not in graphs:
        raise CheckpointError(f"model_type {kind!r}: there is a graph for {', '.join(graphs)} only")
    return graphs[kind]


def _check_vocabulary(path: Path, config: dict[str, Any]) -> None:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    except Exception as error:  # the library raises a bare Exception
        raise CheckpointError(f"{path / 'tokenizer.json'}: not a tokenizer ({error})") from None
    words = tokenizer.get_vocab_size()
    if words != config["vocab_size"]:
        raise CheckpointError(
            f"{path}: tokenizer.json has {words} words, the embedding {config['vocab_size']}; "
            "a checkpoint is judged with the tokenizer it was trained with"
        )
