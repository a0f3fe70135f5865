"""What distillation needs besides a `Trainer`: the student, what it learns of its teacher, and
the texts varied. `models.training.train` runs it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import MobileBertConfig, MobileBertForSequenceClassification

from models.errors import CheckpointError
from models.training.vocab_pruning import FIRST_WORD

UNLABELED = -100  # PyTorch's own mark of a label that does not count


def fresh_mobilebert(
    teacher: Any, names: tuple[str, ...], layers: int
) -> MobileBertForSequenceClassification:
    """MobileBERT (24 layers: 24.6M parameters) whose word embeddings are the teacher's first 128
    principal components (a narrower teacher has fewer); dense weights from a normal of half the
    fan-in scale."""
    config = MobileBertConfig(
        vocab_size=teacher.config.vocab_size,
        num_hidden_layers=layers,
        classifier_activation=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
        num_labels=len(names),
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    student = MobileBertForSequenceClassification(config)
    with torch.no_grad():
        for module in student.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.normal_(0.0, 0.5 * module.in_features**-0.5)
        words = teacher.get_input_embeddings().weight
        centred = words - words.mean(0)
        basis = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -config.embedding_size :]
        projected = centred @ basis
        table = student.get_input_embeddings().weight
        table[:, : projected.shape[1]] = projected / projected.std() * 0.1
        table[config.pad_token_id] = 0
    return student


def resize_depth(model: Any, count: int) -> None:
    """Cut or deepen a model to ``count`` layers.

    Cut, it keeps evenly spaced ones, the last among them. Deepened, which takes a MobileBERT, it
    answers as before (after Chen et al. 2016): a new layer is a copy of the one below it that hands
    on what it was given, until training gives its output bottleneck something to add.

    Raises:
        CheckpointError: it is neither a BERT nor a MobileBERT, or a BERT would have to be deepened.
    """
    if model.config.model_type not in ("bert", "mobilebert"):
        raise CheckpointError(
            f"a {model.config.model_type} is no student: go on from a MobileBERT or a BERT"
        )
    has, layers = model.config.num_hidden_layers, model.base_model.encoder.layer
    if count > has and model.config.model_type != "mobilebert":
        raise CheckpointError(
            f"a {model.config.model_type} of {has} layers cannot be deepened to {count}; say "
            f"--layers {has}, or go on from a MobileBERT"
        )
    if count <= has:
        kept = [layers[(i + 1) * has // count - 1] for i in range(count)]
    else:
        below = [i * has // count for i in range(count)]
        new = [i > 0 and below[i - 1] == below[i] for i in range(count)]
        kept = [
            _identity_layer(layers[j]) if copied else layers[j]
            for j, copied in zip(below, new, strict=True)
        ]
    model.base_model.encoder.layer = torch.nn.ModuleList(kept)
    model.config.num_hidden_layers = count


def _identity_layer(layer: Any) -> Any:
    new = copy.deepcopy(layer)
    leaves = new.output.bottleneck  # adds to what the layer was given, then scales and shifts it
    with torch.no_grad():
        leaves.dense.weight.zero_()
        leaves.dense.bias.zero_()
        leaves.LayerNorm.weight.fill_(1.0)
        leaves.LayerNorm.bias.zero_()
    return new


def prune_embedding(model: Any, rows: list[int] | None) -> None:
    """Cut a model's embedding to ``rows``, in that order."""
    table = model.get_input_embeddings().weight.detach()[rows]
    model.set_input_embeddings(
        torch.nn.Embedding.from_pretrained(
            table, freeze=False, padding_idx=model.config.pad_token_id
        )
    )
    model.config.vocab_size = len(table)


class Distillation(torch.nn.Module):
    """A student, the teachers it learns from, and the projections from its width to the first's.

    The teachers' answer is the mean of their probabilities; hidden states are the first one's.
    """

    def __init__(
        self,
        student: Any,
        teachers: Sequence[Any],
        pieces: Sequence[Any],
        *,
        temperature: float,
        hidden_weight: float,
    ) -> None:
        """``pieces``: int64, of each piece of the student's the number that each teacher has."""
        super().__init__()
        self.register_buffer("pieces", torch.stack(tuple(pieces)), persistent=False)
        self.student = student
        self.temperature, self.hidden_weight = temperature, hidden_weight
        # A tuple hides them from the module: neither trained nor saved with the student.
        self._teachers = tuple(teacher.eval() for teacher in teachers)
        first = teachers[0].config
        layers, of = first.num_hidden_layers, student.config.num_hidden_layers
        self.learns_from = [(i + 1) * of // layers for i in range(layers)]  # 0: the embeddings
        self.projections = torch.nn.ModuleList(
            torch.nn.Linear(student.config.hidden_size, first.hidden_size) for _ in range(layers)
        )

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Where the student goes, to a GPU say, its teachers go."""
        for teacher in self._teachers:
            teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any, **_: Any) -> Any:
        tokens = {"input_ids": input_ids, "attention_mask": attention_mask}
        answer = self.student(**tokens, output_hidden_states=True)
        if not self.training:
            return {"loss": F.cross_entropy(answer.logits, labels), "logits": answer.logits}
        with torch.no_grad():
            targets = [
                teacher(
                    input_ids=pieces[input_ids],
                    attention_mask=attention_mask,
                    output_hidden_states=True,
                )
                for teacher, pieces in zip(self._teachers, self.pieces, strict=True)
            ]
        loss = self.output_loss(answer.logits, [target.logits for target in targets], labels)
        if self.hidden_weight:
            loss = loss + self.hidden_weight * self._hidden(
                answer.hidden_states, targets[0].hidden_states, attention_mask
            )
        return {"loss": loss, "logits": answer.logits}

    def output_loss(self, logits: Any, targets: Sequence[Any], labels: Any) -> Any:
        """Return the loss of logits against the teachers' (float32, n x classes each) and the
        labels (int64, n)."""
        t = self.temperature
        taught = torch.stack([F.softmax(target / t, -1) for target in targets]).mean(0)
        soft = F.kl_div(F.log_softmax(logits / t, -1), taught, reduction="batchmean")
        hard = F.cross_entropy(logits, labels, ignore_index=UNLABELED, reduction="sum")
        return t * t * soft + 0.5 * hard / len(labels)

    def _hidden(self, states: Any, targets: Any, mask: Any) -> Any:
        real = mask.bool()
        losses = [
            F.mse_loss(
                project(states[self.learns_from[i]][real]),
                F.layer_norm(targets[i + 1][real], targets[i + 1].shape[-1:]),
            )
            for i, project in enumerate(self.projections)
        ]
        return torch.stack(losses).mean()


class AugmentingCollator:
    """Batches in which a share of the texts has other words and no label: a teacher that knows
    more words than the train split shows can tell what they would mean.

    Every other varied text ends with the second half of another one. Of each a quarter of the
    pieces become one of their eight nearest neighbours in the teacher's embedding table (after
    Jiao et al. 2020). Only while ``model`` trains.
    """

    def __init__(self, collate: Any, model: torch.nn.Module, table: Any, share: float) -> None:
        """``table``: the teacher's embedding table, float32 (pieces, width)."""
        self.collate, self.model, self.share = collate, model, share
        self.neighbours = nearest(table, 8)

    def __call__(self, dataset: list[dict[str, Any]]) -> Any:
        if not self.model.training:
            return self.collate(dataset)
        varied = torch.rand(len(dataset)) < self.share
        joined = varied & (torch.rand(len(dataset)) < 0.5)
        batch = self.collate(
            [
                _joined(tweet, dataset[i - 1]) if joined[i] else tweet
                for i, tweet in enumerate(dataset)
            ]
        )
        ids = batch["input_ids"]
        pick = torch.randint(self.neighbours.shape[1], ids.shape)
        others = self.neighbours[ids, pick]
        change = varied[:, None] & (torch.rand(ids.shape) < 0.25) & (ids >= FIRST_WORD)
        batch["input_ids"] = torch.where(change, others, ids)
        batch["labels"] = torch.where(varied, UNLABELED, batch["labels"])
        return batch


def _joined(tweet: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The first half of one text's pieces and the second of another's, not longer than these."""
    ids, end = tweet["input_ids"], other["input_ids"]
    ids = ids[: len(ids) // 2] + end[len(end) // 2 :]
    return {**tweet, "input_ids": ids, "attention_mask": [1] * len(ids)}


def nearest(table: Any, count: int) -> Any:
    """Of each row of ``table`` the ``count`` rows of highest cosine similarity, itself left out;
    rows before `FIRST_WORD` are nobody's neighbour. int64 (rows, count)."""
    unit = F.normalize(table, dim=-1)
    found = []
    for rows in torch.arange(len(unit)).split(2048):
        cosine = unit[rows] @ unit.T
        cosine[:, :FIRST_WORD] = -2
        cosine[torch.arange(len(rows)), rows] = -2
        found.append(cosine.topk(count).indices)
    return torch.cat(found)
