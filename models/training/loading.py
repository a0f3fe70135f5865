"""Read a checkpoint into PyTorch, and refuse one that transformers would quietly complete.

transformers fills in missing weights with random ones, a missing tokenizer with one that knows no
word, and says so in a warning at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from common.framing import Framing
from data.dataset import DatasetError
from data.splits import Splits
from models.architectures import architecture_of, architectures, positions, with_defaults
from models.checkpoints import lengths as signature_lengths
from models.checkpoints import weights
from models.checkpoints.checkpoint import class_names, has_head, read_config
from models.checkpoints.hub import TOKENIZERS, Source
from models.errors import CheckpointError
from models.training import static_embedding, text_cnn  # noqa: F401  (they register kinds)


def read_tokenizer(found: Source) -> Any:
    """Return transformers' tokenizer of a checkpoint.

    Raises:
        CheckpointError: it has none, or it cannot be read.
    """
    if not any((found.path / name).is_file() for name in TOKENIZERS):
        raise CheckpointError(
            f"{found.said}: no tokenizer.json and no vocab.txt; it needs one of "
            f"{', '.join(TOKENIZERS)}"
        )
    with _reading(found):
        try:
            read = AutoTokenizer.from_pretrained(found.path)
        except (TypeError, ValueError):
            # Of another kind than is usual with this architecture, as byte pairs with XLM-RoBERTa.
            if not (found.path / TOKENIZERS[0]).is_file():
                raise
            own = Tokenizer.from_file(str(found.path / TOKENIZERS[0]))
            read = PreTrainedTokenizerFast(tokenizer_object=own)
        if read.pad_token is None:  # no tokenizer_config.json names it
            read.pad_token = read.convert_ids_to_tokens(Framing(read.backend_tokenizer).pad)
        return read


def read_classifier(
    found: Source,
    tokenizer: Any,
    new: tuple[str, ...] = (),
    **config: Any,
) -> Any:
    """Return a checkpoint's classifier in float32.

    Args:
        found: the checkpoint.
        tokenizer: its tokenizer.
        new: parameters whose names contain one of these may be missing; they begin at random.
        config: fields that replace those of its config.json.

    Raises:
        CheckpointError: a file is incomplete, a parameter is missing or of another shape, the
            tokenizer has more words than the embedding.
    """
    with _reading(found):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            found.path, dtype=torch.float32, output_loading_info=True, **config
        )
    missing = sorted(n for n in info["missing_keys"] if not any(part in n for part in new))
    settings = with_defaults(model.config.to_dict())
    if missing and settings["model_type"] in architectures():
        # Names that a wrapper made of transformers' own: read as they are judged.
        architecture = architecture_of(settings)
        shapes = architecture.parameter_shapes(settings)
        with _reading(found), _in_safetensors(found.path) as folder:
            if weights.names(folder, shapes, architecture.BASE) >= shapes.keys():
                read = weights.read(folder, shapes, architecture.BASE)
                model.load_state_dict({n: torch.tensor(v) for n, v in read.items()}, strict=False)
                missing = []
    if missing:
        raise CheckpointError(
            f"{found.said}: its weights have no {missing[0]}, which config.json promises "
            f"({len(missing)} parameters are missing); fetch or train it again"
        )
    if len(tokenizer) > model.config.vocab_size:
        raise CheckpointError(
            f"{found.said}: its tokenizer has {len(tokenizer)} words, its embedding "
            f"{model.config.vocab_size}; use the tokenizer that it was trained with"
        )
    return model


def positions_of(model: Any) -> int:
    """Return the tokens of the longest text that a model reads."""
    settings = with_defaults(model.config.to_dict())
    if settings["model_type"] in architectures():
        return positions(settings)
    return settings.get("max_position_embeddings") or max(signature_lengths.DEFAULT)


def chosen_lengths(
    model: Any, tokenizer: Any, splits: Splits, given: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the lengths that are ``given``, or those that pad least on the train split.

    Raises:
        CheckpointError: the longest that is given is beyond the model's positions.
    """
    most = positions_of(model)
    if given is None:
        texts = signature_lengths.sample(splits.train.texts)
        counts = [len(ids) for ids in tokenizer(texts, truncation=False)["input_ids"]]
        return signature_lengths.choose(counts, most)
    if given[-1] > most:
        raise CheckpointError(
            f"--lengths ends with {given[-1]} tokens, and {model.config.model_type} of "
            f"{most} positions reads no more than these: end with {most} or less"
        )
    return tuple(given)


def is_classifier(found: Source) -> bool:
    """Return whether a checkpoint has a classification head.

    Raises:
        CheckpointError: there is no config.json, or it cannot be read.
    """
    if not (found.path / "config.json").is_file():
        raise CheckpointError(f"{found.said}: no config.json; a checkpoint has one")
    with _reading(found):
        AutoConfig.from_pretrained(found.path)
    return has_head(found.path, read_config(found.path)[0])


def reordered(splits: Splits, found: Source, advice: str) -> Splits:
    """Return the splits with the classes named and ordered as a classifier's.

    Args:
        splits: the texts.
        found: the checkpoint of the classifier.
        advice: what the error says to do.

    Raises:
        CheckpointError: it has no head, or other classes than the texts.
    """
    if not is_classifier(found):
        raise CheckpointError(
            f"{found.said}: it has no classification head; {advice} "
            f"(python fit.py finetune {found.said} --out DIR)"
        )
    names = class_names(found)
    try:
        return splits.reordered(names)
    except DatasetError:
        theirs = ", ".join(splits.train.label_names)
        raise CheckpointError(
            f"{found.said}: its classes are {', '.join(names)}, those of {splits.train.name} are "
            f"{theirs}; {advice}, or name the texts' classes as its own with the option labels= "
            "of --dataset"
        ) from None


@contextmanager
def _in_safetensors(folder: Path) -> Iterator[Path]:
    """Give a folder with a checkpoint's weights as safetensors: its own, or a temporary one."""
    if weights.files(folder):
        yield folder
        return
    tensors: dict[str, Any] = {}
    for file in sorted(folder.glob("pytorch_model*.bin")):
        tensors |= torch.load(file, map_location="cpu", weights_only=True)
    with TemporaryDirectory() as temporary:
        own = {name: x.clone() for name, x in tensors.items() if isinstance(x, torch.Tensor)}
        save_file(own, Path(temporary) / weights.FILE)
        yield Path(temporary)


@contextmanager
def _reading(found: Source) -> Iterator[None]:
    """Raise CheckpointError for whatever a library raises of files that it cannot read."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # transformers, PyTorch and safetensors raise their own many types
        raise CheckpointError(
            f"{found.said}: not a complete checkpoint "
            f"({str(error).strip().partition(chr(10))[0]}); fetch or train it again"
        ) from error
