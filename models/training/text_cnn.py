"""The convolution over word pieces in PyTorch: the oracle of `models.architectures.text_cnn`.

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

from models.architectures.text_cnn import BASE, DEFAULTS

# Of what each layer is given, while it trains.
DROPOUT = 0.1


class TextCnnConfig(PreTrainedConfig):
    """The fields of config.json, with `models.architectures.text_cnn`'s defaults."""

    model_type = BASE

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{**DEFAULTS, **fields})


class _Encoder(torch.nn.Module):
    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__()
        self.word_embeddings = torch.nn.Embedding(config.vocab_size, config.embedding_size)
        self.convolution = torch.nn.Linear(3 * config.embedding_size, config.hidden_size)

    def forward(self, ids: Any, mask: Any) -> Any:
        """Two int64 tensors (texts, tokens) → (texts, tokens, filters), 0 for padding."""
        x = F.dropout(self.word_embeddings(ids) * mask[..., None], DROPOUT, self.training)
        around = F.pad(x, (0, 0, 1, 1))
        three = torch.cat([around[:, 2:], x, around[:, :-2]], -1)
        return torch.relu(self.convolution(three)) * mask[..., None]


class TextCnnForSequenceClassification(PreTrainedModel):
    """The classifier, with parameters named as the architecture names them."""

    config_class = TextCnnConfig
    base_model_prefix = BASE

    def __init__(self, config: TextCnnConfig) -> None:
        super().__init__(config)
        self.text_cnn = _Encoder(config)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.classifier_of_maximum = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> Any:
        return self.text_cnn.word_embeddings

    def forward(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> Any:
        """Two int64 tensors (texts, tokens) → logits (texts, classes)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        found = self.text_cnn(input_ids, mask)
        mean, most = found.sum(1) / mask.sum(1, keepdim=True), found.amax(1)
        mean, most = (F.dropout(x, DROPOUT, self.training) for x in (mean, most))
        return SequenceClassifierOutput(
            logits=self.classifier(mean) + self.classifier_of_maximum(most)
        )


AutoConfig.register(BASE, TextCnnConfig)
AutoModelForSequenceClassification.register(TextCnnConfig, TextCnnForSequenceClassification)
