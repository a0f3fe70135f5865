"""Varied texts: batches in which a share of the texts has other words and no label."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from models.training.distillation_loss import UNLABELED
from models.training.vocab_pruning import FIRST_WORD


class AugmentingCollator:
    """Vary a share of a batch's texts while ``model`` trains: other words and no label.

    A teacher that knows more words than the train split shows can tell what they would mean. A
    quarter of a varied text's pieces become one of their eight nearest neighbours in the teacher's
    embedding table (after Jiao et al. 2020). Every other varied text ends with the second half of
    another one.
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
            [_joined(text, dataset[i - 1]) if joined[i] else text for i, text in enumerate(dataset)]
        )
        ids = batch["input_ids"]
        pick = torch.randint(self.neighbours.shape[1], ids.shape)
        others = self.neighbours[ids, pick]
        change = varied[:, None] & (torch.rand(ids.shape) < 0.25) & (ids >= FIRST_WORD)
        batch["input_ids"] = torch.where(change, others, ids)
        batch["labels"] = torch.where(varied, UNLABELED, batch["labels"])
        return batch


def _joined(text: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The first half of one text's pieces and the second of another's, not longer than these."""
    ids, end = text["input_ids"], other["input_ids"]
    ids = ids[: len(ids) // 2] + end[len(end) // 2 :]
    return {**text, "input_ids": ids, "attention_mask": [1] * len(ids)}


def nearest(table: Any, count: int) -> Any:
    """Return for each row of ``table`` the ``count`` rows of highest cosine similarity.

    The row itself and rows before `FIRST_WORD` are left out. int64 (rows, count).
    """
    unit = F.normalize(table, dim=-1)
    found = []
    for rows in torch.arange(len(unit)).split(2048):
        cosine = unit[rows] @ unit.T
        cosine[:, :FIRST_WORD] = -2
        cosine[torch.arange(len(rows)), rows] = -2
        found.append(cosine.topk(count).indices)
    return torch.cat(found)
