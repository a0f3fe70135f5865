"""The static embedding in PyTorch: the oracle of `models.architectures.static_embedding`.

Importing this registers the kind with transformers' Auto classes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from models.architectures import BIGRAM_FACTOR
from models.architectures.static_embedding import BASE, DEFAULTS


class StaticEmbeddingConfig(PreTrainedConfig):
    """The fields of config.json, with `models.architectures.static_embedding`'s defaults."""

    model_type = BASE

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{**DEFAULTS, **fields})


class _Encoder(torch.nn.Module):
    def __init__(self, config: StaticEmbeddingConfig) -> None:
        super().__init__()
        width, self.rows = config.embedding_size, config.bigram_rows
        self.word_embeddings = torch.nn.Embedding(config.vocab_size, width)
        if self.rows:
            self.bigram_embeddings = torch.nn.Embedding(self.rows, width)
        if config.hidden_size:
            self.dense = torch.nn.Linear(width, config.hidden_size)

    def forward(self, ids: Any, mask: Any) -> Any:
        """Two int64 tensors (texts, tokens) → (texts, hidden size or width)."""
        x = self.word_embeddings(ids)
        if self.rows:
            real = ids * mask
            pairs = (real * BIGRAM_FACTOR + F.pad(real[:, 1:], (0, 1))) % self.rows
            x = x + self.bigram_embeddings(pairs)
        x = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.relu(self.dense(x)) if hasattr(self, "dense") else x


class StaticEmbeddingForSequenceClassification(PreTrainedModel):
    """The classifier, with parameters named as the architecture names them."""

    config_class = StaticEmbeddingConfig
    base_model_prefix = BASE

    def __init__(self, config: StaticEmbeddingConfig) -> None:
        super().__init__(config)
        self.static_embedding = _Encoder(config)
        self.classifier = torch.nn.Linear(
            config.hidden_size or config.embedding_size, config.num_labels
        )
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.static_embedding.word_embeddings

    def forward(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> Any:
        """Two int64 tensors (texts, tokens) → logits (texts, classes)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return SequenceClassifierOutput(
            logits=self.classifier(self.static_embedding(input_ids, mask))
        )


AutoConfig.register(BASE, StaticEmbeddingConfig)
AutoModelForSequenceClassification.register(
    StaticEmbeddingConfig, StaticEmbeddingForSequenceClassification
)
