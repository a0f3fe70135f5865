"""Distillation: a small student learns from fine-tuned teachers and the train split.

The validation split shows progress. The evaluation split is only answered once, at the end, for the
reference outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import set_seed

from data.splits import Splits
from data.unlabeled import UnlabeledTexts
from models.checkpoints.checkpoint import content
from models.checkpoints.hub import Source, locate
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.errors import CheckpointError
from models.training import checkpointing, loading
from models.training.augmentation import AugmentingCollator
from models.training.class_prior import adjust_logits_for_class_prior
from models.training.distillation_loss import UNLABELED, Distillation
from models.training.hyperparameters import Hyperparameters
from models.training.recording import provenance_of, save_with_outputs, short
from models.training.students import fresh_mobilebert, prune_embedding, resize_depth
from models.training.trainer import make_trainer, tokenized
from models.training.vocab_pruning import numbers_in, smaller


def distill(
    teachers: Sequence[str],
    splits: Splits,
    out: Path,
    hp: Hyperparameters,
    *,
    student: str | None = None,
    lengths: Sequence[int] | None = None,
    unlabeled: UnlabeledTexts | None = None,
) -> ReferenceOutputs:
    """Train a MobileBERT from nothing but fine-tuned teachers and the train split.

    The loss is `Distillation`'s. A share of the texts, ``varied_share``, is varied
    (`AugmentingCollator`): of those only the teachers' outputs are learned. At the end the
    classifier's biases are corrected for class frequency (`adjust_logits_for_class_prior`).

    Args:
        teachers: folders or hub ids, with the texts' classes in one order.
        splits: the texts.
        out: the folder to write: a checkpoint and its reference outputs.
        hp: the hyperparameters. A student of a ``vocabulary`` knows that many of the first
            teacher's word pieces (`models.training.vocab_pruning`); the teachers read the same
            pieces.
        student: a checkpoint that learned from such a teacher before, to go on from. Evenly spaced
            layers are kept of one with more than ``layers``; one with fewer is deepened
            (`resize_depth`).
        lengths: tokens of each signature, in ascending order, instead of those that pad least on
            the train split. Texts are cut at the longest, or at the positions of a teacher.
        unlabeled: further texts, of which the teachers' outputs are learned.

    Raises:
        CheckpointError: a checkpoint cannot be read or has other classes than the texts; or the
            student knows a word piece that a teacher does not, is neither a BERT nor a MobileBERT,
            or is to be deepened and is no MobileBERT.
        SaveError: no space left; what was complete is kept.
    """
    sources = [locate(teacher) for teacher in teachers]
    provenance = provenance_of(hp, [found.said for found in sources], "teacher")
    start = {"teacher": " ".join(map(content, sources))}
    set_seed(hp.seed)
    advice = "fine-tune the teacher on these texts first"
    splits = loading.reordered(splits, sources[0], advice)
    names = splits.train.label_names
    for found in sources[1:]:
        _require_order(loading.reordered(splits, found, advice), names, found)
    tokenizers = [loading.read_tokenizer(found) for found in sources]
    models = [loading.read_classifier(*pair) for pair in zip(sources, tokenizers, strict=True)]
    if student:
        known = locate(student)
        start["student"], provenance["student"] = content(known), short(known.said)
        own = loading.read_tokenizer(known)
        advice = "distill into a student that learned these classes"
        _require_order(loading.reordered(splits, known, advice), names, known)
        learner = loading.read_classifier(known, own)
    else:
        learner, own = fresh_mobilebert(models[0], names, hp.layers), tokenizers[0]
    if hp.vocabulary:
        larger, own = own, smaller(own, splits.train.texts, hp.vocabulary)
        prune_embedding(learner, numbers_in(larger, own))
    elif learner.config.vocab_size > len(own):  # a table padded for speed
        prune_embedding(learner, list(range(len(own))))
    pieces = [torch.tensor(numbers) for numbers in _teacher_token_ids(sources, tokenizers, own)]
    resize_depth(learner, hp.layers)
    if not torch.accelerator.is_available():
        learner.set_attn_implementation("eager")  # on a CPU a fifth faster: the texts are short
    model = Distillation(
        learner,
        models,
        pieces,
        temperature=hp.temperature,
        hidden_weight=hp.hidden_weight,
    )
    with checkpointing.locked(out):
        lengths = loading.chosen_lengths(learner, own, splits, lengths)
        longest = min(lengths[-1], *map(loading.positions_of, models))
        trainer = make_trainer(model, own, splits, out, hp, longest=longest)
        if unlabeled:
            start["unlabeled"] = provenance["unlabeled"] = unlabeled.description
            more = tokenized(unlabeled.texts, [UNLABELED] * len(unlabeled.texts), own, longest)
            trainer.train_dataset = datasets.concatenate_datasets([trainer.train_dataset, more])
        if hp.varied_share:
            table = models[0].get_input_embeddings().weight.detach().cpu()[pieces[0]]
            trainer.data_collator = AugmentingCollator(
                trainer.data_collator, model, table, hp.varied_share
            )
        checkpointing.train(trainer, out, start, hp, splits)
        share = adjust_logits_for_class_prior(
            learner, own, splits, list(zip(models, tokenizers, strict=True)), longest
        )
        provenance["logit adjustment"] = share
        return save_with_outputs(learner, own, splits, out, provenance, lengths=lengths)


def _require_order(splits: Splits, names: tuple[str, ...], found: Source) -> None:
    """Raise CheckpointError unless a checkpoint's classes have the first teacher's order."""
    if splits.train.label_names != names:
        raise CheckpointError(
            f"{found.said}: its classes are {', '.join(splits.train.label_names)}, the first "
            f"teacher's are {', '.join(names)}; teachers and student need one order: fine-tune "
            "one of them again"
        )


def _teacher_token_ids(
    sources: Sequence[Source], tokenizers: Sequence[Any], own: Any
) -> list[list[int]]:
    """Return for each teacher its number of each piece of the student's tokenizer ``own``."""
    found = []
    for source, tokenizer in zip(sources, tokenizers, strict=True):
        numbers = numbers_in(tokenizer, own)
        if numbers is None:
            raise CheckpointError(
                f"{source.said}: the student's vocabulary is not this teacher's, so the two would "
                "read different texts; distill into a student of the teacher's own vocabulary, or "
                "of a part of it, from teachers that share it"
            )
        found.append(numbers)
    return found
