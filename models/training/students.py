"""The student of a distillation: made new, cut or deepened, its embedding cut."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import MobileBertConfig, MobileBertForSequenceClassification

from models.errors import CheckpointError


def fresh_mobilebert(
    teacher: Any, names: tuple[str, ...], layers: int
) -> MobileBertForSequenceClassification:
    """Return an untrained MobileBERT (24 layers: 24.6M parameters).

    Its word embeddings are the teacher's first 128 principal components (a narrower teacher has
    fewer). Its dense weights are drawn from a normal of half the fan-in scale.
    """
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
