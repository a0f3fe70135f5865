"""Distillation of a small student: its teachers answer every text once, and it learns for minutes.

A student is a convolution over word pieces, or their static embedding.

The validation split shows progress. The evaluation split is only answered once, at the end, for the
reference outputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, set_seed

from common import atomic
from data.splits import Splits
from data.unlabeled import UnlabeledTexts
from models.checkpoints.checkpoint import content
from models.checkpoints.hub import locate
from models.checkpoints.reference_outputs import ReferenceOutputs
from models.training import checkpointing, loading
from models.training.class_prior import adjust_logits_for_class_prior
from models.training.distillation_loss import UNLABELED
from models.training.hyperparameters import Hyperparameters
from models.training.recording import provenance_of, save_with_outputs
from models.training.taught_texts import taught
from models.training.trainer import make_trainer, tokenized
from models.training.vocab_pruning import numbers_in, smaller


@dataclass(frozen=True)
class SmallHyperparameters(Hyperparameters):
    """Those of a small student besides: its kind and sizes, and what is done to the texts.

    Attributes:
        kind: "text_cnn" or "static_embedding".
        width: of the vector of a piece.
        hidden_size: the filters of a text_cnn; of a static embedding the width of its dense layer.
        bigram_rows: the vectors of pairs of a static embedding.
        copies: how many varied copies of each text it learns from.
        dropped_share: of the pieces, what it is not shown.
    """

    kind: str = "text_cnn"
    width: int = 128
    bigram_rows: int = 0
    hidden_size: int = 0
    copies: int = 2
    dropped_share: float = 0.1


class _Lesson(torch.nn.Module):
    """The student with its loss: the KL divergence to ``targets`` at a temperature, and half the
    cross-entropy of the labels. A share of the pieces is not shown to it."""

    def __init__(self, student: Any, temperature: float, dropped_share: float, hidden: int) -> None:
        """``hidden``: the id that stands for a piece that is not shown."""
        super().__init__()
        self.student, self.temperature = student, temperature
        self.dropped_share, self.hidden = dropped_share, hidden

    def forward(
        self, input_ids: Any, attention_mask: Any, labels: Any, targets: Any = None, **_: Any
    ) -> Any:
        if self.training:
            dropped = torch.rand(input_ids.shape, device=input_ids.device) < self.dropped_share
            input_ids = torch.where(dropped & (attention_mask > 0), self.hidden, input_ids)
        logits = self.student(input_ids, attention_mask).logits
        if targets is None:
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}
        t = self.temperature
        soft = F.kl_div(
            F.log_softmax(logits / t, -1), F.softmax(targets / t, -1), reduction="batchmean"
        )
        hard = F.cross_entropy(logits, labels, ignore_index=UNLABELED, reduction="sum")
        return {"loss": t * t * soft + 0.5 * hard / len(labels), "logits": logits}


def distill_small(
    teachers: Sequence[str],
    splits: Splits,
    out: Path,
    hp: SmallHyperparameters,
    *,
    lengths: Sequence[int] | None = None,
    unlabeled: UnlabeledTexts | None = None,
) -> ReferenceOutputs:
    """Train a small student from nothing but fine-tuned teachers and the train split.

    Its pieces are the first teacher's, or a part of them; their vectors begin as principal
    components of that teacher's. The teachers read the same pieces.

    Args:
        teachers: folders or hub ids, with the texts' classes in one order.
        splits: the texts.
        out: the folder to write: a checkpoint and its reference outputs.
        hp: the hyperparameters.
        lengths: tokens of each signature, in ascending order, instead of those that pad least on
            the train split. Texts are cut at the longest.
        unlabeled: further texts, of which the teachers' outputs are learned.

    Raises:
        CheckpointError: a teacher cannot be read, or has other classes or pieces than the first.
        SaveError: no space left; what was complete is kept.
    """
    sources = [locate(teacher) for teacher in teachers]
    provenance = provenance_of(hp, [found.said for found in sources], "teacher")
    for name in ("hidden_weight", "varied_share", "layers"):
        del provenance["hyperparameters"][name]
    start = {"teacher": " ".join(map(content, sources))}
    set_seed(hp.seed)
    for found in sources:
        splits = loading.reordered(splits, found, "fine-tune the teacher on these texts first")
    tokenizers = [loading.read_tokenizer(found) for found in sources]
    models = [
        loading.read_classifier(*pair).eval() for pair in zip(sources, tokenizers, strict=True)
    ]
    own = smaller(tokenizers[0], splits.train.texts, hp.vocabulary or len(tokenizers[0]))
    pieces = [torch.tensor(numbers_in(tokenizer, own)) for tokenizer in tokenizers]
    names = splits.train.label_names
    student = _untrained(models[0], pieces[0], own, names, hp)
    lesson = _Lesson(student, hp.temperature, hp.dropped_share, own.unk_token_id)
    with checkpointing.locked(out):
        lengths = loading.chosen_lengths(student, own, splits, lengths)
        trainer = make_trainer(lesson, own, splits, out, hp, longest=lengths[-1], bfloat16=False)
        texts = trainer.train_dataset
        if unlabeled:
            start["unlabeled"] = provenance["unlabeled"] = unlabeled.description
            more = tokenized(unlabeled.texts, [UNLABELED] * len(unlabeled.texts), own, lengths[-1])
            texts = datasets.concatenate_datasets([texts, more])
        trainer.train_dataset = _kept(
            out / "training" / "taught",
            {**start, "train": splits.train.checksum(), "pieces": len(own), "copies": hp.copies},
            lambda: taught(texts, own, models, pieces, hp.copies),
        )
        checkpointing.train(trainer, out, start, hp, splits)
        _forget_unseen(student, trainer.train_dataset)
        share = adjust_logits_for_class_prior(
            student, own, splits, list(zip(models, tokenizers, strict=True)), lengths[-1]
        )
        provenance["logit adjustment"] = share
        return save_with_outputs(student, own, splits, out, provenance, lengths=lengths)


def _kept(
    folder: Path, inputs: Mapping[str, Any], make: Callable[[], datasets.Dataset]
) -> datasets.Dataset:
    """Return the texts that teachers answered before, of the same inputs; or make and keep them."""
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
    kept = folder.with_name(f"{folder.name}-{digest}")
    if not kept.exists():
        with atomic.new_folder(kept) as temporary:
            make().save_to_disk(temporary)
    return datasets.load_from_disk(kept)


def _forget_unseen(student: Any, texts: datasets.Dataset) -> None:
    """Set the vectors of pieces to 0 that no text has: training left them as they were.

    They are of one large number and many small ones, which modes of 4 bits would cut off.
    """
    table = student.get_input_embeddings().weight
    seen = torch.zeros(len(table), dtype=torch.bool)
    for ids in texts["input_ids"]:
        seen[ids] = True
    with torch.no_grad():
        table[~seen] = 0


def _untrained(
    teacher: Any, pieces: Any, tokenizer: Any, names: Sequence[str], hp: SmallHyperparameters
) -> Any:
    """Return a student whose table holds the teacher's first principal components."""
    fields = {
        "vocab_size": len(tokenizer),
        "embedding_size": hp.width,
        "hidden_size": hp.hidden_size,
        "pad_token_id": tokenizer.pad_token_id,
        "id2label": dict(enumerate(names)),
        "label2id": {name: i for i, name in enumerate(names)},
    }
    if hp.kind == "static_embedding":
        fields["bigram_rows"] = hp.bigram_rows
    config = AutoConfig.for_model(hp.kind, **fields)
    student = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        words = teacher.get_input_embeddings().weight.cpu()[pieces]
        centred = words - words.mean(0)
        basis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -hp.width :]
        projected = centred @ basis
        table = student.get_input_embeddings().weight
        table.zero_()[:, : projected.shape[1]] = projected / projected.std() * 0.1
        if fields.get("bigram_rows"):
            student.base_model.bigram_embeddings.weight.zero_()
    return student
