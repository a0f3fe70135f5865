"""The loss of a distillation: what a student learns of its teachers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

UNLABELED = -100  # PyTorch's own mark of a label that does not count


class Distillation(torch.nn.Module):
    """A student, the teachers it learns from, and the projections from its width to the first's.

    The loss is the sum of three parts: the KL divergence to the mean of the teachers' probabilities
    at ``temperature`` (Hinton et al. 2015); half the cross-entropy of the labels; and
    ``hidden_weight`` times the mean squared distance between hidden states (Jiao et al. 2020).
    There, evenly spaced layers of the student, projected, meet each of the first teacher's layers,
    layer-normalised.
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
        self.teachers = tuple(teacher.eval() for teacher in teachers)
        first = teachers[0].config
        layers, of = first.num_hidden_layers, student.config.num_hidden_layers
        self.learns_from = [(i + 1) * of // layers for i in range(layers)]  # 0: the embeddings
        self.projections = torch.nn.ModuleList(
            torch.nn.Linear(student.config.hidden_size, first.hidden_size) for _ in range(layers)
        )

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Where the student goes, to a GPU say, its teachers go."""
        for teacher in self.teachers:
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
                for teacher, pieces in zip(self.teachers, self.pieces, strict=True)
            ]
        loss = self._output_loss(answer.logits, [target.logits for target in targets], labels)
        if self.hidden_weight:
            loss = loss + self.hidden_weight * self._hidden_loss(
                answer.hidden_states, targets[0].hidden_states, attention_mask
            )
        return {"loss": loss, "logits": answer.logits}

    def _output_loss(self, logits: Any, targets: Sequence[Any], labels: Any) -> Any:
        t = self.temperature
        taught = torch.stack([F.softmax(target / t, -1) for target in targets]).mean(0)
        soft = F.kl_div(F.log_softmax(logits / t, -1), taught, reduction="batchmean")
        hard = F.cross_entropy(logits, labels, ignore_index=UNLABELED, reduction="sum")
        return t * t * soft + 0.5 * hard / len(labels)

    def _hidden_loss(self, states: Any, targets: Any, mask: Any) -> Any:
        real = mask.bool()
        losses = [
            F.mse_loss(
                project(states[self.learns_from[i]][real]),
                F.layer_norm(targets[i + 1][real], targets[i + 1].shape[-1:]),
            )
            for i, project in enumerate(self.projections)
        ]
        return torch.stack(losses).mean()
