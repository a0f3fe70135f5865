"""What a training run depends on besides its data."""

from __future__ import annotations

from dataclasses import dataclass

# Those that a fine-tuned checkpoint does not depend on.
OF_DISTILLATION = ("temperature", "hidden_weight", "varied_share", "layers")


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of `finetune` and `distill`. Learning rate: AdamW's peak."""

    epochs: float
    learning_rate: float
    batch_size: int = 32
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    temperature: float = 2.0
    hidden_weight: float = 1.0
    varied_share: float = 0.0
    seed: int = 0
    layers: int = 24
    vocabulary: int | None = None
