"""Fine-tuning: an encoder with a new classification head learns the train split.

The validation split shows progress. The evaluation split is only answered once, at the end, for the
reference outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import TrainerCallback, set_seed

from data.splits import Splits
from models.checkpoints.checkpoint import content
from models.checkpoints.hub import locate
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.training import checkpointing, loading
from models.training.hyperparameters import OF_DISTILLATION, Hyperparameters
from models.training.recording import provenance_of, save_with_outputs
from models.training.students import prune_embedding
from models.training.trainer import make_trainer
from models.training.vocab_pruning import numbers_in, smaller


def finetune(
    checkpoint: str,
    splits: Splits,
    out: Path,
    hp: Hyperparameters,
    *,
    lengths: Sequence[int] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> ReferenceOutputs:
    """Train a checkpoint's encoder with a classification head on the train split.

    A head that the checkpoint has is trained further; then its classes are those of the texts, and
    keep their order.

    Args:
        checkpoint: a folder or a hub id.
        splits: the texts.
        out: the folder to write: a checkpoint and its reference outputs.
        hp: the hyperparameters. With a ``vocabulary``, the checkpoint keeps that many of its pieces
            (`models.training.vocab_pruning`).
        lengths: tokens of each signature, in ascending order, instead of those that pad least on
            the train split. Texts are cut at the longest.
        callbacks: further callbacks of `Trainer`.

    Raises:
        CheckpointError: the checkpoint cannot be read, or has other classes than the texts.
        SaveError: no space left; what was complete is kept.
    """
    found = locate(checkpoint)
    set_seed(hp.seed)
    tokenizer = loading.read_tokenizer(found)
    if loading.is_classifier(found):
        splits = loading.reordered(splits, found, "start from the encoder that it was made of")
    names = splits.train.label_names
    model = loading.read_classifier(
        found,
        tokenizer,
        new=("classifier.", "pooler."),
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    if hp.vocabulary:
        larger, tokenizer = tokenizer, smaller(tokenizer, splits.train.texts, hp.vocabulary)
        prune_embedding(model, numbers_in(larger, tokenizer))
    provenance = provenance_of(hp, [found.said], "checkpoint")
    for name in OF_DISTILLATION:
        del provenance["hyperparameters"][name]
    with checkpointing.locked(out):
        lengths = loading.chosen_lengths(model, tokenizer, splits, lengths)
        trainer = make_trainer(
            model, tokenizer, splits, out, hp, longest=lengths[-1], callbacks=callbacks
        )
        checkpointing.train(trainer, out, {"checkpoint": content(found)}, hp, splits)
        return save_with_outputs(model, tokenizer, splits, out, provenance, lengths=lengths)
