"""Logit adjustment: the classifier's biases corrected for class frequency (Menon et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from data.metrics import accuracy, balanced_accuracy
from data.splits import Splits
from models.training.recording import record


def adjust_logits_for_class_prior(
    model: Any,
    tokenizer: Any,
    splits: Splits,
    teachers: Sequence[tuple[Any, Any]],
    longest: int,
) -> float:
    """Subtract a share of the log of each class's frequency from the classifier's biases.

    The share is one of 0, 0.1 ... 1: the one with the smallest drop against the teachers on the
    validation and calibration texts, in accuracy or in balanced accuracy, whichever is larger.

    Args:
        model: the student; its biases are changed.
        tokenizer: its tokenizer.
        splits: the texts; frequencies are those of the train split.
        teachers: models and their tokenizers.
        longest: tokens that a text is cut at.

    Returns:
        The share.
    """
    counts = torch.tensor(list(splits.train.counts().values()), dtype=torch.float32)
    rarity = -(counts.clamp(min=1) / counts.sum()).log()
    held_out = (splits.validation, splits.calibration)
    labels = [label for dataset in held_out for label in dataset.labels]

    def logits(classifier: Any, its_tokenizer: Any) -> torch.Tensor:
        return torch.tensor(
            [
                row
                for dataset in held_out
                for row in record(classifier, its_tokenizer, dataset, longest)
            ]
        )

    def reached(found: torch.Tensor) -> tuple[float, float]:
        predictions = found.argmax(-1).tolist()
        return accuracy(labels, predictions), balanced_accuracy(labels, predictions)

    goal = reached(torch.stack([logits(*teacher).softmax(-1) for teacher in teachers]).mean(0))
    own = logits(model, tokenizer)

    def ahead(share: float) -> float:
        return min(
            ours - theirs for ours, theirs in zip(reached(own + share * rarity), goal, strict=True)
        )

    best = max((tenth / 10 for tenth in range(11)), key=ahead)
    with torch.no_grad():
        model.classifier.bias += (best * rarity).to(model.classifier.bias)
    print(f"logit adjustment: {best}", flush=True)
    return best
