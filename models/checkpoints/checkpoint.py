"""Checkpoints in Hugging Face layout, read without PyTorch and checked before anything is built."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from common import json_file
from common.argtypes import SHORTEST
from common.checksum import file_sha256
from common.json_file import JsonError
from models.architectures import architecture_of, architectures, positions, with_defaults
from models.checkpoints import hub, tokenizer, weights
from models.checkpoints import lengths as signature_lengths
from models.checkpoints.hub import Source, locate
from models.checkpoints.probes import Probe, probes
from models.checkpoints.reference_outputs import ReferenceOutputs, digest
from models.errors import CheckpointError, ReferenceOutputsError

OUTPUTS = "reference_outputs.json"
FILES = ("config.json", "model.safetensors", "tokenizer.json")
# Rows that an embedding may have beyond the tokenizer: tables are padded to a round number.
PADDED_ROWS = 1024
# What a configuration may ask for at most: rows or columns of a table, and layers.
MOST_ROWS, MOST_LAYERS = 10_000_000, 1000
_REPEATED = re.compile("layers|group|networks")
_INDEX = re.compile(r"\d{1,6}")
_UNNAMED = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Checkpoint:
    """A trained classifier: configuration, weights and tokenizer, in one folder.

    Attributes:
        source: where it is.
        config: ``config.json`` with the library's defaults filled in.
        label_names: the classes, in the order of the logits.
        weights_sha256: of the files that hold its weights.
        lengths: tokens of each signature of its model files, in ascending order. What is longer
            than the longest is cut off, and counted.
    """

    source: Source
    config: dict[str, Any]
    label_names: tuple[str, ...]
    weights_sha256: str
    lengths: tuple[int, ...]

    @property
    def path(self) -> Path:
        """The folder."""
        return self.source.path

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.source.name

    @property
    def positions(self) -> int:
        """Tokens of the longest text that it can read."""
        return positions(self.config)

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file."""
        return self.path / "tokenizer.json"

    def reference_outputs(self) -> ReferenceOutputs:
        """Its recorded logits in PyTorch.

        Raises:
            ReferenceOutputsError: there are none, the file is damaged, or their texts were cut at
                another length; the message says the command.
        """
        command = self.source.record_command
        outputs = ReferenceOutputs.load(self.path / OUTPUTS, command)
        cut = signature_lengths.within(outputs.lengths, self.positions)[-1]
        if cut != self.lengths[-1]:
            lengths = ",".join(map(str, self.lengths))
            raise ReferenceOutputsError(
                f"--lengths {lengths}: the reference outputs are of texts cut at {cut} tokens; end "
                f"with {cut}, or record them again: {command} --lengths {lengths}"
            )
        return outputs

    def probes(self) -> list[Probe]:
        """What asks it what texts seldom do."""
        return probes(self.tokenizer, self.config, self.positions)

    def weights(self) -> dict[str, np.ndarray]:
        """Every parameter that the graph needs, float32, by its name in transformers.

        Raises:
            CheckpointError: truncated file, missing parameter, or one of another shape.
        """
        architecture = architecture_of(self.config)
        shapes = architecture.parameter_shapes(self.config)
        return weights.read(self.path, shapes, architecture.BASE)


def open_checkpoint(
    source: str,
    label_names: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
) -> Checkpoint:
    """A fine-tuned checkpoint from a folder or a hub id (``org/name``, ``org/name@REVISION``).

    Args:
        source: where it is.
        label_names: its classes, in the order of the logits, instead of those of config.json.
        lengths: tokens of each signature, in ascending order, instead of those that its reference
            outputs were recorded for.

    Raises:
        CheckpointError: nothing there, a head that is not judged, classes without names, a
            vocabulary that does not meet the tokenizer, a configuration that is not implemented, or
            lengths beyond its positions.
    """
    found = locate(source)
    path = found.path
    config, _ = _config_of(found)
    architecture = architecture_of(config)
    _check_head(found, config)
    missing = [name for name in FILES if name != weights.FILE and not (path / name).is_file()]
    if not weights.files(path):
        missing.append(weights.FILE)
    if missing:
        raise CheckpointError(
            f"{source}: no {', '.join(missing)}; a checkpoint is judged as {', '.join(FILES)}. If "
            "transformers can read it, this writes such a copy: "
            f"python fit.py record {found.said} --out DIR"
        )
    names = class_names(found, label_names)
    config["id2label"] = {str(i): name for i, name in enumerate(names)}
    for field, values in architecture.SUPPORTED.items():
        if field in config and config[field] not in values:
            raise CheckpointError(
                f"{source}: config.json says {field} = {config[field]!r}; the graph implements "
                f"{', '.join(map(repr, values))}"
            )
    config["vocab_size"] = _vocabulary(path, config)
    return Checkpoint(found, config, names, weights.sha256(path), _lengths(found, config, lengths))


def _lengths(found: Source, config: dict[str, Any], given: Sequence[int] | None) -> tuple[int, ...]:
    """Tokens of each signature: those that were given, or that outputs were recorded for."""
    most = positions(config)
    if given is None:
        chosen: Sequence[int] = signature_lengths.DEFAULT
        with suppress(ReferenceOutputsError):  # whoever needs the outputs says what is wrong
            chosen = ReferenceOutputs.load(found.path / OUTPUTS).lengths
        return signature_lengths.within(chosen, most)
    if given[-1] > most:
        raise CheckpointError(
            f"{found.said}: --lengths ends with {given[-1]} tokens, and it reads at most {most}: "
            f"end with {most} or less"
        )
    return tuple(given)


def class_names(found: Source, given: Sequence[str] | None = None) -> tuple[str, ...]:
    """The classes of a classifier, in the order of its logits, whatever its architecture.

    Args:
        found: where it is.
        given: its classes, instead of those of config.json.

    Raises:
        CheckpointError: no config.json, a head that is not judged, or classes without names.
    """
    config, names = _config_of(found)
    _check_head(found, config)
    return _label_names(found.said, config, names, given)


def is_laid_out(path: Path) -> bool:
    """Whether a folder has weights and tokenizer in the files that are judged."""
    return (path / "tokenizer.json").is_file() and bool(weights.files(path))


def _config_of(found: Source) -> tuple[dict[str, Any], tuple[str, ...]]:
    if not (found.path / "config.json").is_file():
        raise CheckpointError(f"{found.said}: no config.json; a checkpoint has {', '.join(FILES)}")
    return read_config(found.path)


def read_config(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """``config.json`` in a folder, the library's defaults filled in, and the classes it names,
    in the order of the logits; none where it names none.

    Raises:
        CheckpointError: it is no JSON, or a field that is read has a value that none can have.
    """
    try:
        given = json_file.read_object(path / "config.json")
        json_file.conform(given, _Config)
        config = with_defaults(given)
        _check_fields(config)
    except JsonError as error:
        raise CheckpointError(f"{path / 'config.json'}: not a configuration: {error}") from None
    labels = config.get("id2label") or {}
    return config, tuple(labels[key] for key in sorted(labels, key=int))


class _Config(TypedDict, total=False):
    """Fields of config.json that every architecture has; there are others."""

    model_type: str
    architectures: list[str] | None
    id2label: dict[str, str] | None
    label2id: dict[str, int] | None
    num_labels: int | None
    problem_type: str | None


def _check_fields(config: Mapping[str, Any]) -> None:
    """Hold what a graph is made of to the kind of its default, and to a size that can be.

    Raises:
        JsonError: it names the field.
    """
    if odd := [key for key in config.get("id2label") or () if not _INDEX.fullmatch(key)]:
        raise JsonError(f"id2label: {odd[0]!r:.60} is no index of a class")
    known = architectures().get(str(config.get("model_type")))
    for field, default in known.DEFAULTS.items() if known else ():
        value = config[field]
        if value is None and not default:
            continue
        json_file.conform(value, type(default), field)
        repeated = _REPEATED.search(field)
        most = MOST_LAYERS if repeated else MOST_ROWS
        may_be_zero = repeated or field == "pad_token_id" or not default
        least = 0 if may_be_zero or isinstance(value, float) else 1
        if not isinstance(value, str | bool) and not least <= value <= most:
            raise JsonError(f"{field} is {value}, not from {least} to {most}")
    for width, heads in (("hidden_size", "num_attention_heads"), ("dim", "n_heads")):
        if known and heads in known.DEFAULTS and config[width] % config[heads]:
            raise JsonError(f"{width} {config[width]} is no multiple of {heads} {config[heads]}")
    if known and positions(config) < SHORTEST:
        raise JsonError(f"max_position_embeddings leaves {positions(config)} tokens of a text")


def _check_head(found: Source, config: dict[str, Any]) -> None:
    """Refuse what does not choose one of several classes."""
    source = found.said
    if not has_head(found.path, config):
        architectures = config.get("architectures") or ["a model"]
        raise CheckpointError(
            f"{source}: {', '.join(architectures)} without a classification head can "
            f"be trained, not judged: python fit.py finetune {source} --out DIR"
        )
    kind = config.get("problem_type")
    if kind not in (None, "single_label_classification"):
        said = f"config.json says problem_type = {kind!r}"
    elif len(config.get("id2label") or ()) == 1 or config.get("num_labels") == 1:
        said = "config.json has one label, which is a regression"
    else:
        return
    raise CheckpointError(
        f"{source}: {said}; judged are heads that choose one of two or more classes "
        "(single_label_classification)"
    )


def has_head(path: Path, config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has a classification head, by its config.json and its weights."""
    architectures = config.get("architectures") or []
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        return True
    if any("For" in name for name in architectures):
        return False
    # A name of the author's own says nothing; then the weights tell, or else the classes.
    if not weights.files(path):
        return bool(config.get("id2label"))
    try:
        architecture = architecture_of(config)
        shapes = architecture.parameter_shapes(
            {**with_defaults(config), "id2label": config.get("id2label") or {}}
        )
        head = {name for name in shapes if not name.startswith(f"{architecture.BASE}.")}
        return head <= weights.names(path, shapes, architecture.BASE)
    except CheckpointError:
        return False


def _label_names(
    source: str, config: dict[str, Any], names: tuple[str, ...], given: Sequence[str] | None
) -> tuple[str, ...]:
    """The classes in the order of the logits: those that were given, or config.json's."""
    classes = len(names) or len(config.get("label2id") or ()) or config.get("num_labels")
    if given is not None:
        if len(set(given)) < len(given) or len(given) < 2 or classes not in (None, len(given)):
            raise CheckpointError(
                f"{source}: --labels {','.join(given)} must name its {classes or 'two or more'} "
                "classes once each, in the order of the logits"
            )
        if sorted(given) == sorted(names) and tuple(given) != names:
            raise CheckpointError(
                f"{source}: --labels {','.join(given)} orders the classes of config.json "
                f"otherwise ({','.join(names)}); leave it out, classes meet by name"
            )
        return tuple(given)
    if not names or any(_UNNAMED.fullmatch(name) for name in names):
        letters = ",".join("abcdefghijklmnopqrstuvwxyz"[: classes or 3])
        what = f"calls its classes {', '.join(names)}" if names else "has no id2label"
        raise CheckpointError(
            f"{source}: config.json {what}; name the classes in the order of the logits: "
            f"--labels {letters}"
        )
    return names


def content(found: Source) -> str:
    """Return what identifies a checkpoint: of a hub's the commit, else a SHA-256 of its files."""
    if found.from_hub:
        return found.said
    names = {file.name for each in (*hub.FILES, *hub.PICKLED) for file in found.path.glob(each)}
    names.discard(OUTPUTS)
    return digest({name: file_sha256(found.path / name) for name in sorted(names)})


def parameter_count(config: Mapping[str, Any]) -> int:
    """How many numbers a model of this configuration has."""
    config = with_defaults(config)
    shapes = architecture_of(config).parameter_shapes(config)
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _vocabulary(path: Path, config: dict[str, Any]) -> int:
    """Rows of the embedding that the tokenizer can ask for."""
    encoder = tokenizer.load(path / "tokenizer.json")
    pieces = 1 + max(encoder.get_vocab(with_added_tokens=True).values(), default=-1)
    if not pieces <= config["vocab_size"] <= min(pieces + PADDED_ROWS, 2 * pieces):
        raise CheckpointError(
            f"{path}: tokenizer.json has {pieces} pieces, the embedding {config['vocab_size']} "
            "rows; a checkpoint is judged with the tokenizer it was trained with"
        )
    return pieces
